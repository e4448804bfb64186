"""The partitions that a warm-up waits for, so that no single partition makes the model. Pure.

A consumer with a backlog gets its records from one partition after another. So the warm-up waits
for each assigned partition until it has contributed its part of the rows, has been read to its end,
or is silent: an empty partition, an unavailable broker, and one that never lags hold nothing up,
and the others contribute what these lack. A partition that was once read to its end, or was silent,
is not waited for again, unless it is reassigned.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# After how many seconds without a record a partition is no longer waited for.
SILENT_SECONDS = 30.0


def delivers(lag: int | None, silent: float) -> bool:
    """Return whether a partition has more records: by its lag, None if unknown, and its silent
    seconds."""
    return lag != 0 and silent <= SILENT_SECONDS


class Awaited:
    """The awaited partitions, `names`; None as long as nothing is known of a group's."""

    def __init__(self, *, shared: bool) -> None:
        self.names: list[str] | None = None if shared else []
        self._ended: set[str] = set()

    def look(
        self, assigned: Mapping[str, bool] | None, given: Mapping[str, float], rows: int
    ) -> None:
        """Update from the assigned partitions, each with whether it `delivers`, or None outside of
        a group; and from the rows that each has contributed to the total of `rows`."""
        if assigned is None:
            return
        self._ended &= assigned.keys()
        self._ended |= {name for name, more in assigned.items() if not more}
        open_ = assigned.keys() - self._ended
        part = _part(rows, (given.get(name, 0) for name in self._ended), len(open_))
        self.names = [name for name in assigned if name in open_ and given.get(name, 0) < part]

    def begin_again(self) -> None:
        """Restart the wait, since more rows are wanted: partitions without any are detected
        again."""
        self._ended.clear()


def _part(rows: int, ended: Iterable[float], others: int) -> int:
    """Return how many rows each of `others` contributes, if all contribute the same except those
    that have ended."""
    counts = sorted(ended)
    for place, count in enumerate(counts):
        part = math.ceil(rows / (others + len(counts) - place))
        if count >= part:
            return part
        rows -= int(count)
    return math.ceil(rows / others) if others else 0
