"""Find the least recently seen of many slots from the numbers of their latest events alone. Pure.

Slots are sorted once, and taken in that order unless they were seen since: those are more recent
than all others. When none is left, they are sorted again. In between, every slot was seen or taken,
so sorting costs O(log n) per event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


class LeastRecent:
    """Return slots in the order in which they were last seen."""

    def __init__(self) -> None:
        self._slots: list[int] = []
        self._numbers: list[float] = []

    def reset(self) -> None:
        """Discard the order: a rollback decreased the numbers."""
        self._slots, self._numbers = [], []

    def take(self, numbers: Floats, seen: Container[int], settle: Callable[[], None]) -> int:
        """Return the slot with the smallest of `numbers` (k,); each is returned once until seen
        again.

        `seen` are slots with an event that `numbers` do not include yet; `settle` includes them and
        empties it.
        """
        while True:
            while self._slots:
                slot, number = self._slots.pop(), self._numbers.pop()
                if slot not in seen and numbers[slot] == number:
                    return slot
            settle()
            order = np.argsort(numbers, kind="stable")[::-1]
            self._slots, self._numbers = order.tolist(), numbers[order].tolist()
