"""The promises of the same model under other thresholds: the curves over T."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from detectd.rejection import paper_promise, zone
from detectd.rejection.exact import rate_upper
from detectd.rejection.promise import exact_terms

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from detectd.rejection.promise import Promise

    Floats = NDArray[np.float64]

POINTS = 61

# The quantile of the cost takes tens of milliseconds, so it is computed at every STEP-th point.
COST_EVERY = 5

LARGEST_T = 48.0


@dataclass(frozen=True, eq=False)
class WhatIf:
    """Rates at thresholds `T` (k,), costs at `cost_thresholds` (j,), exact and as in the paper.

    `valid` (k,) marks where the paper's upper bound is valid. Beyond `reachable` some verdict is no
    longer possible. The exact bounds are None if the calibration has no law.
    """

    T: Floats
    expected: Floats
    upper: Floats | None
    paper_expected: Floats
    paper_upper: Floats
    valid: NDArray[np.bool_]
    cost_thresholds: Floats
    cost_upper: Floats | None
    expected_cost: Floats | None
    paper_cost: Floats
    reachable: float


def what_if(promise: Promise) -> WhatIf:
    """Return the curves from log 2 on to half as far again as the model's own T, and at least to
    48.

    Thresholds are denser where they are small, as they matter more there.
    """
    terms, tables = promise.terms, promise.rejector.stability
    n, delta = tables.n, terms.delta
    lowest, highest = math.log(2.0) * 1.0001, max(LARGEST_T, 1.5 * promise.rejector.zone.T)
    T = lowest + (highest - lowest) * np.linspace(0.0, 1.0, POINTS) ** 2
    zones = [zone(tables, float(t)) for t in T]
    papers = [paper_promise(z, terms.contamination, delta, terms.costs) for z in zones]
    lawful = promise.exact is not None
    costs = [exact_terms(z, terms) for z in zones[::COST_EVERY]] if lawful else []
    return WhatIf(
        T=T,
        expected=np.array([z.width / (n + 1) for z in zones]),
        upper=np.array([rate_upper(n, z.width, delta) for z in zones]) if lawful else None,
        paper_expected=np.array([p.expected_rejection_rate for p in papers]),
        paper_upper=np.array([p.rejection_rate_upper for p in papers]),
        valid=np.array([p.valid and promise.rate_bounded for p in papers]),
        cost_thresholds=T[::COST_EVERY],
        cost_upper=np.array([c.cost_upper for c in costs]) if lawful else None,
        expected_cost=np.array([c.expected_cost_bound for c in costs]) if lawful else None,
        paper_cost=np.array([p.cost_upper for p in papers[::COST_EVERY]]),
        reachable=float(-max(tables.log_p_normal[n], tables.log_p_anomaly[0])),
    )
