"""The headers of rows, event by event. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from detectd.features.key_rows import COUNT, LATEST, NUMBER, SILENT
from detectd.jit import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@compiled
def advance(
    rows: Floats,
    times_ms: Floats,
    events: int,
    latest_ms: float,
    idle_ms: float,
    refuse_late: bool,
    slot: NDArray[np.intp],
    fresh: NDArray[np.bool_],
    earlier: NDArray[np.int64],
    late: NDArray[np.bool_],
    silent: Floats,
    lost: Floats,
) -> tuple[int, float]:
    """Write the headers, and what is known of each event, see `Slots`, into the last six (k,).

    `lost` is since when a key was silent that makes room for this one. `events` and `latest_ms` are
    those of the table before. Returns how many keys began again after `idle_ms`, and the table's
    latest time.
    """
    expired = 0
    for i in range(len(slot)):
        header = rows[slot[i], :4]
        time = times_ms[i]
        if fresh[i]:
            lost[i] = header[SILENT] if header[NUMBER] > 0.0 else np.nan
        elif time - header[LATEST] > idle_ms:
            fresh[i] = True
            expired += 1
            silent[i] = header[SILENT]
        if fresh[i]:
            header[COUNT] = 0.0
            header[LATEST] = np.nan
            header[SILENT] = np.nan
        header[NUMBER] = events + i + 1
        earlier[i] = int(header[COUNT])
        late[i] = time < header[LATEST]
        if late[i] and refuse_late:
            slot[i] = -1
            continue
        header[COUNT] += 1.0
        if not late[i]:
            if not np.isnan(header[SILENT]):
                silent[i] = header[SILENT]
                header[SILENT] = np.nan
            if not np.isnan(time):
                header[LATEST] = time
        latest_ms = max(latest_ms, time) if not np.isnan(time) else latest_ms
    return expired, latest_ms
