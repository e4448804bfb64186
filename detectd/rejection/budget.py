"""What a budget of abstentions allows, and how many calibration scores a T needs."""

from __future__ import annotations

import math

import numpy as np

from detectd.errors import ConfigError
from detectd.rejection.exact import largest_width, rate_upper
from detectd.rejection.stability import Stability, first_n_expecting, rank_log_tails
from detectd.rejection.zone import Zone, require_T

NARROWEST_T = math.nextafter(math.log(2.0), math.inf)


def largest_T(stability: Stability, max_rate: float, delta: float) -> float:  # noqa: N802
    """The largest T whose exact upper bound on the abstention rate, at 1−δ, stays within max_rate.

    It is the double just below the margin at which the zone would grow by the first rank too many.
    Where even a zone of all ranks is within, every T is; the answer is then the T that rejects all.
    Raises ConfigError where the narrowest zone breaks the budget, with the rate or the n that
    would do, or where delta lies outside (0, 1).
    """
    n = stability.n
    width = largest_width(n, max_rate, delta)
    margins = np.sort(stability.margin)
    narrowest = int(np.count_nonzero(margins <= NARROWEST_T))
    if max_rate < 0.0 or width < narrowest:
        raise ConfigError(_too_tight(n, narrowest, max_rate, delta))
    if width > n:
        return float(margins[-1])
    return float(np.nextafter(margins[width], -math.inf))


def smallest_n(contamination: float, T: float) -> int:
    """The smallest n at which the zone touches neither rank 0 nor rank n.

    With γ ≤ ½ rank n is the harder one. For a given m, P(normal | rank n) = P(Bin(n, 1/(n+2)) ≥ m)
    rises with n (Anderson and Samuels, "Some inequalities among binomial and Poisson
    probabilities", 1967), so the first n that expects m anomalies is the best for that m; and it
    falls as m grows. So the search is over m. Raises ConfigError where T or γ is out of range.
    """
    require_T(T)

    def reaches(m: int) -> bool:
        n = first_n_expecting(m, contamination)
        return rank_log_tails(n, m, n)[1] < -T and rank_log_tails(n, m, 0)[0] < -T

    high = 1
    while not reaches(high):
        high *= 2
    low = high // 2  # does not reach, or is 0
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return first_n_expecting(high, contamination)


def reachability_warnings(zone: Zone, contamination: float) -> list[str]:
    """One line for each verdict that the model can never give, with the n that would cure it."""
    lines = []
    if not zone.anomaly_reachable:
        margin = -rank_log_tails(zone.n, zone.m, zone.n)[1]
        lines.append(_never("anomaly", zone, contamination, margin))
    if not zone.normal_reachable:
        margin = -rank_log_tails(zone.n, zone.m, 0)[0]
        lines.append(_never("normal", zone, contamination, margin))
    return lines


def _never(verdict: str, zone: Zone, contamination: float, margin: float) -> str:
    needed = smallest_n(contamination, zone.T)
    if needed <= zone.n:  # reached at the first n that expects m, lost again since
        needed = first_n_expecting(zone.m + 1, contamination)
    lower = math.floor(margin * 100) / 100
    cure = f" or a T of at most {lower:g}" if lower > math.log(2.0) else ""
    return (
        f"this model can never say {verdict}: at T = {zone.T:g} no score among n = {zone.n} "
        f"calibration scores ({zone.m} expected anomalies) is far enough out; "
        f"it needs n >= {needed}{cure}"
    )


def _too_tight(n: int, narrowest: int, max_rate: float, delta: float) -> str:
    least = rate_upper(n, narrowest, delta)
    message = (
        f"an abstention rate of at most {max_rate:g} cannot be kept with {n} calibration scores: "
        f"the narrowest zone already abstains up to {least:.3g}; allow that much"
    )
    if 0.0 < max_rate < 1.0:
        enough = math.ceil(math.log(delta) / math.log1p(-max_rate))  # a single rank, 1−δ^(1/n)
        message += f", or calibrate on at least {narrowest * enough}"
    return message
