"""Code length: the bits needed to encode a value's class, given the two classes before it.

The eight classes lie between running quantiles. Three models predict the next class from no, one
and two previous classes; with few observations, each relies on the one before it:

    p0 = (n_s + ½)/(n + 4),   p1 = (n_as + 2 p0)/(n_a + 2),   p2 = (n_abs + 2 p1)/(n_ab + 2)

They are mixed by recent performance, with weights ∝ exp Σ .98^age ln p. A context's counts are
halved when they reach 2,000. A repeating pattern costs few bits; a break in it costs many.

There are three columns: the bits of x, and their means over the last 20 and the last 60 values.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from detectd.jit import compiled_in_place

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from numpy.typing import NDArray

    Row = NDArray[np.float64]

CLASSES = 8
ORDERS = 3
FORGET = 0.98
MOST = 2_000
SHORT, LONG = 20, 60
# Quantiles move by at most three mean distances from the median over this many values.
STRIDE, SLOWEST = 3.0, 500.0
# A quantile oscillates around a frequent value, so a value counts as above it only beyond this many
# mean distances.
SLACK = 0.02

# The state: the count of values, the classes before, the mean distance from the median, the
# quantiles, the performance of each order, the last bits (32-bit floats), and the counts (16 bits).
SEEN, BEFORE, DISTANCE, QUANTILES = 0, 1, 3, 4
DONE = QUANTILES + CLASSES - 1
BITS = DONE + ORDERS
COUNTS = BITS + LONG // 2
CONTEXTS = 1 + CLASSES + CLASSES**2
WORDS = COUNTS + CONTEXTS * CLASSES // 4


def words(params: Sequence[float]) -> int:  # noqa: ARG001 - the same for all
    """Return the size of the counts, the quantiles and the last bits."""
    return WORDS


@compiled_in_place
def step(state: Row, x: float, t_ms: float, params: Row, out: Row) -> None:  # noqa: ARG001
    """Compute the bits of x and their means, then learn from x."""
    if not np.isfinite(x):
        out[:3] = np.nan
        return
    seen = state[SEEN]
    symbol = _classify(state, x)
    bits = _encode(state, symbol)
    last = state[BITS:COUNTS].view(np.float32)
    last[int(seen) % LONG] = bits
    state[SEEN] = seen + 1.0
    out[0] = bits
    out[1] = _mean_of_last(last, int(seen) + 1, SHORT)
    out[2] = _mean_of_last(last, int(seen) + 1, LONG)
    _move_quantiles(state, x)


@compiled_in_place
def _classify(state: Row, x: float) -> int:
    symbol = 0
    for i in range(CLASSES - 1):
        symbol += x > state[QUANTILES + i] + SLACK * state[DISTANCE]
    return symbol


@compiled_in_place
def _encode(state: Row, symbol: int) -> float:
    """Return the bits of a class under the mixture of the three models, and count it in each."""
    counts = state[COUNTS:].view(np.uint16)
    a, b = int(state[BEFORE]), int(state[BEFORE + 1])
    contexts = (0, 1 + a, 1 + CLASSES + a * CLASSES + b)
    best = max(state[DONE], state[DONE + 1], state[DONE + 2])
    mixed = total = 0.0
    p = 1.0 / CLASSES
    prior = 4.0
    for order in range(ORDERS):
        context = counts[contexts[order] * CLASSES : (contexts[order] + 1) * CLASSES]
        seen = int(context.sum())
        p = (context[symbol] + prior * p) / (seen + prior)
        prior = 2.0
        weight = math.exp(state[DONE + order] - best)
        mixed += weight * p
        total += weight
        state[DONE + order] = FORGET * state[DONE + order] + math.log(p)
        _count(context, symbol, seen)
    state[BEFORE], state[BEFORE + 1] = symbol, a
    return -math.log2(mixed / total)


@compiled_in_place
def _count(context: Any, symbol: int, seen: int) -> None:
    context[symbol] += 1
    if seen + 1 >= MOST:
        for i in range(CLASSES):
            context[i] //= 2


@compiled_in_place
def _mean_of_last(last: Any, seen: int, window: int) -> float:
    count, place = min(seen, window), (seen - 1) % LONG
    total = 0.0
    for _ in range(count):
        total += last[place]
        place = place - 1 if place > 0 else LONG - 1
    return total / count


@compiled_in_place
def _move_quantiles(state: Row, x: float) -> None:
    """Move each quantile up or down for x, so that it stays above its share of values."""
    seen = state[SEEN]
    quantiles = state[QUANTILES : QUANTILES + CLASSES - 1]
    if seen == 1.0:
        quantiles[:] = x
        return
    distance = abs(x - quantiles[CLASSES // 2 - 1])
    state[DISTANCE] += (distance - state[DISTANCE]) / min(seen, SLOWEST)
    stride = STRIDE * state[DISTANCE] / min(seen, SLOWEST)
    for i in range(CLASSES - 1):
        below = 1.0 if x <= quantiles[i] else 0.0
        quantiles[i] += stride * ((i + 1.0) / CLASSES - below)
        if i > 0:
            quantiles[i] = max(quantiles[i], quantiles[i - 1])
