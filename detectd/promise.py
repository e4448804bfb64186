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
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Terms:
    """What the operator asks for: either a threshold T or a budget for the abstention rate."""

    contamination: float
    T: float
    max_abstain_rate: float | None
    delta: float
    costs: Costs


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
    return Promise(
        terms=terms,
        rejector=judge,
        exact=exact_promise(judge.zone, terms.contamination, terms.delta, terms.costs),
        paper=paper_promise(judge.zone, terms.contamination, terms.delta, terms.costs),
        warnings=reachability_warnings(judge.zone, terms.contamination),
    )
