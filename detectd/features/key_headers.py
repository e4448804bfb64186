"""Update the headers of rows, event by event. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from detectd.features.key_rows import COUNT, HEADER_WORDS, LATEST, NUMBER, SEEN, SILENT
from detectd.features.silence import EVENTS, HEARD, KNOWN, SINCE, ticked
from detectd.jit import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


class Slots(NamedTuple):
    """The result of the key look-up for each event (k,).

    slot      its row, or -1 for a late event that is refused: it touches no state
    fresh     set the row's op words to zero before it
    earlier   how many events of the key count before it
    lag_ms    by how much its key's latest time is later; 0 if it is not late
    """

    slot: NDArray[np.intp]
    fresh: NDArray[np.bool_]
    earlier: NDArray[np.int64]
    lag_ms: Floats


@compiled
def note_silence(header: Floats, clock: float, span: float, ended: Floats) -> None:
    """Write the key's silence into `ended` (4,), if there is one to end."""
    if header[SILENT] == 0.0 and not clock - header[SEEN] > span:
        return
    known = header[SILENT] > 0.0
    ended[SINCE] = header[LATEST]
    ended[EVENTS] = header[SILENT] if known else header[COUNT]
    ended[HEARD] = header[SEEN]
    ended[KNOWN] = 1.0 if known else 0.0


@compiled
def advance(
    rows: Floats,
    times_ms: Floats,
    events: int,
    latest_ms: float,
    clock: float,
    strayed: int,
    idle_ms: float,
    silent_ms: float,
    refuse_late: bool,
    slot: NDArray[np.intp],
    fresh: NDArray[np.bool_],
    earlier: NDArray[np.int64],
    lag_ms: Floats,
    ended: Floats,
    clocks: Floats,
) -> tuple[int, float, float, int]:
    """Write the headers, and what is known of each event, see `Slots`, into the last six.

    `ended` (k, 4) is zero, and receives the silences that end, see `endings`; `clocks` receives the
    table's clock after each event. `events`, `latest_ms`, `clock` and `strayed` are the values
    before. Return how many keys were restarted after `idle_ms`, and the new latest time, clock and
    `strayed`.
    """
    expired = 0
    for i in range(len(slot)):
        header = rows[slot[i], :HEADER_WORDS]
        time = times_ms[i]
        # An unused row has count zero.
        if fresh[i] and header[COUNT] > 0.0:
            note_silence(header, clock, silent_ms, ended[i])
        elif not fresh[i] and time - header[LATEST] > idle_ms:
            fresh[i] = True
            expired += 1
            note_silence(header, clock, silent_ms, ended[i])
        if fresh[i]:
            header[COUNT] = 0.0
            header[LATEST] = np.nan
            header[SILENT] = 0.0
            header[SEEN] = clock
        header[NUMBER] = events + i + 1
        earlier[i] = int(header[COUNT])
        late = time < header[LATEST]
        lag_ms[i] = header[LATEST] - time if late else 0.0
        if late and refuse_late:
            slot[i] = -1
            clocks[i] = clock
            continue
        if not late and not fresh[i]:
            note_silence(header, clock, silent_ms, ended[i])
        header[COUNT] += 1.0
        clock, latest_ms, strayed = ticked(clock, latest_ms, strayed, time, silent_ms)
        clocks[i] = clock
        if not late:
            header[SILENT] = 0.0
            header[SEEN] = clock
            if not np.isnan(time):
                header[LATEST] = time
    return expired, latest_ms, clock, strayed
