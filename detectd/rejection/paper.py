"""The paper's promise, as "Unsupervised Anomaly Detection with Rejection" and PyOD state it.

Perini and Davis, NeurIPS 2023: the expected rejection rate, its upper bound from Hoeffding's and
the Dvoretzky-Kiefer-Wolfowitz inequality, and the bound on the expected cost. The figures equal
those of PyOD's `compute_rejection_stats` wherever that is numerically sound; the roots are found
in log space, so that every T works.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scipy import optimize

from detectd.rejection.exact import require_delta
from detectd.rejection.stability import log_tails

if TYPE_CHECKING:
    from detectd.rejection.exact import Costs
    from detectd.rejection.zone import Zone

SMALLEST_SHARE = 1e-290
SMALLEST_T = 4.0


@dataclass(frozen=True, slots=True)
class PaperPromise:
    """Figures per event, from the smooth approximation of the rank by a real number.

    `t1`, `t2` enclose the zone in c/n; `q1`, `q2` in the share of scores above. `valid` is false
    where `rejection_rate_upper` is not a bound.
    """

    expected_rejection_rate: float
    rejection_rate_upper: float
    cost_upper: float
    valid: bool
    t1: float
    t2: float
    q1: float
    q2: float


def paper_promise(zone: Zone, contamination: float, delta: float, costs: Costs) -> PaperPromise:
    """Return the paper's figures for a zone.

    The bound on the rate is t2 − t1 + 2√(log(2/δ)/2n). It follows from t1 ≤ a/n and b/n ≤ t2 for
    the zone [a, b], which Hoeffding's margins ensure; the left one in use is not Hoeffding's, so
    both are compared with the zone. Below T = 4 the paper gives no bound. Raise ConfigError if
    delta lies outside (0, 1).
    """
    require_delta(delta)
    n, m, T = zone.n, zone.m, zone.T
    q1 = _share(n, m, T)
    above_q2 = _share(n, n - m + 1, T)
    q2 = 1.0 - above_q2
    left = left_margin(n, contamination, T)
    t1 = max(0.0, hoeffding_left_margin(n, contamination, T) if left is None else left)
    t2 = min(1.0, right_margin(n, contamination, T))
    upper = t2 - t1 + 2.0 * math.sqrt(math.log(2.0 / delta) / (2 * n))
    encloses = zone.empty or (t1 <= zone.rank_low / n and zone.rank_high / n <= t2)
    return PaperPromise(
        expected_rejection_rate=q2 - q1,
        rejection_rate_upper=upper,
        cost_upper=(
            min(contamination, q1) * costs.false_positive
            + min(above_q2, contamination) * costs.false_negative
            + (q2 - q1) * costs.rejection
        ),
        valid=left is not None and T >= SMALLEST_T and encloses and q2 - q1 <= upper,
        t1=t1,
        t2=t2,
        q1=q1,
        q2=q2,
    )


def left_margin(n: int, contamination: float, T: float) -> float | None:
    """Return PyOD's left margin in c/n, not clipped; None if its square root is imaginary.

    Its radicand tends to (T − 4(1−γ)²)/2n where Hoeffding's is T/2n.
    """
    g = contamination
    radicand = 2 * n * (-3 * g**2 - 2 * n * (1 - g) ** 2 + 4 * g - 3) + T * (n + 2.0) ** 2 - 8
    if radicand < 0.0:
        return None
    middle = (2 + n * (1 - g) * (n + 1)) / (n * n)
    return middle - math.sqrt(0.5 * radicand / n) / n


def hoeffding_left_margin(n: int, contamination: float, T: float) -> float:
    """Return the left margin that Hoeffding's inequality gives, in c/n, not clipped."""
    middle = (2 + n * (1 - contamination) * (n + 2)) / (n * n)
    return middle - (n + 2) / n * math.sqrt(T / (2 * n))


def right_margin(n: int, contamination: float, T: float) -> float:
    """Return the right margin in c/n, not clipped; Hoeffding's and PyOD's alike."""
    middle = (n + 1 - contamination * (n + 2)) / n
    return middle + (n + 2) / n * math.sqrt(T / (2 * n))


def _share(n: int, k: int, T: float) -> float:
    """Return the u at which log P(Bin(n, u) ≥ k) = −T, searched in log u; 0 where it is below
    1e-290.

    The root lies below k/n, whose median is k. q1 is the share for k = m, and 1 − q2, by symmetry,
    the share for k = n−m+1.
    """

    def excess(log_u: float) -> float:
        return log_tails(n, n - k + 1, min(1.0, math.exp(log_u)))[0] + T

    lowest = math.log(SMALLEST_SHARE)
    if excess(lowest) >= 0.0:
        return 0.0
    return math.exp(optimize.brentq(excess, lowest, math.log(k / n), xtol=1e-15))
