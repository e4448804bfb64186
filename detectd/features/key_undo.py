"""Copies, as of the last commit, of rows that were written since. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Places = NDArray[np.intp]


class RowCopies:
    """Copies of rows, each made once, before the first change since `clear`."""

    def __init__(self) -> None:
        self._slots: list[Places] = []
        self._rows: list[Floats] = []
        self._copied = np.zeros(0, dtype=bool)

    def save(self, rows: Floats, slots: Places) -> None:
        """Copy the rows in these slots, unless there is a copy already."""
        if len(self._copied) < len(rows):
            self._copied = np.append(
                self._copied, np.zeros(len(rows) - len(self._copied), dtype=bool)
            )
        slots = np.unique(slots[~self._copied[slots]])
        if len(slots):
            self._copied[slots] = True
            self._slots.append(slots)
            self._rows.append(rows[slots])

    def __iter__(self) -> Iterator[tuple[Places, Floats]]:
        """Yield slots (k,) and their rows (k, width), each once."""
        return zip(self._slots, self._rows, strict=True)

    @property
    def any(self) -> bool:
        """Return whether there is a copy."""
        return bool(self._slots)

    def put_back(self, rows: Floats) -> None:
        """Restore all copies into the rows, and drop them."""
        for slots, copies in self:
            rows[slots] = copies
        self.clear()

    def clear(self) -> None:
        """Drop all copies."""
        for slots in self._slots:
            self._copied[slots] = False
        self._slots, self._rows = [], []
