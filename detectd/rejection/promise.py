"""The promise of a model under given terms: its zone, and the paper's and the exact figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from detectd.rejection import (
    Costs,
    ExactPromise,
    PaperPromise,
    Rejector,
    Stability,
    cost_warnings,
    default_T,
    exact_promise,
    largest_T,
    paper_promise,
    promise_kept,
    quick_stability,
    reach,
    reach_warnings,
    reachability_warnings,
    rejector,
    require_anomalies,
    stability,
    ties_matter,
    uncertain_promise,
    zone,
)
from detectd.rejection.exact import rate_upper
from detectd.rejection.stability import QUICK_T

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from detectd.rejection import Stability, Zone


Calibration = Literal["holdout", "cross", "in_sample"]


@dataclass(frozen=True)
class Terms:
    """What the operator asks for: a threshold T, a budget for the abstention rate, or neither: T is
    then chosen from n and the contamination.

    `plausible` are equally likely contaminations, if it is an estimate: costs are then averaged
    over all of them. `calibration` says where the calibration scores come from.
    """

    contamination: float
    T: float | None
    max_abstain_rate: float | None
    delta: float
    costs: Costs
    plausible: tuple[float, ...] = ()
    calibration: Calibration = "holdout"

    @property
    def lawful(self) -> bool:
        """Return whether calibration scores and those of the stream are exchangeable, so that
        there is an exact law."""
        return self.calibration == "holdout"


@dataclass(frozen=True)
class Mixture:
    """The rates that several zones promise together, and the bound on the first of them."""

    rejection_rate: float
    rejection_rate_upper: float
    anomaly_rate: float


@dataclass(frozen=True)
class Promise:
    """The zone, the two sets of figures, and the warnings for the operator.

    `exact` is None if the calibration has no exact law. `tied` says that ties at an edge of the
    zone matter: the law needs scores without. If keys have zones of their own, `mixture` holds the
    rates of all zones together, and `shared` is the promise to the other keys; `exact` is then that
    of the mixture, while the zone and the paper's figures are the shared ones.
    """

    terms: Terms
    rejector: Rejector
    exact: ExactPromise | None
    paper: PaperPromise
    tied: bool
    warnings: list[str]
    mixture: Mixture | None = None
    shared: Promise | None = None

    @property
    def expected_rejection_rate(self) -> float:
        """Return the share of ranks in the zone: with a law, the expected abstention rate."""
        if self.mixture is not None:
            return self.mixture.rejection_rate
        zone = self.rejector.zone
        return zone.width / (zone.n + 1)

    @property
    def expected_anomaly_rate(self) -> float:
        """Return the share of ranks above the zone: with a law, the expected share of anomalies."""
        if self.mixture is not None:
            return self.mixture.anomaly_rate
        zone = self.rejector.zone
        return (zone.n - zone.rank_high) / (zone.n + 1)

    @property
    def rejection_rate_upper(self) -> float:
        """Return the upper bound on the abstention rate that there would be with a law."""
        if self.mixture is not None:
            return self.mixture.rejection_rate_upper
        zone = self.rejector.zone
        return rate_upper(zone.n, zone.width, self.terms.delta)

    @property
    def reach(self) -> float:
        """Return the share of the expected anomalies that the zone leaves to be called anomaly."""
        return reach(self.rejector.zone, self.terms.contamination)

    @property
    def rate_bounded(self) -> bool:
        """Return whether the upper bound on the abstention rate is valid."""
        return self.exact is not None and not self.tied

    @property
    def cost_bounded(self) -> bool:
        """Return whether the upper bound on the cost is one: not if the contamination is an
        estimate."""
        return self.rate_bounded and not self.terms.plausible

    def kept(self, events: int, abstained: int) -> bool | None:
        """Return whether `abstained` of `events` leave the promise standing, however often one
        looks; None if nothing is promised, or nothing was seen.

        Also None for a mixture: that takes the counts of each zone, see `KeyPromises.kept`.
        """
        if self.exact is None or self.mixture is not None or not events:
            return None
        return promise_kept(self.rejector.zone, events, abstained, self.terms.delta)


def promise(calibration: NDArray[np.float64], terms: Terms) -> Promise:
    """Return the promise of calibration scores (n,) under `terms`.

    Raise ConfigError if the terms cannot be met by n scores.
    """
    judge = rejector(calibration, terms.contamination, threshold(len(calibration), terms))
    tied = ties_matter(judge.scores, judge.zone, (judge.score_low, judge.score_high))
    return Promise(
        terms=terms,
        rejector=judge,
        exact=exact_terms(judge.zone, terms) if terms.lawful else None,
        paper=paper_promise(judge.zone, terms.contamination, terms.delta, terms.costs),
        tied=tied,
        warnings=[
            *zone_warnings(judge.zone, terms),
            *cost_warnings(terms.contamination, terms.costs),
            *law_warnings(terms.calibration, budget=terms.max_abstain_rate is not None),
            *_tie_warnings(judge, tied=tied),
        ],
    )


def threshold(n: int, terms: Terms) -> float:
    """Return the T of n calibration scores. Raise ConfigError if they cannot meet the terms."""
    if terms.max_abstain_rate is not None:
        table = stability(n, require_anomalies(n, terms.contamination))
        return largest_T(table, terms.max_abstain_rate, terms.delta)
    return default_T(n, terms.contamination) if terms.T is None else terms.T


def planned_zone(n: int, terms: Terms) -> Zone:
    """Return the zone of any n calibration scores; up to `QUICK_T`, without loading the compiler.

    Raises as `threshold`.
    """
    m = require_anomalies(n, terms.contamination)
    table = quick_stability(n, m)
    if _threshold_by(table, terms) > QUICK_T:
        table = stability(n, m)
    return zone(table, _threshold_by(table, terms))


def _threshold_by(table: Stability, terms: Terms) -> float:
    if terms.max_abstain_rate is not None:
        return largest_T(table, terms.max_abstain_rate, terms.delta)
    return default_T(table.n, terms.contamination, table) if terms.T is None else terms.T


def zone_warnings(ranks: Zone, terms: Terms) -> list[str]:
    """Return one line for each verdict that a zone leaves no room, or too little, with the fix."""
    chosen = terms.T is None and terms.max_abstain_rate is None
    return [
        *reachability_warnings(ranks, terms.contamination, chosen=chosen),
        *reach_warnings(ranks, terms.contamination, None if chosen else ranks.T),
    ]


def exact_terms(zone: Zone, terms: Terms, costs: Costs | None = None) -> ExactPromise:
    """Return the exact figures of a zone, over all contaminations that are plausible; by other
    `costs`, if given."""
    costs = costs or terms.costs
    if terms.plausible:
        return uncertain_promise(zone, terms.plausible, terms.delta, costs)
    return exact_promise(zone, terms.contamination, terms.delta, costs)


WHY_NO_LAW = {
    "cross": "its scores come from detectors other than the one in use",
    "in_sample": "its scores are those of rows that the detector was fitted to",
}


def law_warnings(calibration: Calibration, *, budget: bool) -> list[str]:
    """Return the warning on a calibration without an exact law, if it is one; `budget` is whether
    the operator limits the abstention rate."""
    if calibration not in WHY_NO_LAW:
        return []
    limit = ", and rejector.max_abstain_rate limits nothing" if budget else ""
    return [
        f"calibration.method = {calibration!r} has no exact law, as "
        f"{WHY_NO_LAW[calibration]}: no bound holds with any stated probability{limit}; "
        "use 'holdout' for a promise"
    ]


def _tie_warnings(judge: Rejector, *, tied: bool) -> list[str]:
    """Return the warning on ties at an edge of the zone: they are rejected too, so that no verdict
    depends on how ties are broken."""
    if not tied:
        return []
    distinct = len(np.unique(judge.scores))
    return [
        f"the calibration scores are tied at an edge of the zone ({distinct:,} distinct values "
        f"among {judge.zone.n:,}), and the law needs scores without ties: the abstention rate "
        "and the cost exceed their upper bounds more often than stated; "
        f"{judge.plug_in_rejection_rate:.3%} of the calibration scores lie in the zone; choose a "
        "detector or features whose scores differ"
    ]
