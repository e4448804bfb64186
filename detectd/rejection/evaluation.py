"""Evaluate verdicts against true labels. Pure mathematics: arrays in, numbers out.

Besides the cost of verdicts and abstentions, the question is whether the right events are
abstained from. The generalized risk at a coverage is the share of all events with a wrong verdict
if only the most certain events, up to that coverage, get one. The area under it, AUGRC, is the mean
risk of an undetected wrong verdict (J. Traub et al., "Overcoming Common Flaws in the Evaluation of
Selective Classification Systems", NeurIPS 2024): err²/2 if all mistakes come last, err/2 if
confidence is uninformative, with err the share of wrong verdicts at full coverage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from detectd.rejection import ABSTAIN, ANOMALY, NORMAL
from detectd.rejection.finite import total_cost

if TYPE_CHECKING:
    import numpy.typing as npt

    from detectd.rejection import Costs

    Floats = npt.NDArray[np.float64]
    Bools = npt.NDArray[np.bool_]
    Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Tally:
    """Events by verdict, and the wrong verdicts."""

    normal: int
    anomaly: int
    abstain: int
    false_positives: int
    false_negatives: int
    abstained_anomalies: int

    @property
    def events(self) -> int:
        """Return the number of events."""
        return self.normal + self.anomaly + self.abstain

    @property
    def anomalies(self) -> int:
        """Return the number of true anomalies."""
        true_positives = self.anomaly - self.false_positives
        return true_positives + self.false_negatives + self.abstained_anomalies

    def total_cost(self, costs: Costs) -> float:
        """Return the total cost."""
        return float(total_cost(costs, self.false_positives, self.false_negatives, self.abstain))

    def cost(self, costs: Costs) -> float:
        """Return the cost per event; 0 if there are no events."""
        return self.total_cost(costs) / self.events if self.events else 0.0


def tally(verdicts: npt.NDArray[np.int8], anomalous: Bools) -> Tally:
    """Count verdict codes (k,) against the true labels (k,)."""
    counts = np.zeros((3, 2), dtype=np.int64)
    np.add.at(counts, (verdicts, anomalous.astype(np.int64)), 1)
    return tally_of(counts)


def tally_of(counts: Ints) -> Tally:
    """Return the tally of events counted by verdict code and truth, (3, 2)."""
    normal, anomaly, abstain = (counts[code].tolist() for code in (NORMAL, ANOMALY, ABSTAIN))
    return Tally(
        normal=sum(normal),
        anomaly=sum(anomaly),
        abstain=sum(abstain),
        false_positives=anomaly[0],
        false_negatives=normal[1],
        abstained_anomalies=abstain[1],
    )


def forced(log_p_anomaly: Floats, log_p_normal: Floats) -> npt.NDArray[np.int8]:
    """Return the likelier verdict of each event (k,), without abstention."""
    return np.where(log_p_anomaly > log_p_normal, ANOMALY, NORMAL).astype(np.int8)


@dataclass(frozen=True, slots=True, eq=False)
class RiskCoverage:
    """The risk when only the surest events have a verdict, by their share of all.

    All are (j,), in ascending order of coverage from 0 to 1. Events that are equally doubtful get
    a verdict together or not at all. `selective_risk` is the share of wrong verdicts among the
    verdicts given, `generalized_risk` among all events.
    """

    coverage: Floats
    selective_risk: Floats
    generalized_risk: Floats

    @property
    def augrc(self) -> float:
        """Return the area under the generalized risk; linear between events that are equally
        doubtful."""
        return float(np.trapezoid(self.generalized_risk, self.coverage))


def risk_coverage(doubt: Floats, wrong: Bools, events: Ints | None = None) -> RiskCoverage:
    """Return the curve from the doubt about each verdict (k,), on any scale, and whether it is
    wrong (k,).

    `events` (k,) counts the events that each stands for; one, if left out.
    Raise ValueError if there are no events.
    """
    weights = np.ones(len(doubt), dtype=np.int64) if events is None else events
    there = weights > 0
    doubt, wrong, weights = doubt[there], wrong[there], weights[there]
    if not len(doubt):
        raise ValueError("no events, so the risk is undefined")
    order = np.argsort(doubt, kind="stable")
    ascending, mistakes = doubt[order], np.cumsum((wrong * weights)[order])
    ends = np.flatnonzero(np.append(ascending[1:] != ascending[:-1], True))
    given = np.cumsum(weights[order])[ends]
    return RiskCoverage(
        coverage=np.concatenate([[0.0], given / given[-1]]),
        selective_risk=np.concatenate([[0.0], mistakes[ends] / given]),
        generalized_risk=np.concatenate([[0.0], mistakes[ends] / given[-1]]),
    )


def auroc(scores: Floats, anomalous: Bools) -> float | None:
    """Return the chance that an anomaly scores above a normal event, a tie counting half; None if
    there is only one kind. Counted in whole numbers, in little more memory than the scores take."""
    normal, found = np.sort(scores[~anomalous]), scores[anomalous]
    if not len(normal) or not len(found):
        return None
    below = int(np.searchsorted(normal, found, side="left").sum())
    not_above = int(np.searchsorted(normal, found, side="right").sum())
    return (below + not_above) / (2 * len(normal) * len(found))
