"""A bounded sample of the stream: even over partitions, uniform within each. Pure.

The first `size` rows all enter. After that a row of a partition of which nothing was left out yet
takes the place of a row of the partition with the most; any other row competes with those of its
own partition, by algorithm R (J. S. Vitter, "Random sampling with a reservoir", 1985). This is
class-balancing reservoir sampling (A. Chrysakis, M.-F. Moens, 2020), with partitions for classes.
Lots come from the number of the row alone, so a replay keeps the same rows.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from detectd.rejection.lots import lot

if TYPE_CHECKING:
    from collections.abc import Iterable

# Lots are neither those of a training window nor those that break ties.
SALT = 0x3A7E << 44


class EvenSample:
    """Says at which place a row is kept, and forgets the row: about 20 bytes a place.

    `size` may grow. `offered` counts all rows; what happens next depends on the calls so far alone.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.offered = 0
        self._numbers: dict[str, int] = {}
        self._seen: list[int] = []
        # The places of each partition; of each place, its partition and where it is among those.
        self._places: list[array[int]] = []
        self._owner = array("i")
        self._index = array("q")

    @property
    def filled(self) -> int:
        """How many places are taken."""
        return len(self._owner)

    @property
    def seen(self) -> dict[str, int]:
        """How many rows each partition has offered, in the order in which they first did."""
        return dict(zip(self._numbers, self._seen, strict=True))

    @property
    def kept(self) -> dict[str, int]:
        """How many rows of each partition are kept."""
        return {name: len(self._places[number]) for name, number in self._numbers.items()}

    def number(self, partition: str) -> int:
        """Return the number of the partition: 0 for the first that offered a row, and so on."""
        known = self._numbers.get(partition)
        if known is None:
            known = self._numbers[partition] = len(self._seen)
            self._seen.append(0)
            self._places.append(array("q"))
        return known

    def offer(self, partition: str) -> int:
        """Return the place of the next row, −1 if it is left out.

        A place below `filled` was another row's until now.
        """
        number = self.number(partition)
        row, self.offered = self.offered, self.offered + 1
        self._seen[number] += 1
        place = self.filled if self.filled < self.size else self._replaced(number, row)
        if place >= 0:
            self._put(place, number)
        return place

    def restore(self, entered: Iterable[tuple[int, int]], seen: dict[str, int]) -> None:
        """Make of a new sample one that has seen all this: the (place, partition number) of rows
        that entered, in order, and how many each partition offered.

        Raises ValueError if that cannot have come about.
        """
        for name in seen:
            self.number(name)
        for place, number in entered:
            if not (0 <= place <= self.filled and 0 <= number < len(seen)):
                raise ValueError("no such place or partition")
            self._put(place, number)
        self._seen = [*seen.values()]
        self.offered = sum(self._seen)

    def _replaced(self, number: int, row: int) -> int:
        own, before = self._places[number], self._seen[number] - 1
        draw = lot(row ^ SALT)
        if before == len(own):  # nothing of it was left out yet
            most = max(self._places, key=len)
            if len(most) > len(own):
                return most[int(draw * len(most))]
        index = int(draw * (before + 1))
        return own[index] if index < len(own) else -1

    def _put(self, place: int, number: int) -> None:
        own = self._places[number]
        if place == self.filled:
            self._owner.append(number)
            self._index.append(len(own))
        else:
            self._take_out(place)
            self._owner[place], self._index[place] = number, len(own)
        own.append(place)

    def _take_out(self, place: int) -> None:
        places, index = self._places[self._owner[place]], self._index[place]
        last = places.pop()
        if last != place:
            places[index] = last
            self._index[last] = index
