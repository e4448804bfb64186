"""The order of training rows in time, whichever files and keys they come from. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray


class RowOrder:
    """Puts the rows of each key in order, and the keys side by side.

    A row's place is how much of its key's rows came before it. So the last rows of all are the
    later part of each key's, also if one key was read after another.
    """

    def __init__(self) -> None:
        self._numbers: dict[bytes | None, int] = {}
        self._keys: list[int] = []
        self._places: list[int] = []
        self._counts: list[int] = []

    def add(self, keys: Iterable[bytes | None]) -> None:
        """Take the keys of further rows, in the order in which they were read."""
        for key in keys:
            number = self._numbers.setdefault(key, len(self._numbers))
            if number == len(self._counts):
                self._counts.append(0)
            self._keys.append(number)
            self._places.append(self._counts[number])
            self._counts[number] += 1

    def order(self) -> NDArray[np.intp]:
        """Return the rows (N,) in order."""
        keys, counts = np.array(self._keys, dtype=np.intp), np.array(self._counts)
        return np.argsort(np.array(self._places) / counts[keys], kind="stable")
