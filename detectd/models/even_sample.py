"""A bounded sample of the stream: even over partitions, uniform within each. Pure.

Each row gets a pseudo-random number from its number in the stream alone, and the rows with the
lowest ones of each partition are kept. If there is one row too many, the partition with the most
rows drops its highest. So a replay keeps the same rows, and the next step depends on the number of
rows, the kept and the dropped ones, but on no count per partition, for which a commit would have no
room.
"""

from __future__ import annotations

import math
from array import array
from heapq import heappop, heappush
from typing import TYPE_CHECKING, NamedTuple

from detectd.rejection.tie_breaking import lot

if TYPE_CHECKING:
    from collections.abc import Iterable

# A random stream separate from those of training windows and of tie-breaking.
SALT = 0x3A7E << 44

# Instead of an index: a row that is left out, and one that is left out and bars higher numbers.
LEFT_OUT, BARRING = -1, -2


class Entry(NamedTuple):
    """A row that was kept at an index when it came, or is `BARRING`."""

    place: int
    number: int
    partition: int


class EvenSample:
    """Decide at which index a row is kept, without storing it. Partitions are any numbers.

    `size` may grow. `offered` counts all rows.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.offered = 0
        self._owner = array("Q")
        self._lots = array("d")
        self._kept: dict[int, int] = {}
        # No row of the partition with this number or a higher one is kept.
        self._bars: dict[int, float] = {}
        # The rows of each partition, the highest number on top; built when the first index is given
        # up.
        self._heaps: dict[int, list[tuple[float, int]]] | None = None

    @property
    def filled(self) -> int:
        """Return how many rows are kept."""
        return len(self._owner)

    @property
    def kept(self) -> dict[int, int]:
        """Return how many rows of each partition are kept."""
        return {partition: count for partition, count in self._kept.items() if count}

    def given(self, partition: int) -> float:
        """Return how many rows the partition has contributed; infinity if more than could be
        kept."""
        return math.inf if partition in self._bars else self._kept.get(partition, 0)

    def offer(self, partition: int) -> int:
        """Return the index of the next row, or `LEFT_OUT` or `BARRING`.

        An index below `filled` belonged to another row until now.
        """
        number, self.offered = self.offered, self.offered + 1
        drawn = lot(number ^ SALT)
        if drawn >= self._bars.get(partition, math.inf):
            return LEFT_OUT
        place = self.filled if self.filled < self.size else self._given_up(partition, drawn)
        self._put(place, partition, drawn)
        return place

    def restore(self, entries: Iterable[Entry], offered: int) -> None:
        """Restore a new sample to the state after these entries, in order.

        Raise ValueError if that is inconsistent.
        """
        for place, number, partition in entries:
            if not BARRING <= place <= self.filled:
                raise ValueError("no such place")
            if 0 <= place < self.filled and self._give_up(self._owner[place]) != place:
                raise ValueError("the row given up did not have the highest lot")
            self._put(place, partition, lot(number ^ SALT))
        self.offered = offered

    def _given_up(self, partition: int, drawn: float) -> int:
        """Return the index of the row that a new one with that number replaces; `BARRING` for
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
