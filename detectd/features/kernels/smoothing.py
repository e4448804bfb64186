"""Exponential averages, and standardised distances from earlier values."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from detectd.features.kernels.quantiles import place_of, put_sorted, quantile_of
from detectd.jit import compiled_in_place

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# A normal distribution's standard deviation over its median absolute deviation.
MAD_TO_STD = 1.482602218505602
# Larger distances are clipped.
LARGEST_Z = 100.0
# A scale that is smaller relative to the values is rounding.
ROUNDING = 1e-12


def ewma_words(params: Sequence[float]) -> int:  # noqa: ARG001
    """Return the size of the sum of the weights, the average and the latest time."""
    return 3


@compiled_in_place
def ewma(state: Floats, x: float, t_ms: float, params: Floats, out: Floats) -> None:  # noqa: ARG001
    """Compute the exponential average of all values, with a half-life of params[0] values."""
    out[0] = math.nan
    if math.isnan(x):
        return
    _average(state, x, 2.0 ** (-1.0 / params[0]))
    out[0] = state[1]


@compiled_in_place
def ewma_by_time(state: Floats, x: float, t_ms: float, params: Floats, out: Floats) -> None:
    """Compute the exponential average of all values, with a half-life of params[0] ms.

    The time between an event and a late one after it counts as zero.
    """
    out[0] = math.nan
    if math.isnan(x) or math.isnan(t_ms):
        return
    _average(state, x, 2.0 ** (-max(0.0, t_ms - state[2]) / params[0]))
    state[2] = t_ms
    out[0] = state[1]


@compiled_in_place
def _average(state: Floats, x: float, kept: float) -> None:
    state[0] = state[0] * kept + 1.0
    state[1] += (x - state[1]) / state[0]


def zscore_words(params: Sequence[float]) -> int:
    """Return the number of values, the last k = params[0], and the same in order of size."""
    return 1 + 2 * int(params[0])


@compiled_in_place
def zscore(state: Floats, x: float, t_ms: float, params: Floats, out: Floats) -> None:  # noqa: ARG001
    """Compute how many standard deviations x is from the centre of the k = params[0] previous
    values.

    Use their median and median absolute deviation if params[1], else their mean and standard
    deviation; NaN until there are two. Clipped to ±100, also if all of them are equal and x is not.
    """
    out[0] = math.nan
    if math.isnan(x):
        return
    k = int(params[0])
    n = min(int(state[0]), k)
    if n >= 2:
        ordered = state[1 + k :]
        if params[1] != 0.0:
            centre = quantile_of(ordered, n, 0.5)
            scale = MAD_TO_STD * _median_deviation(ordered, n, centre)
        else:
            centre, scale = _moments(ordered, n)
        out[0] = _standardised(x, centre, scale)
    put_sorted(state, x, k)


@compiled_in_place
def _standardised(x: float, centre: float, scale: float) -> float:
    apart, rounding = x - centre, ROUNDING * abs(centre)
    if abs(apart) <= rounding:
        return 0.0
    if scale <= rounding:
        return LARGEST_Z if apart > 0.0 else -LARGEST_Z
    return max(-LARGEST_Z, min(LARGEST_Z, apart / scale))


@compiled_in_place
def _median_deviation(ordered: Floats, n: int, centre: float) -> float:
    """Return the median distance from the centre of sorted values, taken from the inside
    outwards."""
    high = place_of(ordered, n, centre)
    low = high - 1
    here, before = 0.0, 0.0
    for _ in range(n // 2 + 1):
        before = here
        below = centre - ordered[low] if low >= 0 else math.inf
        above = ordered[high] - centre if high < n else math.inf
        here = min(below, above)
        if below <= above:
            low -= 1
        else:
            high += 1
    return here if n % 2 else (before + here) / 2.0


@compiled_in_place
def _moments(ordered: Floats, n: int) -> tuple[float, float]:
    """Return the mean and the sample standard deviation (n − 1) of the first n values."""
    total = 0.0
    for i in range(n):
        total += ordered[i]
    average = total / n
    squares = 0.0
    for i in range(n):
        squares += (ordered[i] - average) ** 2
    return average, math.sqrt(squares / (n - 1))
