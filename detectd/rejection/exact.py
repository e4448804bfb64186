"""The exact promise: bounds on a fitted model's abstentions and on the cost of its mistakes.

The n calibration scores and the stream's next score are exchangeable and continuous, so the n+1
gaps between ordered calibration scores divide the stream's mass as Dirichlet(1, …, 1) does
(S. S. Wilks, "Determination of sample sizes for setting tolerance limits", 1941). The masses
(N, R, A) of normal, abstain and anomaly verdicts are sums of a, w and n+1−a−w of them.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import optimize, special

from detectd.errors import ConfigError
from detectd.rejection.quadrature import beta_mean

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from detectd.rejection.zone import Zone

    Array = npt.NDArray[np.float64]


# Costs are summed over events, and only their ratios matter.
LARGEST_COST = 1e100


@dataclass(frozen=True, slots=True)
class Costs:
    """The cost of one event: a false alarm, a missed anomaly, or an abstention.

    Raises ConfigError if one is negative, or so large that sums of it would overflow.
    """

    false_positive: float
    false_negative: float
    rejection: float

    def __post_init__(self) -> None:
        for name in ("false_positive", "false_negative", "rejection"):
            if not 0.0 <= getattr(self, name) <= LARGEST_COST:
                raise ConfigError(
                    f"cost_{name} is {getattr(self, name)}: it must lie in [0, {LARGEST_COST:g}]"
                )


@dataclass(frozen=True, slots=True)
class ExactPromise:
    """Figures per event; each `_upper` is exceeded by a share `delta` of fitted models."""

    expected_rejection_rate: float
    rejection_rate_upper: float
    delta: float
    expected_cost_bound: float
    cost_upper: float


def exact_promise(zone: Zone, contamination: float, delta: float, costs: Costs) -> ExactPromise:
    """Return the promise of a zone of w ranks among n calibration scores.

    The abstained mass is Beta(w, n+1−w). For masses (N, R, A) the cost is largest when the
    anomalies, a share γ, lie in N first, then in R, and only the rest in A:
        c_fn·min(γ, N) + c_fp·(A − max(0, γ − min(γ, N) − R)) + c_r·R.
    For N ≥ γ the subtrahend is 0 and A ≤ 1−γ; otherwise it is max(0, A − (1−γ)), as N + R = 1 − A.
    Both ways it is c_fn·min(γ, N) + c_fp·min(A, 1−γ) + c_r·R, which is what is computed.
    Raise ConfigError if delta lies outside (0, 1).
    """
    require_delta(delta)
    return ExactPromise(
        expected_rejection_rate=zone.width / (zone.n + 1),
        rejection_rate_upper=rate_upper(zone.n, zone.width, delta),
        delta=delta,
        expected_cost_bound=expected_cost(zone, contamination, costs),
        cost_upper=smallest_within(cost_exceedance(zone, contamination, costs), delta, costs),
    )


def expected_cost(zone: Zone, contamination: float, costs: Costs) -> float:
    """Return the mean of the largest cost an event."""
    normal, rejected, anomaly = _gaps(zone)
    return (
        costs.false_negative * _mean_of_smaller(contamination, normal, rejected + anomaly)
        + costs.false_positive * _mean_of_smaller(1.0 - contamination, anomaly, normal + rejected)
        + costs.rejection * rejected / (zone.n + 1)
    )


def rate_upper(n: int, width: int, delta: float) -> float:
    """Return the (1−δ) quantile of the mass of `width` gaps among n calibration scores."""
    if width == 0:
        return 0.0
    return float(special.betainccinv(width, n + 1 - width, delta)) if width <= n else 1.0


def largest_width(n: int, max_rate: float, delta: float) -> int:
    """Return the largest number of ranks that can be rejected with `rate_upper` ≤ max_rate;
    0..n+1."""
    require_delta(delta)
    low, high = 0, n + 2  # low always fits, high never does
    while high - low > 1:
        middle = (low + high) // 2
        if rate_upper(n, middle, delta) <= max_rate:
            low = middle
        else:
            high = middle
    return low


def observed_inside(zone: Zone, events: int, abstained: int, delta: float) -> bool:
    """Return whether `abstained` of `events` is at most the (1−δ) quantile of what was promised.

    The count is BetaBinomial(events, w, n+1−w). In the pooled order of calibration and stream it
    reaches k iff the w-th calibration score is not among the first w+k−1 of all, as any w gaps are
    alike: a hypergeometric tail, exact for a finite stream and summed without an integral. Raises
    ConfigError if delta lies outside (0, 1).
    """
    require_delta(delta)
    n, w = zone.n, zone.width
    if abstained == 0 or w == n + 1:
        return True
    if w == 0:
        return False
    drawn = w + abstained - 1
    # H calibration scores among the first `drawn`; its probabilities by their ratios, in logs.
    first, last = max(0, drawn - events), min(n, drawn)
    h = np.arange(first, last, dtype=np.float64)
    ratios = (n - h) * (drawn - h) / ((h + 1.0) * (events - drawn + h + 1.0))
    log_weight = np.concatenate([[0.0], np.cumsum(np.log(ratios))])
    weight = np.exp(log_weight - log_weight.max())
    reaches = weight[: max(0, w - first)].sum() / weight.sum()
    return bool(reaches > delta)


def most_inside(zone: Zone, events: int, delta: float) -> int:
    """Return the largest number of abstentions among `events` that is inside. Raises as above."""
    require_delta(delta)
    low, high = 0, events + 1  # low is inside, high is not, or is none
    while high - low > 1:
        middle = (low + high) // 2
        if observed_inside(zone, events, middle, delta):
            low = middle
        else:
            high = middle
    return low


def require_delta(delta: float) -> None:
    """Raise ConfigError unless 0 < δ < 1."""
    if not 0.0 < delta < 1.0:
        raise ConfigError(f"delta is {delta}: it must lie between 0 and 1")


def _gaps(zone: Zone) -> tuple[int, int, int]:
    return zone.rank_low, zone.width, zone.n - zone.rank_high


def _mean_of_smaller(limit: float, alpha: int, beta: int) -> float:
    """Return E[min(limit, X)] for X ~ Beta(alpha, beta); X is 0 or 1 if a parameter is 0."""
    if alpha == 0 or beta == 0:
        return 0.0 if alpha == 0 else min(limit, 1.0)
    above = float(special.betaincc(alpha, beta, limit))
    below = float(special.betainc(alpha + 1, beta, limit))
    return limit * above + below * alpha / (alpha + beta)


def smallest_within(exceedance: Callable[[float], float], delta: float, costs: Costs) -> float:
    """Return the smallest t with exceedance(t) ≤ δ, for an exceedance of costs that never rises."""
    if exceedance(0.0) <= delta:
        return 0.0
    most = costs.false_negative + costs.false_positive + costs.rejection
    return float(optimize.brentq(lambda t: exceedance(t) - delta, 0.0, most, xtol=1e-13 * most))


def cost_exceedance(zone: Zone, contamination: float, costs: Costs) -> Callable[[float], float]:
    """Return P(cost > t) as a function of t.

    Let V = R + A ~ Beta(w+α, a) and B = R / V ~ Beta(w, α), α = n+1−a−w: independent. For one of
    the two given, cost > t is an interval of the other. That one is the more telling of the two,
    which leaves a gentle function to integrate over the less telling. Every cost depends on V.
    """
    normal, rejected, anomaly = _gaps(zone)
    v, b = (rejected + anomaly, normal), (rejected, anomaly)
    pieces = functools.partial(_cost_pieces, costs, contamination)
    over_v = np.min(pieces(_around(v), _around(b)[:1]), axis=0)
    over_b = np.min(pieces(_around(v)[:1], _around(b)), axis=0)
    if 0 in v and 0 in b:
        return lambda t: float(over_v[0] > t)
    given_b = 0 in b or (0 not in v and np.ptp(over_v) >= np.ptp(over_b))
    outer, inner = (b, v) if given_b else (v, b)

    def exceedance(t: float) -> float:
        def given(x: Array) -> Array:
            ends = (np.zeros_like(x), np.ones_like(x))
            at_0, at_1 = (pieces(end, x) if given_b else pieces(x, end) for end in ends)
            low, high = _interval_above(t, at_0, at_1)
            mass: Array = special.betainc(*inner, high) - special.betainc(*inner, low)
            return np.maximum(mass, 0.0)

        return beta_mean(given, *outer)

    return exceedance


def _cost_pieces(costs: Costs, contamination: float, V: Array, B: Array) -> Array:
    """Return four functions (4, k), of which the cost is the minimum, each linear in V alone and in
    B alone."""
    fewer_misses = costs.false_negative * (1.0 - V)
    most_misses = costs.false_negative * contamination
    fewer_alarms = costs.false_positive * V * (1.0 - B)
    most_alarms = costs.false_positive * (1.0 - contamination)
    pieces: Array = costs.rejection * V * B + np.stack(
        np.broadcast_arrays(
            fewer_misses + fewer_alarms,
            fewer_misses + most_alarms,
            most_misses + fewer_alarms,
            most_misses + most_alarms,
        )
    )
    return pieces


def _interval_above(t: float, at_0: Array, at_1: Array) -> tuple[Array, Array]:
    """Return where in [0, 1] all the lines, given by their ends, exceed t. Empty if low > high."""
    low, high = np.zeros_like(at_0[0]), np.ones_like(at_0[0])
    for start, end in zip(at_0, at_1, strict=True):
        slope = end - start
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            crossing = (t - start) / slope
        low = np.where(slope > 0.0, np.maximum(low, crossing), low)
        high = np.where(slope < 0.0, np.minimum(high, crossing), high)
        high = np.where((slope == 0.0) & (start <= t), -1.0, high)
    return np.minimum(low, 1.0), np.clip(high, 0.0, 1.0)


def _around(beta: tuple[int, int]) -> Array:
    """Return the mean of a Beta distribution, and points up to two deviations to each side."""
    mean = beta[0] / max(1, sum(beta))
    deviation = math.sqrt(mean * (1.0 - mean) / (sum(beta) + 1))
    return np.clip(mean + deviation * np.array([0.0, -2.0, -1.0, 1.0, 2.0]), 0.0, 1.0)
