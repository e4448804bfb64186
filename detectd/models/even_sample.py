"""A bounded sample of the stream: even over partitions, uniform within each. Pure.

Each row draws a lot, by its number in the stream alone, and of each partition the rows with the
lowest lots are kept. If one row is too many, the partition with the most gives up its highest.
So a replay keeps the same rows, and what happens next depends on how many rows there were, what is
kept and what was given up, but on no count for each partition: a commit would have no room for it.
"""

from __future__ import annotations

import math
from array import array
from heapq import heappop, heappush
from typing import TYPE_CHECKING, NamedTuple

from detectd.rejection.tie_breaking import lot

if TYPE_CHECKING:
    from collections.abc import Iterable

# Lots are neither those of a training window nor those that break ties.
SALT = 0x3A7E << 44

# Instead of a place: a row that is left out, and one that is left out and bars higher lots.
LEFT_OUT, BARRING = -1, -2


class Entry(NamedTuple):
    """A row that was kept at a place when it came, or is `BARRING`."""

    place: int
    number: int
    partition: int


class EvenSample:
    """Says at which place a row is kept, and forgets the row. Partitions are numbers of any kind.

    `size` may grow. `offered` counts all rows.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.offered = 0
        self._owner = array("Q")
        self._lots = array("d")
        self._kept: dict[int, int] = {}
        # No row of the partition with this lot or a higher one is kept.
        self._bars: dict[int, float] = {}
        # The rows of each partition, the highest lot on top; not before a place is given up.
        self._heaps: dict[int, list[tuple[float, int]]] | None = None

    @property
    def filled(self) -> int:
        """Return how many places are taken."""
        return len(self._owner)

    @property
    def kept(self) -> dict[int, int]:
        """Return how many rows of each partition are kept."""
        return {partition: count for partition, count in self._kept.items() if count}

    def given(self, partition: int) -> float:
        """Return how many rows the partition has given; infinity if more than could be kept."""
        return math.inf if partition in self._bars else self._kept.get(partition, 0)

    def offer(self, partition: int) -> int:
        """Return the place of the next row, or `LEFT_OUT` or `BARRING`.

        A place below `filled` was another row's until now.
        """
        number, self.offered = self.offered, self.offered + 1
        drawn = lot(number ^ SALT)
        if drawn >= self._bars.get(partition, math.inf):
            return LEFT_OUT
        place = self.filled if self.filled < self.size else self._given_up(partition, drawn)
        self._put(place, partition, drawn)
        return place

    def restore(self, entries: Iterable[Entry], offered: int) -> None:
        """Make of a new sample one that has seen all this, in order.

        Raises ValueError if that cannot have come about.
        """
        for place, number, partition in entries:
            if not BARRING <= place <= self.filled:
                raise ValueError("no such place")
            if 0 <= place < self.filled and self._give_up(self._owner[place]) != place:
                raise ValueError("a row was given up that had not the highest lot")
            self._put(place, partition, lot(number ^ SALT))
        self.offered = offered

    def _given_up(self, partition: int, drawn: float) -> int:
        """Return the place of the row that a new one with that lot replaces; `BARRING` if it is
        itself."""
        most = max(self._kept, key=self._kept.__getitem__)
        if self._kept.get(partition, 0) + 1 >= self._kept[most]:
            own = self._heap(partition)
            if not own or drawn >= -own[0][0]:
                return BARRING
            most = partition
        return self._give_up(most)

    def _give_up(self, partition: int) -> int:
        highest, place = heappop(self._heap(partition))
        self._bars[partition] = -highest
        self._kept[partition] -= 1
        return place

    def _put(self, place: int, partition: int, drawn: float) -> None:
        if place == BARRING:
            self._bars[partition] = drawn
            return
        self._kept[partition] = self._kept.get(partition, 0) + 1
        if place == self.filled:
            self._owner.append(partition)
            self._lots.append(drawn)
        else:
            self._owner[place], self._lots[place] = partition, drawn
        if self._heaps is not None:
            heappush(self._heaps.setdefault(partition, []), (-drawn, place))

    def _heap(self, partition: int) -> list[tuple[float, int]]:
        if self._heaps is None:
            self._heaps = {}
            for place, (owner, drawn) in enumerate(zip(self._owner, self._lots, strict=True)):
                heappush(self._heaps.setdefault(owner, []), (-drawn, place))
        return self._heaps.setdefault(partition, [])
