"""What a model promises under given terms: its zone, and the paper's and the exact figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from detectd.rejection import (
    Costs,
    ExactPromise,
    PaperPromise,
    Rejector,
    exact_promise,
    largest_T,
    paper_promise,
    reachability_warnings,
    rejector,
    require_anomalies,
    stability,
    uncertain_promise,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from detectd.rejection import Zone


@dataclass(frozen=True)
class Terms:
    """What the operator asks for: either a threshold T or a budget for the abstention rate.

    `plausible` are equally likely contaminations, where it is an estimate: costs are bounded over
    all of them.
    """

    contamination: float
    T: float
    max_abstain_rate: float | None
    delta: float
    costs: Costs
    plausible: tuple[float, ...] = ()


@dataclass(frozen=True)
class Promise:
    """The zone, the two sets of figures, and what the operator must be told loudly."""

    terms: Terms
    rejector: Rejector
    exact: ExactPromise
    paper: PaperPromise
    warnings: list[str]


def promise(calibration: NDArray[np.float64], terms: Terms) -> Promise:
    """The promise of calibration scores (n,) under `terms`.

    Raises ConfigError where the terms cannot be met by n scores.
    """
    T = terms.T
    if terms.max_abstain_rate is not None:
        n = len(calibration)
        table = stability(n, require_anomalies(n, terms.contamination))
        T = largest_T(table, terms.max_abstain_rate, terms.delta)
    judge = rejector(calibration, terms.contamination, T)
    exact = exact_terms(judge.zone, terms)
    return Promise(
        terms=terms,
        rejector=judge,
        exact=exact,
        paper=paper_promise(judge.zone, terms.contamination, terms.delta, terms.costs),
        warnings=[
            *reachability_warnings(judge.zone, terms.contamination),
            *_tie_warnings(judge, exact),
        ],
    )


def exact_terms(zone: Zone, terms: Terms, costs: Costs | None = None) -> ExactPromise:
    """The exact figures of a zone, over all contaminations that are plausible; by other `costs`,
    where given."""
    costs = costs or terms.costs
    if terms.plausible:
        return uncertain_promise(zone, terms.plausible, terms.delta, costs)
    return exact_promise(zone, terms.contamination, terms.delta, costs)


def _tie_warnings(judge: Rejector, exact: ExactPromise) -> list[str]:
    """A verdict must not hang on how ties are broken, so ties at an edge are rejected too."""
    plug_in = judge.plug_in_rejection_rate
    if plug_in <= exact.rejection_rate_upper:
        return []
    return [
        f"the calibration scores are tied: {plug_in:.3%} of them are rejected, more than the upper "
        f"bound of {exact.rejection_rate_upper:.3%}, which holds for scores without ties; "
        "expect the former, or choose a detector whose scores differ"
    ]
