"""Surprise: −log10 of the two-sided probability of a value among its key's last values.

A value is compared with the earlier ones, if there are at least 20 (0 otherwise), and then added to
them, however surprising it was. 0 is the median, 1 a value that one in ten reaches on either side,
4 one in ten thousand; for tails see `_tails`.

It uses the aged sketch (`_sketch`), or exactly all of the last values. Beside it stands what was
expected: the median of the earlier values in the sketch, NaN if there are too few; of exact values
no median is known, only whether it is lower (−∞) or higher (∞).

params: memory (events), side (0 both, 1 only high values, −1 only low ones), the smallest mean
excess of a tail, in the units of the value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from detectd.features.kernels import _sketch as sketch
from detectd.features.kernels._tails import FEWEST, LOG10_2, beyond, by_rank, extremes
from detectd.jit import compiled, compiled_in_place

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from numpy.typing import NDArray

    Row = NDArray[np.float64]

MEMORY, SIDE, LEAST_EXCESS = 0, 1, 2


def words(params: Sequence[float]) -> int:  # noqa: ARG001 - the same for all
    """Return the size of a sketch."""
    return sketch.WORDS


@compiled_in_place
def step(state: Row, x: float, t_ms: float, params: Row, out: Row) -> None:  # noqa: ARG001
    """Compute the surprise of x by the sketch, and add x to it."""
    if not np.isfinite(x):
        out[:] = np.nan
        return
    out[1] = expected(state)
    out[0] = by_sketch(state, x, params[MEMORY], params[SIDE], params[LEAST_EXCESS])
    sketch.join(state, x, params[MEMORY])


@compiled_in_place
def expected(state: Row) -> float:
    """Return the median of the values in a sketch, NaN if there are too few.

    It follows slowly; what it says is not beyond the tails, which follow at once.
    """
    if state[sketch.SEEN] < FEWEST:
        return np.nan
    median = state[sketch.MEDIAN]
    if state[sketch.LENGTH] == sketch.TAIL and state[sketch.LENGTH + 1] == sketch.TAIL:
        values = state[sketch.VALUES : sketch.NUMBERS].view(np.float32)
        median = min(median, np.float64(values[sketch.TAIL - 1]))
        median = max(median, -np.float64(values[2 * sketch.TAIL - 1]))
    return float(state[sketch.ANCHOR] + median)


@compiled_in_place
def by_sketch(state: Row, x: float, memory: float, side: float, least: float) -> float:
    """Return the surprise of x among the last `memory` values in a sketch."""
    m = min(state[sketch.SEEN], memory)
    if m < FEWEST:
        return 0.0
    v, values = sketch.relative(state, x), state[sketch.VALUES : sketch.NUMBERS].view(np.float32)
    most = 0.0
    if side >= 0.0:
        most = max(most, _one_sided(state, values, 0, v, m, least))
    if side <= 0.0:
        most = max(most, _one_sided(state, values, 1, -v, m, least))
    return max(most - LOG10_2, 0.0) if side == 0.0 else most


@compiled_in_place
def _one_sided(state: Row, values: Any, side: int, v: float, m: float, least: float) -> float:
    first, length = side * sketch.TAIL, int(state[sketch.LENGTH + side])
    count = min(extremes(m), length)
    if count == 0:  # all were too old
        return 0.0
    edge = float(values[first + count - 1])
    if v > edge:
        total = 0.0
        for i in range(first, first + count):
            total += values[i] - edge
        mean = max(total / count, least)
        return beyond(v - edge, mean, count, m)
    if m == length:
        return by_rank(sketch.reaching(values, side, length, v), m)
    median = float(state[sketch.MEDIAN] if side == 0 else -state[sketch.MEDIAN])
    if v <= median:
        return 0.0
    at_edge = by_rank(count, m)
    return LOG10_2 + (at_edge - LOG10_2) * (v - median) / (edge - median)


# The exact memory: the number of values so far, and a ring of them.
SEEN, RING = 0, 1


def words_exact(params: Sequence[float]) -> int:
    """Return the size of the exact memory."""
    return RING + int(params[MEMORY])


@compiled_in_place
def step_exact(state: Row, x: float, t_ms: float, params: Row, out: Row) -> None:  # noqa: ARG001
    """Compute the surprise of x among all stored values, and add x."""
    if not np.isfinite(x):
        out[:] = np.nan
        return
    memory = int(params[MEMORY])
    values = state[RING : RING + min(int(state[SEEN]), memory)]
    out[0], out[1] = 0.0, np.nan
    if len(values) >= FEWEST:
        _among(values, x, params, out)
    state[RING + int(state[SEEN]) % memory] = x
    state[SEEN] += 1


@compiled_in_place
def _among(values: Row, x: float, params: Row, out: Row) -> None:
    """Write the surprise of x among values (m,), and on which side of it most of them are."""
    upper = lower = 0
    for v in values:
        upper += v >= x
        lower += v <= x
    most = 0.0
    if params[SIDE] >= 0.0:
        most = max(most, _exactly(values, 1.0, x, upper, params))
    if params[SIDE] <= 0.0:
        most = max(most, _exactly(values, -1.0, x, lower, params))
    out[0] = max(most - LOG10_2, 0.0) if params[SIDE] == 0.0 else most
    if upper != lower:
        out[1] = -np.inf if upper < lower else np.inf


@compiled
def _exactly(values: Row, sign: float, x: float, reached: int, params: Row) -> float:
    """Return the one-sided surprise of x when `reached` of the values (m,) are at least as
    extreme."""
    m = len(values)
    count = extremes(m)
    if reached >= count:
        return by_rank(reached, m)
    top = np.full(count, -np.inf)
    for value in values:
        v = sign * value
        if v > top[count - 1]:
            place = count - 1
            while place > 0 and top[place - 1] < v:
                top[place] = top[place - 1]
                place -= 1
            top[place] = v
    edge = top[count - 1]
    mean = max((top - edge).sum() / count, params[LEAST_EXCESS])
    return beyond(sign * x - edge, mean, count, m)
