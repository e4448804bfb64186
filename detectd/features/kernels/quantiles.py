"""Quantiles of a key's last values, which are also kept sorted."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from detectd.jit import compiled_in_place

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def sorted_words(params: Sequence[float]) -> int:
    """Return the size of the number of values, the last k = params[0], and the same values
    sorted."""
    return 1 + 2 * int(params[0])


@compiled_in_place
def place_of(ordered: Floats, n: int, x: float) -> int:
    """Return how many of the first n sorted values are smaller than x."""
    low, high = 0, n
    while low < high:
        middle = (low + high) // 2
        if ordered[middle] < x:
            low = middle + 1
        else:
            high = middle
    return low


@compiled_in_place
def put_sorted(state: Floats, x: float, k: int) -> int:
    """Add x to a window of k values that is also kept sorted; return the number of values."""
    n = int(state[0])
    ring, ordered = state[1 : 1 + k], state[1 + k :]
    held = min(n, k)
    if held == k:
        # Remove the oldest.
        held -= 1
        for i in range(place_of(ordered, k, ring[n % k]), held):
            ordered[i] = ordered[i + 1]
    place = place_of(ordered, held, x)
    for i in range(held, place, -1):
        ordered[i] = ordered[i - 1]
    ordered[place] = x
    ring[n % k] = x
    state[0] = n + 1
    return held + 1


@compiled_in_place
def quantile_of(ordered: Floats, n: int, q: float) -> float:
    """Return the quantile q of the first n sorted values, interpolated linearly."""
    at = q * (n - 1)
    low = min(int(at), n - 1)
    part = at - low
    if part == 0.0:
        return float(ordered[low])
    return float(ordered[low] + part * (ordered[low + 1] - ordered[low]))


@compiled_in_place
def quantile(state: Floats, x: float, t_ms: float, params: Floats, out: Floats) -> None:  # noqa: ARG001
    """Compute the quantile q = params[1] of the last k = params[0] values, interpolated
    linearly."""
    out[0] = math.nan
    if math.isnan(x):
        return
    k = int(params[0])
    held = put_sorted(state, x, k)
    out[0] = quantile_of(state[1 + k :], held, params[1])
