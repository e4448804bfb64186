"""The zone in which the service abstains, as ranks and as scores.

Perini and Davis, "Unsupervised Anomaly Detection with Rejection", NeurIPS 2023: reject if
|2 P(anomaly) − 1| ≤ 1 − 2e^(−T), which means that neither probability is below e^(−T). In doubles
the right side of the first form is exactly 1 beyond T = 37; the second, in logs, works for every T.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from detectd.errors import ConfigError
from detectd.rejection.stability import require_anomalies, stability

if TYPE_CHECKING:
    import numpy.typing as npt

    from detectd.rejection.ranking import Ranking
    from detectd.rejection.stability import Stability

NORMAL: Final = 0
ANOMALY: Final = 1
ABSTAIN: Final = 2


def require_threshold(T: float) -> None:
    """Raise ConfigError unless log 2 < T < ∞: at log 2 and below, nothing could be rejected."""
    if not math.log(2.0) < T < math.inf:
        raise ConfigError(f"T is {T}: it must be a finite number above log 2 = 0.6931...")


@dataclass(frozen=True, slots=True)
class Zone:
    """The ranks `rank_low`..`rank_high`, both included, that are rejected.

    Ranks below are normal, ranks above are anomalies. An empty zone has
    rank_high = rank_low − 1, and rank_low is then the first anomaly rank (n+1 if none is).
    """

    n: int
    m: int
    T: float
    rank_low: int
    rank_high: int

    @property
    def width(self) -> int:
        """Return w, the number of rejected ranks, 0..n+1."""
        return self.rank_high - self.rank_low + 1

    @property
    def empty(self) -> bool:
        """Return whether no rank is rejected."""
        return self.width == 0

    @property
    def anomaly_reachable(self) -> bool:
        """Return whether any score at all can be called an anomaly."""
        return self.rank_high < self.n

    @property
    def normal_reachable(self) -> bool:
        """Return whether any score at all can be called normal."""
        return self.rank_low > 0


def zone(stability: Stability, T: float) -> Zone:
    """Reject rank c iff min(log P(anomaly | c), log P(normal | c)) ≥ −T.

    One interval, since the first log rises with c and the second falls. No rank has both below −T,
    as T > log 2, so that an empty zone separates normal from anomaly ranks exactly. Raises
    ConfigError if T ≤ log 2.
    """
    require_threshold(T)
    rank_low = int(np.count_nonzero(stability.log_p_anomaly < -T))
    rank_high = int(np.count_nonzero(stability.log_p_normal >= -T)) - 1
    return Zone(stability.n, stability.m, float(T), rank_low, rank_high)


@dataclass(frozen=True, slots=True, eq=False)
class Verdicts:
    """The verdicts on k scores; every array is (k,).

    `verdict` int8: NORMAL, ANOMALY or ABSTAIN; `rank` int64, c = #{calibration ≤ score};
    `below` int64, #{calibration < score}. The other figures follow from these.
    """

    verdict: npt.NDArray[np.int8]
    rank: npt.NDArray[np.int64]
    below: npt.NDArray[np.int64]
    stability: Stability

    @property
    def p_value(self) -> npt.NDArray[np.float64]:
        """Return the conformal p-value, (1 + #{calibration ≥ score}) / (n+1), in (0, 1]."""
        return np.asarray(_p_value(self.below, self.stability.n))

    @property
    def log_p_anomaly(self) -> npt.NDArray[np.float64]:
        """Return log P(anomaly) at the rank."""
        return self.stability.log_p_anomaly[self.rank]

    @property
    def log_p_normal(self) -> npt.NDArray[np.float64]:
        """Return log P(normal) at the rank."""
        return self.stability.log_p_normal[self.rank]

    @property
    def confidence(self) -> npt.NDArray[np.float64]:
        """Return the larger of the two probabilities, in [0.5, 1]."""
        return np.asarray(_confidence(self.log_p_anomaly, self.log_p_normal))


@dataclass(frozen=True, slots=True, eq=False)
class KeyVerdicts:
    """The verdicts on k scores; every array is (k,).

    As `Verdicts`, but rank and count are those among the scores of zone `places`.
    """

    verdict: npt.NDArray[np.int8]
    rank: npt.NDArray[np.int64]
    below: npt.NDArray[np.int64]
    places: npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Rejector:
    """Everything needed to judge a fresh score; built by `rejector`.

    `scores` is sorted, read-only float64 (n,). Scores in [score_low, score_high] are rejected.
    """

    scores: npt.NDArray[np.float64]
    stability: Stability
    zone: Zone
    score_low: float
    score_high: float
    ranking: Ranking

    def judge(self, scores: npt.NDArray[np.float64]) -> Verdicts:
        """Judge finite scores, (k,). Raise ValueError if one is not finite."""
        scores = np.ascontiguousarray(scores, dtype=np.float64)
        verdict, ranks = self.ranking.judge(scores, self.score_low, self.score_high)
        return Verdicts(verdict, ranks[0], ranks[1], self.stability)

    @property
    def plug_in_rejection_rate(self) -> float:
        """Return the share of the calibration scores that would be rejected, ties and all."""
        inside = (self.scores >= self.score_low) & (self.scores <= self.score_high)
        return int(np.count_nonzero(inside)) / self.zone.n


def rejector(
    calibration_scores: npt.NDArray[np.float64], contamination: float, T: float
) -> Rejector:
    """Return the rejector of n calibration scores, (n,), in any order.

    Let s_(k) be the k-th smallest, s_(0) = −∞, s_(n+1) = +∞, and [a, b] the zone. A verdict needs
    c⁻ = #{calibration < s} and c = #{calibration ≤ s} to agree; c⁻ ≤ c, hence
    normal  iff c < a,  which is s < s_(a), as c counts at least a scores iff s_(a) ≤ s;
    anomaly iff c⁻ > b, which is s > s_(b+1), as c⁻ counts at least b+1 iff s_(b+1) < s.

    Raise ConfigError if the scores are too few to expect one anomaly, or the contamination or T
    lies out of range; ValueError if a score is not finite.
    """
    from detectd.rejection.ranking import (
        ranking,  # Loads the compiler, which a check has no use for.
    )

    scores = np.sort(np.asarray(calibration_scores, dtype=np.float64))
    _require_finite(scores, "a calibration score")
    n = scores.shape[0]
    tables = stability(n, require_anomalies(n, contamination))
    ranks = zone(tables, T)
    scores += 0.0  # −0.0 is not a score that anyone should read
    index = ranking(scores)
    scores.flags.writeable = False
    judge = Rejector(
        scores=scores,
        stability=tables,
        zone=ranks,
        score_low=order_statistic(scores, ranks.rank_low),
        score_high=order_statistic(scores, ranks.rank_high + 1),
        ranking=index,
    )
    judge.judge(np.zeros(1))  # Compiles: the first event is not to wait for it.
    return judge


def rank_figures(stability: Stability, rank: int, below: int) -> tuple[float, float, float, float]:
    """Return the p-value, confidence, log P(anomaly) and log P(normal) of a score that has `below`
    calibration scores under it and `rank` that are not above it."""
    anomaly, normal = stability.log_p_anomaly[rank], stability.log_p_normal[rank]
    p_value = _p_value(below, stability.n)
    return float(p_value), float(_confidence(anomaly, normal)), float(anomaly), float(normal)


def _p_value(below: Any, n: int) -> Any:
    return (n + 1 - below) / (n + 1)


def _confidence(log_p_anomaly: Any, log_p_normal: Any) -> Any:
    return np.exp(np.maximum(log_p_anomaly, log_p_normal))


def order_statistic(ascending: npt.NDArray[np.float64], k: int) -> float:
    """Return the k-th smallest score; −∞ for k = 0, and ∞ beyond the largest."""
    if k == 0:
        return -math.inf
    return float(ascending[k - 1]) if k <= ascending.shape[0] else math.inf


def _require_finite(scores: npt.NDArray[np.float64], what: str) -> None:
    if not np.isfinite(scores).all():
        raise ValueError(f"{what} is not finite")
