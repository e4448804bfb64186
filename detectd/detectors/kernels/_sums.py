"""Sums in numpy's order, so that a kernel gets the same bits as numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detectd.jit import compiled

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# numpy sums up to this many numbers in one block, as eight parallel sums.
BLOCK = 128


@compiled
def add_up(cells: NDArray[np.float64], width: int) -> float:
    """Return the sum of the first `width` cells, in the order in which numpy sums a row of up to
    128."""
    added = 0.0
    done = 0
    if 8 <= width <= BLOCK:
        a, b, c, d = cells[0], cells[1], cells[2], cells[3]
        e, f, g, h = cells[4], cells[5], cells[6], cells[7]
        done = width - width % 8
        for j in range(8, done, 8):
            a, b, c, d = a + cells[j], b + cells[j + 1], c + cells[j + 2], d + cells[j + 3]
            e, f = e + cells[j + 4], f + cells[j + 5]
            g, h = g + cells[j + 6], h + cells[j + 7]
        added = ((a + b) + (c + d)) + ((e + f) + (g + h))
    for j in range(done, width):
        added += cells[j]
    return added
