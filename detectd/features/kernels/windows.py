"""Windows of a key's last values, including the present one. Missing values are skipped.

No step subtracts leaving values from a running sum: the rounding error of one large value would
last for the life of the key. Instead a window is divided into blocks. Only the new value's block is
summed again, and then the blocks: about 2 √k additions for k values.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from detectd.jit import compiled_in_place

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def ring_words(params: Sequence[float]) -> int:
    """Return the size of the number of values, and the last k = params[0]."""
    return 1 + int(params[0])


def blocks_words(params: Sequence[float]) -> int:
    """Return the size of the number of values, the last k = params[0], and one figure per block."""
    k = int(params[0])
    return 1 + k + -(-k // block_size(k))


def two_blocks_words(params: Sequence[float]) -> int:
    """Return the size of the number of values, the last k = params[0], and two figures per
    block."""
    k = int(params[0])
    return 1 + k + 2 * -(-k // block_size(k))


@compiled_in_place
def block_size(k: int) -> int:
    """Return the block size for which a block and the list of blocks are about equally long."""
    return max(1, int(math.sqrt(k)))


@compiled_in_place
def lag(state: Floats, x: float, t_ms: float, params: Floats, out: Floats) -> None:  # noqa: ARG001
    """Compute the value k = params[0] values ago, in the unit of x; NaN until there is one."""
    out[0] = math.nan
    if math.isnan(x):
        return
    k, n = int(params[0]), int(state[0])
    place = 1 + n % k
    if n >= k:
        out[0] = state[place]
    state[place] = x
    state[0] = n + 1


@compiled_in_place
def diff(state: Floats, x: float, t_ms: float, params: Floats, out: Floats) -> None:
    """Compute x minus the value k = params[0] values ago, in the unit of x; NaN until there is
    one."""
    lag(state, x, t_ms, params, out)
    out[0] = x - out[0]


@compiled_in_place
def shingle(state: Floats, x: float, t_ms: float, params: Floats, out: Floats) -> None:  # noqa: ARG001
    """Compute the last k = params[0] values, oldest first; NaN until there are k."""
    out[:] = math.nan
    if math.isnan(x):
        return
    k, n = int(params[0]), int(state[0])
    state[1 + n % k] = x
    state[0] = n + 1
    if n + 1 >= k:
        for i in range(k):
            out[i] = state[1 + (n + 1 + i) % k]


@compiled_in_place
def put(state: Floats, x: float, k: int) -> tuple[int, int, int, int]:
    """Add x to the ring; return its block, the block's start and end, and the number of values
    held."""
    n, size = int(state[0]), block_size(k)
    place = n % k
    state[1 + place] = x
    state[0] = n + 1
    held = min(n + 1, k)
    block = place // size
    return block, block * size, min(block * size + size, held), held


@compiled_in_place
def mean(state: Floats, x: float, t_ms: float, params: Floats, out: Floats) -> None:  # noqa: ARG001
    """Compute the mean of the last k = params[0] values, or of all if there are fewer."""
    out[0] = math.nan
    if math.isnan(x):
        return
    k = int(params[0])
    block, first, end, held = put(state, x, k)
    values, sums = state[1 : 1 + k], state[1 + k :]
    total = 0.0
    for i in range(first, end):
        total += values[i]
    sums[block] = total
    total = 0.0
    size = block_size(k)
    for i in range((held + size - 1) // size):
        total += sums[i]
    out[0] = total / held


@compiled_in_place
def merged(
    n: float, average: float, squares: float, m: float, other: float, more: float
) -> tuple[float, float, float]:
    """Merge number, mean and sum of squared deviations of two sets of n and m values.

    Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample
    Variances", 1979.
    """
    both = n + m
    if both == 0.0:
        return 0.0, 0.0, 0.0
    apart = other - average
    return both, average + apart * (m / both), squares + more + apart * apart * (n * m / both)


@compiled_in_place
def std(state: Floats, x: float, t_ms: float, params: Floats, out: Floats) -> None:  # noqa: ARG001
    """Compute the sample standard deviation (n − 1) of the last k = params[0] values; NaN for
    one."""
    out[0] = math.nan
    if math.isnan(x):
        return
    k = int(params[0])
    block, first, end, held = put(state, x, k)
    size = block_size(k)
    blocks = (k + size - 1) // size
    values, means, squares = (
        state[1 : 1 + k],
        state[1 + k : 1 + k + blocks],
        state[1 + k + blocks :],
    )
    average = 0.0
    for i in range(first, end):
        average += values[i]
    average /= end - first
    deviation = 0.0
    for i in range(first, end):
        deviation += (values[i] - average) ** 2
    means[block], squares[block] = average, deviation
    n, average, deviation = 0.0, 0.0, 0.0
    for i in range((held + size - 1) // size):
        more = float(min(size, held - i * size))
        n, average, deviation = merged(n, average, deviation, more, means[i], squares[i])
    if n > 1.0:
        out[0] = math.sqrt(deviation / (n - 1.0))


@compiled_in_place
def _smallest(state: Floats, x: float, k: int, sign: float) -> float:
    """Return the smallest of the last k values times sign."""
    block, first, end, held = put(state, x, k)
    size = block_size(k)
    values, least = state[1 : 1 + k], state[1 + k :]
    found = math.inf
    for i in range(first, end):
        found = min(found, sign * values[i])
    least[block] = found
    for i in range((held + size - 1) // size):
        found = min(found, least[i])
    return found


@compiled_in_place
def lowest(state: Floats, x: float, t_ms: float, params: Floats, out: Floats) -> None:  # noqa: ARG001
    """Compute the smallest of the last k = params[0] values."""
    out[0] = math.nan if math.isnan(x) else _smallest(state, x, int(params[0]), 1.0)


@compiled_in_place
def highest(state: Floats, x: float, t_ms: float, params: Floats, out: Floats) -> None:  # noqa: ARG001
    """Compute the largest of the last k = params[0] values."""
    out[0] = math.nan if math.isnan(x) else -_smallest(state, x, int(params[0]), -1.0)
