"""The partitions that a warm-up waits for, so that no partition alone makes the model. Pure.

A consumer that has much to catch up on gets its records from one partition after another. So the
warm-up waits for each assigned partition until it has given its part of the rows, has been read to
its end, or is silent: an empty partition, a broker that is away, and one that never lags hold
nothing up, and the others give what these lack. What was once read to its end, or was silent, is
not waited for again, unless it leaves and comes back.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# How long a partition may deliver nothing before it is waited for no longer.
SILENT_SECONDS = 30.0


def delivers(lag: int | None, silent: float) -> bool:
    """Return whether a partition has more to give: its lag, None if unknown, and its silent
    seconds."""
    return lag != 0 and silent <= SILENT_SECONDS


class Awaited:
    """`names` are those that are waited for; None as long as nothing is known of a group's."""

    def __init__(self, *, shared: bool) -> None:
        self.names: list[str] | None = None if shared else []
        self._ended: set[str] = set()

    def look(
        self, assigned: Mapping[str, bool] | None, given: Mapping[str, float], rows: int
    ) -> None:
        """Look at what is assigned and whether it `delivers`, None in no group; and at how many
        rows each has given of those that all are to give together."""
        if assigned is None:
            return
        self._ended &= assigned.keys()
        self._ended |= {name for name, more in assigned.items() if not more}
        open_ = assigned.keys() - self._ended
        part = _part(rows, (given.get(name, 0) for name in self._ended), len(open_))
        self.names = [name for name in assigned if name in open_ and given.get(name, 0) < part]

    def begin_again(self) -> None:
        """More rows are wanted: those that have none to give are found out again."""
        self._ended.clear()


def _part(rows: int, ended: Iterable[float], others: int) -> int:
    """Return how many rows each of `others` gives, if all give the same but those that have no
    more."""
    counts = sorted(ended)
    for place, count in enumerate(counts):
        part = math.ceil(rows / (others + len(counts) - place))
        if count >= part:
            return part
        rows -= int(count)
    return math.ceil(rows / others) if others else 0
