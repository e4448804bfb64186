"""Windows of event time, each of 60 slices, so that their size does not depend on the event rate.

A window of length w consists of the event's slice and the 59 before it, each of length w/60, so it
covers between 59/60 w and w. A late event is added to the slice of its own time, and its result is
that of the window ending then. If a clock was ahead and is set back, its slices are replaced one by
one.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from detectd.features.kernels.windows import merged
from detectd.jit import compiled_in_place

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SLICES = 60


def count_words(params: Sequence[float]) -> int:  # noqa: ARG001
    """Return the size of each slice's stamp and number of events."""
    return 2 * SLICES


def extreme_words(params: Sequence[float]) -> int:  # noqa: ARG001
    """Return the size of each slice's stamp and extreme value."""
    return 2 * SLICES


def mean_words(params: Sequence[float]) -> int:  # noqa: ARG001
    """Return the size of each slice's stamp, number of values and sum."""
    return 3 * SLICES


def std_words(params: Sequence[float]) -> int:  # noqa: ARG001
    """Return the size of each slice's stamp, number of values, mean and sum of squared
    deviations."""
    return 4 * SLICES


@compiled_in_place
def _slice(state: Floats, t_ms: float, window_ms: float) -> tuple[int, float, bool]:
    """Return the slice of the time, its stamp (zero: empty), and whether it was just emptied."""
    stamp = math.floor(t_ms / (window_ms / SLICES)) + 1.0
    place = int(stamp) % SLICES
    if state[place] != stamp:
        for i in range(place, state.shape[0], SLICES):
            state[i] = 0.0
        state[place] = stamp
        return place, stamp, True
    return place, stamp, False


@compiled_in_place
def _inside(state: Floats, i: int, stamp: float) -> bool:
    """Return whether slice i is one of the last 60 up to that of the stamp, and not empty."""
    return bool(state[i] > 0.0 and stamp - SLICES < state[i] <= stamp)


@compiled_in_place
def count(state: Floats, x: float, t_ms: float, params: Floats, out: Floats) -> None:  # noqa: ARG001
    """Compute the number of the key's events in the last params[0] ms, the present one included."""
    out[0] = math.nan
    if math.isnan(t_ms):
        return
    place, stamp, _ = _slice(state, t_ms, params[0])
    state[SLICES + place] += 1.0
    total = 0.0
    for i in range(SLICES):
        if _inside(state, i, stamp):
            total += state[SLICES + i]
    out[0] = total


@compiled_in_place
def mean(state: Floats, x: float, t_ms: float, params: Floats, out: Floats) -> None:
    """Compute the mean of the values of the last params[0] ms."""
    out[0] = math.nan
    if math.isnan(x) or math.isnan(t_ms):
        return
    place, stamp, _ = _slice(state, t_ms, params[0])
    state[SLICES + place] += 1.0
    state[2 * SLICES + place] += x
    n, total = 0.0, 0.0
    for i in range(SLICES):
        if _inside(state, i, stamp):
            n += state[SLICES + i]
            total += state[2 * SLICES + i]
    out[0] = total / n


@compiled_in_place
def std(state: Floats, x: float, t_ms: float, params: Floats, out: Floats) -> None:
    """Compute the sample standard deviation (n − 1) of the values of the last params[0] ms; NaN
    for one."""
    out[0] = math.nan
    if math.isnan(x) or math.isnan(t_ms):
        return
    place, stamp, _ = _slice(state, t_ms, params[0])
    numbers = state[SLICES : 2 * SLICES]
    means = state[2 * SLICES : 3 * SLICES]
    squares = state[3 * SLICES : 4 * SLICES]
    numbers[place], means[place], squares[place] = merged(
        numbers[place], means[place], squares[place], 1.0, x, 0.0
    )
    n, average, deviation = 0.0, 0.0, 0.0
    for i in range(SLICES):
        if _inside(state, i, stamp):
            n, average, deviation = merged(n, average, deviation, numbers[i], means[i], squares[i])
    if n > 1.0:
        out[0] = math.sqrt(deviation / (n - 1.0))


@compiled_in_place
def _smallest(state: Floats, x: float, t_ms: float, window_ms: float, sign: float) -> float:
    """Return the smallest of the values of the window times sign."""
    place, stamp, fresh = _slice(state, t_ms, window_ms)
    least = state[SLICES : 2 * SLICES]
    least[place] = sign * x if fresh else min(least[place], sign * x)
    found = math.inf
    for i in range(SLICES):
        if _inside(state, i, stamp):
            found = min(found, least[i])
    return found


@compiled_in_place
def lowest(state: Floats, x: float, t_ms: float, params: Floats, out: Floats) -> None:
    """Compute the smallest of the values of the last params[0] ms."""
    out[0] = math.nan
    if not (math.isnan(x) or math.isnan(t_ms)):
        out[0] = _smallest(state, x, t_ms, params[0], 1.0)


@compiled_in_place
def highest(state: Floats, x: float, t_ms: float, params: Floats, out: Floats) -> None:
    """Compute the largest of the values of the last params[0] ms."""
    out[0] = math.nan
    if not (math.isnan(x) or math.isnan(t_ms)):
        out[0] = -_smallest(state, x, t_ms, params[0], -1.0)
