"""The surprise of a value by its rank among earlier ones, and by an exponential tail beyond them.

A surprise is −log10 of a tail probability. Among the `extremes` most extreme of m values, ranks are
too coarse, so beyond the last of them, the edge, the tail is assumed to be exponential: its mean is
the mean excess of the extremes over the edge.
"""

from __future__ import annotations

import math

from detectd.jit import compiled_in_place

# With fewer earlier values than this the surprise is 0.
FEWEST = 20
# The tail begins at the 50th most extreme value, or at the quarter if there are fewer than 200.
EXTREMES = 50
SHARE = 4
# The largest distance in the tail.
MOST = 1e3
LOG10_2 = math.log10(2.0)
LN_10 = math.log(10.0)


@compiled_in_place
def extremes(m: float) -> int:
    """Return how many of m values form the tail."""
    return int(min(EXTREMES, m // SHARE))


@compiled_in_place
def by_rank(above: float, m: float) -> float:
    """Return the surprise of a value when `above` of m earlier ones are at least as large."""
    return -math.log10((above + 1.0) / (m + 1.0))


@compiled_in_place
def beyond(excess: float, mean: float, count: int, m: float) -> float:
    """Return the surprise of a value `excess` > 0 beyond the edge of a tail of `count` values.

    A tail without any excess has no scale, so the rank is used.
    """
    if mean > 0.0:
        return by_rank(count, m) + min(excess / (mean * LN_10), MOST)
    return by_rank(0.0, m)
