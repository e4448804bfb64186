"""The exact promise when the contamination is a distribution.

The zone is fixed: it was computed for one contamination. The uncertain quantity is the stream's
share of anomalies, which determines the cost of mistakes. So the rates are the same as for a known
contamination, and the cost is that of a contamination drawn from the distribution and masses drawn
from the Dirichlet, independently.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from detectd.rejection.exact import (
    ExactPromise,
    cost_exceedance,
    expected_cost,
    rate_upper,
    require_delta,
    smallest_within,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from detectd.rejection.exact import Costs
    from detectd.rejection.zone import Zone


def uncertain_promise(
    zone: Zone, contaminations: Sequence[float], delta: float, costs: Costs
) -> ExactPromise:
    """Return the promise of a zone over equally likely contaminations, each in [0, 0.5].

    `expected_cost_bound` is the mean over both distributions and `cost_upper` the (1−δ) quantile of
    their mixture, by a quadrature for each contamination. Raises as `exact_promise`.
    """
    require_delta(delta)
    share = 1.0 / len(contaminations)
    exceedances = [cost_exceedance(zone, each, costs) for each in contaminations]
    return ExactPromise(
        expected_rejection_rate=zone.width / (zone.n + 1),
        rejection_rate_upper=rate_upper(zone.n, zone.width, delta),
        delta=delta,
        expected_cost_bound=share * sum(expected_cost(zone, g, costs) for g in contaminations),
        cost_upper=smallest_within(
            lambda t: share * sum(exceeds(t) for exceeds in exceedances), delta, costs
        ),
    )
