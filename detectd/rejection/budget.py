"""The largest T within a budget of abstentions, and the number of calibration scores that a T
needs."""

from __future__ import annotations

import math

import numpy as np

from detectd.errors import ConfigError
from detectd.rejection.exact import largest_width, rate_upper
from detectd.rejection.reach import smallest_n_reaching
from detectd.rejection.stability import Stability, first_n_expecting, rank_log_tails, smallest_m
from detectd.rejection.zone import Zone, require_threshold


def largest_T(stability: Stability, max_rate: float, delta: float) -> float:  # noqa: N802
    """Return the largest T whose exact upper bound on the abstention rate, at 1−δ, stays within
    max_rate.

    It is the double just below the margin at which the zone would grow by the first rank too many;
    for a small enough max_rate the zone is empty. Where even a zone of all ranks is within, every T
    is, and the answer is the first that rejects all. Raise ConfigError if max_rate lies outside
    [0, 1], delta outside (0, 1), or where some rank is so near a fair coin that every T rejects it.
    """
    if not 0.0 <= max_rate <= 1.0:
        raise ConfigError(f"the largest abstention rate is {max_rate}: it must lie in [0, 1]")
    n = stability.n
    width = largest_width(n, max_rate, delta)
    margins = np.sort(stability.margin)
    if width > n:
        return float(margins[-1])
    largest = float(np.nextafter(margins[width], -math.inf))
    if largest <= math.log(2.0):
        least = rate_upper(n, width + 1, delta)
        raise ConfigError(
            f"an abstention rate of at most {max_rate:g} cannot be kept with {n} calibration "
            f"scores: the narrowest zone abstains up to {least:.3g}; allow that much or use more"
        )
    return largest


def smallest_n(contamination: float, T: float) -> int:
    """Return the smallest n at which the zone touches neither rank 0 nor rank n.

    With γ ≤ ½ rank n is the harder one. For a given m, P(normal | rank n) = P(Bin(n, 1/(n+2)) ≥ m)
    rises with n (Anderson and Samuels, "Some inequalities among binomial and Poisson
    probabilities", 1967), so the first n that expects m anomalies is the best for that m; and it
    falls as m grows. So the search is over m. Raise ConfigError if T or γ is out of range.
    """
    require_threshold(T)

    def reaches(m: int) -> bool:
        n = first_n_expecting(m, contamination)
        return rank_log_tails(n, m, n)[1] < -T and rank_log_tails(n, m, 0)[0] < -T

    return first_n_expecting(smallest_m(reaches), contamination)


def reachability_warnings(zone: Zone, contamination: float, *, chosen: bool = False) -> list[str]:
    """Return one line for each verdict that the model can never give, with the n that would cure
    it; `chosen` says that T was not set, so that another n has another T."""
    lines = []
    never = _never_chosen if chosen else _never
    if not zone.anomaly_reachable:
        margin = -rank_log_tails(zone.n, zone.m, zone.n)[1]
        lines.append(never("anomaly", zone, contamination, margin))
    if not zone.normal_reachable:
        margin = -rank_log_tails(zone.n, zone.m, 0)[0]
        lines.append(never("normal", zone, contamination, margin))
    return lines


def _never_chosen(verdict: str, zone: Zone, contamination: float, margin: float) -> str:
    lower = _below(margin)
    cure = f", or rejector.T = {lower:g} or less" if lower > math.log(2.0) else ""
    return (
        f"this model can never say {verdict}: with n = {zone.n} calibration scores, of which "
        f"m = {zone.m} are expected to be anomalies, no T lets any of them be called anomaly, "
        f"so T is {zone.T:g}; use n >= {smallest_n_reaching(contamination, None)}{cure}"
    )


def _never(verdict: str, zone: Zone, contamination: float, margin: float) -> str:
    needed = smallest_n(contamination, zone.T)
    if needed <= zone.n:  # reached at the first n that expects m, lost again since
        needed = first_n_expecting(zone.m + 1, contamination)
    lower = _below(margin)
    cure = f" or a T of at most {lower:g}" if lower > math.log(2.0) else ""
    return (
        f"this model can never say {verdict}: at T = {zone.T:g} no score among n = {zone.n} "
        f"calibration scores ({zone.m} expected anomalies) is far enough out; "
        f"it needs n >= {needed}{cure}"
    )


def _below(margin: float) -> float:
    return math.floor(margin * 100) / 100
