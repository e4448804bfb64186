"""The bounds of the exact promise for a history of finitely many events.

A bound on a mass does not bound a count: of T events, the number of false verdicts scatters around
its mean, and half of all histories lie above it. So a history is compared with the distribution for
histories of its length. Given the model, anomalies placed where they cost most (see `exact`), and
masses (N, R, A) ~ Dirichlet(a, w, n+1−a−w), the numbers of events are multinomial, with shares

    missed anomalies   min(γ, N)
    false alarms       min(A, 1−γ)
    abstentions        R

Any other placement of a share γ of anomalies gives each event a stochastically smaller cost, so no
placement makes a history more expensive. The distribution is sampled. If the observed figure is one
of B + 1 from it, it exceeds ⌈(1−δ)(B+1)⌉ − 1 of the other B with probability at most δ: the test is
exact for every B (G. A. Barnard, 1963; J. Besag and P. Clifford, "Sequential Monte Carlo p-values",
1991), and its bound scatters by 1/√B.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from detectd.rejection.exact import require_delta

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from detectd.rejection.exact import Costs
    from detectd.rejection.zone import Zone

DRAWS = 99_999
SEED = 0


@dataclass(frozen=True, slots=True)
class FiniteHistory:
    """The upper bounds for a sound model's history, each with probability 1−δ.

    Counts of events, and `cost` the total of all events.
    """

    events: int
    false_positives: int
    false_negatives: int
    cost: float


def finite_history(
    zone: Zone, contaminations: Sequence[float], events: int, delta: float, costs: Costs
) -> FiniteHistory:
    """Return the bounds for a history of `events` events, over equally likely contaminations.

    The same for the same arguments. Raise ConfigError if delta lies outside (0, 1).
    """
    require_delta(delta)
    rng = np.random.default_rng(SEED)
    gaps = (zone.rank_low, zone.width, zone.n - zone.rank_high)
    # Gamma variables, since NumPy's Dirichlet does not accept a gap of width 0.
    masses = np.stack([rng.standard_gamma(gap, DRAWS) for gap in gaps], axis=1)
    masses /= masses.sum(axis=1, keepdims=True)
    normal, rejected, anomaly = masses.T
    share = rng.choice(np.asarray(contaminations, dtype=np.float64), DRAWS)
    kinds = np.stack([np.minimum(share, normal), np.minimum(anomaly, 1.0 - share), rejected], 1)
    rest = np.maximum(0.0, 1.0 - kinds.sum(axis=1, keepdims=True))
    chances = np.hstack([kinds, rest])
    chances /= chances.sum(axis=1, keepdims=True)
    missed, alarms, abstained, _ = rng.multinomial(events, chances).T
    return FiniteHistory(
        events=events,
        false_positives=int(_most(alarms, delta)),
        false_negatives=int(_most(missed, delta)),
        cost=float(_most(total_cost(costs, alarms, missed, abstained), delta)),
    )


def total_cost(costs: Costs, false_positives: Any, false_negatives: Any, abstained: Any) -> Any:
    """Return what mistakes and abstentions cost, as counts or arrays of counts; rounded alike for
    both."""
    return (
        costs.false_positive * false_positives
        + costs.false_negative * false_negatives
        + costs.rejection * abstained
    )


def _most(values: npt.NDArray[Any], delta: float) -> Any:
    """Return the ⌈(1−δ)(B+1)⌉-th smallest of B values."""
    place = min(len(values), math.ceil((1.0 - delta) * (len(values) + 1)))
    return np.partition(values, place - 1)[place - 1]
