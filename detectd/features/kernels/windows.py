"""Windows of a key's last events, the present one included. Missing values are passed over."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from detectd.jit import compiled

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def lag_words(params: Sequence[float]) -> int:
    """The number of values, and the last k."""
    return 1 + int(params[0])


@compiled
def lag(state: Floats, x: float, t_ms: float, params: Floats, out: Floats) -> None:  # noqa: ARG001
    """The value k = params[0] values ago, in the unit of x; NaN before there is one."""
    out[0] = math.nan
    if math.isnan(x):
        return
    k, n = int(params[0]), int(state[0])
    place = 1 + n % k
    if n >= k:
        out[0] = state[place]
    state[place] = x
    state[0] = n + 1


def mean_words(params: Sequence[float]) -> int:
    """The number of values, the last k, and a sum for each block of them."""
    k = int(params[0])
    return 1 + k + -(-k // block_size(k))


@compiled
def block_size(k: int) -> int:
    """The size of a block: so that a block and all blocks' sums are added up in about 2 √k steps.

    A running sum, from which the oldest value is subtracted, would keep the rounding errors of a
    value that was large for as long as the key lives.
    """
    return max(1, int(math.sqrt(k)))


@compiled
def mean(state: Floats, x: float, t_ms: float, params: Floats, out: Floats) -> None:  # noqa: ARG001
    """The mean of the last k = params[0] values, or of fewer at the beginning."""
    out[0] = math.nan
    if math.isnan(x):
        return
    k, n = int(params[0]), int(state[0])
    size = block_size(k)
    values, sums = state[1 : 1 + k], state[1 + k :]
    place = n % k
    values[place] = x
    state[0] = n + 1
    held = min(n + 1, k)
    start = place // size * size
    total = 0.0
    for i in range(start, min(start + size, held)):
        total += values[i]
    sums[place // size] = total
    total = 0.0
    for i in range((held + size - 1) // size):
        total += sums[i]
    out[0] = total / held
