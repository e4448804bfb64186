"""Binomial tails in log space, compiled.

The functions take plain numbers and arrays, which their callers check. Symbols: X ~ Bin(n, p),
q = 1 − p, and the excess k − np, which the caller passes exactly rounded because all cancellation
happens there.

The tail is P(X ≥ k) = I_p(k, n−k+1): the probability mass at k in the saddle-point form of
C. Loader, "Fast and accurate computation of binomial probabilities" (2000), times the even part of
the continued fraction DLMF 8.17.22, whose terms are all positive if k exceeds the mean.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from detectd.jit import compiled

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

LOG_2PI = math.log(2.0 * math.pi)
ROUNDING = 2.0**-52

# log k! − log(√(2πk) (k/e)^k) for k = 1..16, where Stirling's series is too short.
STIRLING_ERROR = (
    0.08106146679532725822,
    0.0413406959554092941,
    0.02767792568499833915,
    0.02079067210376509311,
    0.01664469118982119216,
    0.01387612882307074800,
    0.01189670994589177010,
    0.01041126526197209650,
    0.009255462182712732918,
    0.008330563433362871256,
    0.007573675487951840795,
    0.006942840107209529866,
    0.006408994188004207068,
    0.005951370112758847736,
    0.005554733551962801371,
    0.005207655919609640440,
)


@compiled
def stirling_error(k: int) -> float:
    """Return log k! minus Stirling's formula, for k ≥ 1."""
    if k <= 16:
        return STIRLING_ERROR[k - 1]
    x = 1.0 / (float(k) * float(k))
    return (
        1 / 12 - x * (1 / 360 - x * (1 / 1260 - x * (1 / 1680 - x * (1 / 1188 - x * 691 / 360360))))
    ) / float(k)


@compiled
def deviance(x: float, mean: float, excess: float) -> float:
    """Return x log(x/mean) + mean − x, where excess = x − mean; never negative."""
    if abs(excess) >= 0.1 * (x + mean):
        return x * math.log(x / mean) - excess
    v = excess / (x + mean)
    total = excess * v
    power = 2.0 * x * v
    for j in range(1, 40):  # |v| < 0.1: each step gains two digits
        power *= v * v
        longer = total + power / (2 * j + 1)
        if longer == total:
            break
        total = longer
    return total


@compiled
def log_pmf(n: int, k: int, p: float, q: float, excess: float) -> float:
    """Return log P(X = k) for 1 ≤ k ≤ n."""
    if k == n:
        return n * (math.log(p) if p < 0.5 else math.log1p(-q))
    scale = math.log(float(k) * float(n - k) / float(n))
    return (
        stirling_error(n)
        - stirling_error(k)
        - stirling_error(n - k)
        - deviance(float(k), n * p, excess)
        - deviance(float(n - k), n * q, -excess)
        - 0.5 * (LOG_2PI + scale)
    )


@compiled
def tail_fraction(n: int, k: int, p: float, q: float, excess: float) -> float:
    """Return P(X ≥ k) / (k q P(X = k)), by Lentz's forward evaluation.

    The numerators carry a factor (n−k+1−j), so the fraction is finite: the loop ends.
    """
    a = float(k)
    b = float(n - k + 1)
    middle = excess + q  # a + 1 − (a + b) p without its cancellation
    c = a * middle / (a + 1.0)
    d = 0.0
    value = 1.0 / c
    for j in range(1, n - k + 1):
        odd = a + 2 * j - 1.0
        numerator = (a + j - 1.0) * (a + b + j - 1.0) * j * (b - j) * (p / odd) * (p / odd)
        denominator = (
            j + j * (b - j) * p / odd + (a + j) * (middle + j * (1.0 + q)) / (a + 2 * j + 1.0)
        )
        c = denominator + numerator / c
        d = 1.0 / (denominator + numerator * d)
        step = c * d
        value /= step
        if abs(step - 1.0) <= ROUNDING:
            break
    return value


@compiled
def log_tail_pair(n: int, k: int, p: float, q: float, excess: float) -> tuple[float, float]:
    """Return (log P(X ≥ k), log P(X < k)) for 1 ≤ k ≤ n and 0 < p < 1.

    The tail away from the mean is computed, the other is its complement: neither loses digits
    near log 1, and neither is ever −0.0.
    """
    if excess >= 0.5:
        upper = log_pmf(n, k, p, q, excess)
        upper += math.log(k * q * tail_fraction(n, k, p, q, excess))
        return upper, math.log1p(-math.exp(upper)) + 0.0
    mirror = n - k + 1
    lower = log_pmf(n, mirror, q, p, 1.0 - excess)
    lower += math.log(mirror * p * tail_fraction(n, mirror, q, p, 1.0 - excess))
    return math.log1p(-math.exp(lower)) + 0.0, lower


@compiled
def rank_log_tails(
    n: int, k: int, upper: npt.NDArray[np.float64], lower: npt.NDArray[np.float64]
) -> None:
    """Fill `upper` and `lower`, (n+1,), with `log_tail_pair` at p = (1+c)/(2+n), c = 0..n.

    The excess has an integer numerator there, hence no rounding but the last.
    """
    size = n + 2
    for c in range(size - 1):
        excess = (k * size - n * (1 + c)) / size
        upper[c], lower[c] = log_tail_pair(n, k, (1 + c) / size, (n + 1 - c) / size, excess)
