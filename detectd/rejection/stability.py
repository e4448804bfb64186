"""How stable a verdict is: would it be the same with another training sample of the same size?

Perini, Vercruyssen and Davis, "Quantifying the confidence of anomaly detectors in their
example-wise predictions", ECML PKDD 2020 (ExCeeD). At rank c among n calibration
scores of which m are expected to be anomalies, the next sample's rank is Bin(n, p) with the
posterior mean p = (1+c)/(2+n), and the verdict is anomaly if it exceeds n−m.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import numpy as np

from detectd.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt


def exact_contamination(contamination: float) -> Fraction:
    """Return the contamination as it was written, 0.29 and not the double next to it.

    Raise ConfigError outside (0, 0.5].
    """
    if not 0.0 < contamination <= 0.5:
        raise ConfigError(f"contamination is {contamination!r}: it must lie in (0, 0.5]")
    return Fraction(repr(float(contamination)))


def expected_anomalies(n: int, contamination: float) -> int:
    """Return m = ⌊n·γ⌋, the expected anomalies among n scores, in exact arithmetic: 100 × 0.29 is
    29.

    Raise ConfigError if the contamination lies outside (0, 0.5].
    """
    return math.floor(n * exact_contamination(contamination))


def require_anomalies(n: int, contamination: float) -> int:
    """Return `expected_anomalies`, at least one. Raise ConfigError with the n that would do."""
    m = expected_anomalies(n, contamination)
    if m < 1:
        enough = first_n_expecting(1, contamination)
        raise ConfigError(
            f"{n} calibration scores at contamination {contamination} expect no anomaly at all: "
            f"use at least {enough} calibration scores, or a larger contamination"
        )
    return m


def first_n_expecting(m: int, contamination: float) -> int:
    """Return the smallest n with ⌊n·γ⌋ = m."""
    return math.ceil(m / exact_contamination(contamination))


def smallest_m(reaches: Callable[[int], bool]) -> int:
    """Return the smallest m ≥ 1 that reaches what is asked for; all larger ones must, too."""
    high = 1
    while not reaches(high):
        high *= 2
    return first_true(high // 2, high, reaches)


def first_true(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """Return where `holds` begins: somewhere above `low`, at `high` at the latest."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


@dataclass(frozen=True, slots=True, eq=False)
class Stability:
    """The two log probabilities at every rank, computed once per model.

    `log_p_anomaly` and `log_p_normal` are read-only float64 (n+1,), natural logs, indexed by rank;
    the first never falls and the second never rises.
    """

    n: int
    m: int
    log_p_anomaly: npt.NDArray[np.float64]
    log_p_normal: npt.NDArray[np.float64]

    @property
    def margin(self) -> npt.NDArray[np.float64]:
        """Return (n+1,) values of at least log 2: a rank is rejected at every T from its value
        on."""
        return -np.minimum(self.log_p_anomaly, self.log_p_normal)


def stability(n: int, m: int) -> Stability:
    """Return the stability of n calibration scores of which m are expected to be anomalies, 1 ≤ m ≤
    n.

    P(anomaly | c) = P(Bin(n, p) ≥ n−m+1) and P(normal | c) = P(Bin(n, p) ≤ n−m) with p =
    (1+c)/(2+n). Relative error of each log about 1e-13 up to n = 10⁶; nothing underflows. Raises
    ValueError if m lies outside [1, n].
    """
    from detectd.rejection import binomial

    _require_counts(n, m)
    log_p_anomaly, log_p_normal = np.empty(n + 1), np.empty(n + 1)
    binomial.rank_log_tails(n, n - m + 1, log_p_anomaly, log_p_normal)
    log_p_anomaly.flags.writeable = False
    log_p_normal.flags.writeable = False
    return Stability(n, m, log_p_anomaly, log_p_normal)


QUICK_T: Final = 460.0


def quick_stability(n: int, m: int) -> Stability:
    """Return the stability by incomplete beta functions, without loading the compiler.

    As exact as `stability` for probabilities above 1e-200, which is as far as thresholds up to
    `QUICK_T` can see; imprecise or −∞ below. Raise ValueError if m lies outside [1, n].
    """
    from scipy import special

    _require_counts(n, m)
    p = (1.0 + np.arange(n + 1)) / (n + 2.0)
    with np.errstate(divide="ignore"):
        log_p_anomaly = np.log(special.betainc(n - m + 1, m, p))
        log_p_normal = np.log(special.betainc(m, n - m + 1, p[::-1]))
    return Stability(n, m, log_p_anomaly, log_p_normal)


def rank_log_tails(n: int, m: int, c: int) -> tuple[float, float]:
    """Return (log P(anomaly | c), log P(normal | c)) at one rank, the same values as `stability(n,
    m)`.

    Raise ValueError if m lies outside [1, n] or c outside [0, n].
    """
    from detectd.rejection import binomial

    _require_counts(n, m)
    if not 0 <= c <= n:
        raise ValueError(f"rank {c} lies outside [0, {n}]")
    k, size = n - m + 1, n + 2
    excess = (k * size - n * (1 + c)) / size
    upper, lower = binomial.log_tail_pair(n, k, (1 + c) / size, (n + 1 - c) / size, excess)
    return float(upper), float(lower)


def log_tails(n: int, m: int, p: float) -> tuple[float, float]:
    """Return (log P(Bin(n, p) ≥ n−m+1), log P(Bin(n, p) ≤ n−m)) at any real p in [0, 1].

    Raise ValueError if m lies outside [1, n] or p outside [0, 1].
    """
    from detectd.rejection import binomial

    _require_counts(n, m)
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"probability {p} lies outside [0, 1]")
    if p in {0.0, 1.0}:
        return (0.0, -math.inf) if p else (-math.inf, 0.0)
    k, exact = n - m + 1, Fraction(p)
    upper, lower = binomial.log_tail_pair(n, k, p, float(1 - exact), float(k - n * exact))
    return float(upper), float(lower)


def _require_counts(n: int, m: int) -> None:
    if not 1 <= m <= n:
        raise ValueError(f"{m} expected anomalies among {n} scores: it takes 1 <= m <= n")
