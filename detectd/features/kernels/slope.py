"""The slope of a key's last values."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from detectd.features.kernels.windows import block_size, put
from detectd.jit import compiled_in_place

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@compiled_in_place
def slope(state: Floats, x: float, t_ms: float, params: Floats, out: Floats) -> None:  # noqa: ARG001
    """Compute the slope of the least-squares line through the last k = params[0] values, per value.

    NaN for one value. The state is that of `windows.two_blocks_words`: for each block, the mean and
    the sum of index times deviation from it.
    """
    out[0] = math.nan
    if math.isnan(x):
        return
    k = int(params[0])
    block, first, end, held = put(state, x, k)
    blocks = (k + block_size(k) - 1) // block_size(k)
    values, means, crosses = (
        state[1 : 1 + k],
        state[1 + k : 1 + k + blocks],
        state[1 + k + blocks :],
    )
    means[block], crosses[block] = _moments(values, first, end)
    if held > 1:
        newest = int(state[0] - 1.0) % k
        products = _products(values[:held], means, crosses, block_size(k), newest)
        out[0] = products / (held * (held * held - 1.0) / 12.0)


@compiled_in_place
def _moments(values: Floats, first: int, end: int) -> tuple[float, float]:
    """Return the mean of values first to end, and the sum of index times deviation from it."""
    average = 0.0
    for i in range(first, end):
        average += values[i]
    average /= end - first
    cross, middle = 0.0, (first + end - 1) / 2.0
    for i in range(first, end):
        cross += (i - middle) * (values[i] - average)
    return average, cross


@compiled_in_place
def _products(values: Floats, means: Floats, crosses: Floats, size: int, newest: int) -> float:
    """Return the sum of (age − mean age) times (value − mean value), over all values in the ring.

    Values after the newest in the ring are older, by a whole ring, than those at its beginning. A
    block with both kinds is summed value by value.
    """
    held = len(values)
    blocks = (held + size - 1) // size
    average = 0.0
    for block in range(blocks):
        average += means[block] * (min(size, held - block * size) / held)
    centre = newest - (held - 1) / 2.0
    total = 0.0
    for block in range(blocks):
        first, end = block * size, min(block * size + size, held)
        if first <= newest < end - 1:
            for i in range(first, end):
                place = i if i <= newest else i - held
                total += (place - centre) * (values[i] - average)
        else:
            middle = (first + end - 1) / 2.0 - (0.0 if first <= newest else held)
            total += crosses[block] + (end - first) * (middle - centre) * (means[block] - average)
    return total
