"""Update the headers of rows, event by event. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from detectd.features.key_rows import COUNT, HEADER_WORDS, LATEST, NUMBER, SEEN, SILENT
from detectd.features.silence import BEGINS, ENDS, EVENTS, HEARD, SINCE, ticked
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


class Clock(NamedTuple):
    """The clock of a table; see `silence.ticked`."""

    clock_ms: float
    latest_ms: float
    strayed: int


class Bounds(NamedTuple):
    """The spans after which a key is restarted and is silent, and whether late events are
    refused."""

    idle_ms: float
    silent_ms: float
    refuse_late: bool


@compiled
def note_beginning(header: Floats, clock: float, span: float, noted: Floats) -> None:
    """Mark a key as silent if its span is over, and write the beginning of that into `noted` (5,).

    What a key counts when it falls silent identifies the silence, so this comes before its next
    event is counted.
    """
    if header[SILENT] == 0.0 and clock - header[SEEN] > span:
        noted[SINCE] = header[LATEST]
        noted[EVENTS] = header[SILENT] = header[COUNT]
        noted[HEARD] = header[SEEN]
        noted[BEGINS] = 1.0


@compiled
def note_end(header: Floats, clock: float, span: float, noted: Floats) -> None:
    """Write the end of the key's silence into `noted` (5,), if there is one to end."""
    note_beginning(header, clock, span, noted)
    if header[SILENT] > 0.0:
        noted[SINCE] = header[LATEST]
        noted[EVENTS] = header[SILENT]
        noted[HEARD] = header[SEEN]
        noted[ENDS] = 1.0


@compiled
def restart(header: Floats, clock: float) -> None:
    """Begin a key's header."""
    header[COUNT] = 0.0
    header[LATEST] = np.nan
    header[SILENT] = 0.0
    header[SEEN] = clock


@compiled
def hear(header: Floats, clock: float, time: float) -> None:
    """Add an event that is not late, after it is counted."""
    header[SILENT] = 0.0
    header[SEEN] = clock
    if not np.isnan(time):
        header[LATEST] = time


@compiled
def advance(
    rows: Floats,
    times_ms: Floats,
    events: int,
    before: Clock,
    bounds: Bounds,
    slots: Slots,
    noted: Floats,
    clocks: Floats,
) -> tuple[int, Clock]:
    """Write the headers, and what is known of each event into the last three.

    `noted` (k, 5) is zero, and receives the silences that begin or end with an event of their key,
    see `silence.noted`; `clocks` receives the table's clock after each event. `events` and `before`
    are the values before. Return how many keys were restarted after `idle_ms`, and the new clock.
    """
    expired = 0
    span = bounds.silent_ms
    clock, latest_ms, strayed = before
    for i in range(len(times_ms)):
        header, time = rows[slots.slot[i], :HEADER_WORDS], times_ms[i]
        if not slots.fresh[i] and time - header[LATEST] > bounds.idle_ms:
            slots.fresh[i] = True
            expired += 1
        if slots.fresh[i]:
            if header[COUNT] > 0.0:  # An unused row has zero.
                note_end(header, clock, span, noted[i])
            restart(header, clock)
        header[NUMBER] = events + i + 1
        slots.earlier[i] = int(header[COUNT])
        late = time < header[LATEST]
        if late:
            slots.lag_ms[i] = header[LATEST] - time
        if late and bounds.refuse_late:
            slots.slot[i] = -1
            clocks[i] = clock
            continue
        if late:
            note_beginning(header, clock, span, noted[i])
        elif not slots.fresh[i]:
            note_end(header, clock, span, noted[i])
        header[COUNT] += 1.0
        clock, latest_ms, strayed = ticked(clock, latest_ms, strayed, time, span)
        clocks[i] = clock
        if not late:
            hear(header, clock, time)
    return expired, Clock(clock, latest_ms, strayed)
