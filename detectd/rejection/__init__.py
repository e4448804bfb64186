"""When to abstain, and what that promises. Pure mathematics: numbers in, numbers out.

Begin with `promise`, which puts the parts together.

stability                   how stable a verdict is at each rank among the calibration scores
binomial                    its binomial tails in log space, compiled
ranking                     the rank of a new score among the calibration scores, compiled
zone                        the ranks and scores at which to abstain; the verdict on a new score
exact                       abstention rate and cost, exactly, for exchangeable scores
contamination_uncertainty   the same if the contamination is a distribution, not a number
quadrature                  the integrals that it needs
paper                       the same by the paper's inequalities
promise                     zone, exact figures and the paper's under given terms
finite                      what the promise allows in a history of N events
confidence_sequence         what the stream says about it, valid at every moment
drift                       evidence that the stream's ranks no longer follow the promise
ties, tie_breaking          the effect of tied scores, and how ties are broken
key_zones                   a zone for each key with enough calibration scores
key_promise                 the promises of such keys, and evidence that one is not kept
budget                      the T that an abstention rate allows, and the n that a T needs
reach                       the share of expected anomalies beyond the zone, and the T for a share
cost_warnings               whether the costs make the decision trivial
evaluation                  how good verdicts were, given the true labels

The method is that of L. Perini and J. Davis, "Unsupervised Anomaly Detection with Rejection",
NeurIPS 2023, based on the stability of L. Perini, V. Vercruyssen and J. Davis, "Quantifying the
confidence of anomaly detectors in their example-wise predictions", ECML PKDD 2020 (ExCeeD).
"""

from detectd.rejection.budget import largest_T, reachability_warnings, smallest_n
from detectd.rejection.confidence_sequence import promise_kept, rate_interval
from detectd.rejection.contamination_uncertainty import uncertain_promise
from detectd.rejection.cost_warnings import cost_warnings
from detectd.rejection.exact import (
    Costs,
    ExactPromise,
    exact_promise,
    expected_cost,
    largest_width,
    most_inside,
    observed_inside,
)
from detectd.rejection.finite import FiniteHistory, finite_history
from detectd.rejection.paper import PaperPromise, paper_promise
from detectd.rejection.reach import beyond, default_T, reach, reach_warnings, smallest_n_reaching
from detectd.rejection.stability import (
    Stability,
    expected_anomalies,
    log_tails,
    quick_stability,
    require_anomalies,
    stability,
)
from detectd.rejection.ties import ties_matter
from detectd.rejection.zone import (
    ABSTAIN,
    ANOMALY,
    NORMAL,
    KeyVerdicts,
    Rejector,
    Verdicts,
    Zone,
    rank_figures,
    rejector,
    zone,
)

__all__ = [
    "ABSTAIN",
    "ANOMALY",
    "NORMAL",
    "Costs",
    "ExactPromise",
    "FiniteHistory",
    "KeyVerdicts",
    "PaperPromise",
    "Rejector",
    "Stability",
    "Verdicts",
    "Zone",
    "beyond",
    "cost_warnings",
    "default_T",
    "exact_promise",
    "expected_anomalies",
    "expected_cost",
    "finite_history",
    "largest_T",
    "largest_width",
    "log_tails",
    "most_inside",
    "observed_inside",
    "paper_promise",
    "promise_kept",
    "quick_stability",
    "rank_figures",
    "rate_interval",
    "reach",
    "reach_warnings",
    "reachability_warnings",
    "rejector",
    "require_anomalies",
    "smallest_n",
    "smallest_n_reaching",
    "stability",
    "ties_matter",
    "uncertain_promise",
    "zone",
]
