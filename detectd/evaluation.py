"""How good verdicts were, where the truth is known. Pure mathematics: arrays in, numbers out.

Beside what verdicts and abstentions cost, the question is whether it abstains from the right ones.
The generalized risk at a coverage is the share of all events that have a wrong verdict while only
the surest, that share of all, have one. The area under it, AUGRC, is the mean risk of a wrong
verdict that goes unnoticed (J. Traub et al., "Overcoming Common Flaws in the Evaluation of
Selective Classification Systems", NeurIPS 2024): err²/2 where all mistakes come last, err/2 where
doubt tells nothing, with err the share of wrong verdicts at full coverage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from detectd.rejection import ABSTAIN, ANOMALY, NORMAL

if TYPE_CHECKING:
    import numpy.typing as npt

    from detectd.rejection import Costs

    Floats = npt.NDArray[np.float64]
    Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Tally:
    """Events by verdict, and those of which the verdict is wrong."""

    normal: int
    anomaly: int
    abstain: int
    false_positives: int
    false_negatives: int
    abstained_anomalies: int

    @property
    def events(self) -> int:
        """All of them."""
        return self.normal + self.anomaly + self.abstain

    @property
    def anomalies(self) -> int:
        """Those that are anomalies in truth."""
        true_positives = self.anomaly - self.false_positives
        return true_positives + self.false_negatives + self.abstained_anomalies

    def cost(self, costs: Costs) -> float:
        """What they cost per event; 0 where there are none."""
        total = (
            costs.false_positive * self.false_positives
            + costs.false_negative * self.false_negatives
            + costs.rejection * self.abstain
        )
        return total / self.events if self.events else 0.0


def tally(verdicts: npt.NDArray[np.int8], anomalous: Bools) -> Tally:
    """Count verdict codes (k,) against the truth (k,)."""
    normal, anomaly, abstain = (verdicts == code for code in (NORMAL, ANOMALY, ABSTAIN))

    def count(which: Bools) -> int:
        return int(np.count_nonzero(which))

    return Tally(
        normal=count(normal),
        anomaly=count(anomaly),
        abstain=count(abstain),
        false_positives=count(anomaly & ~anomalous),
        false_negatives=count(normal & anomalous),
        abstained_anomalies=count(abstain & anomalous),
    )


def forced(log_p_anomaly: Floats, log_p_normal: Floats) -> npt.NDArray[np.int8]:
    """The likelier verdict of each event (k,), as if there were no abstaining."""
    return np.where(log_p_anomaly > log_p_normal, ANOMALY, NORMAL).astype(np.int8)


@dataclass(frozen=True, slots=True, eq=False)
class RiskCoverage:
    """What goes wrong while only the surest events have a verdict, by their share of all.

    All are (j,), in ascending order of coverage from 0 to 1. Events that are equally doubtful get
    a verdict together or not at all. `selective_risk` is the share of wrong verdicts among the
    verdicts given, `generalized_risk` among all events.
    """

    coverage: Floats
    selective_risk: Floats
    generalized_risk: Floats

    @property
    def augrc(self) -> float:
        """The area under the generalized risk; linear between events that are equally doubtful."""
        return float(np.trapezoid(self.generalized_risk, self.coverage))


def risk_coverage(doubt: Floats, wrong: Bools) -> RiskCoverage:
    """From the doubt about each verdict (k,), on any scale, and whether it is wrong (k,).

    Raises ValueError where there are no events.
    """
    if not len(doubt):
        raise ValueError("no events, so there is no risk to speak of")
    order = np.argsort(doubt, kind="stable")
    ascending, mistakes = doubt[order], np.cumsum(wrong[order])
    ends = np.flatnonzero(np.append(ascending[1:] != ascending[:-1], True))
    given = ends + 1
    return RiskCoverage(
        coverage=np.concatenate([[0.0], given / len(doubt)]),
        selective_risk=np.concatenate([[0.0], mistakes[ends] / given]),
        generalized_risk=np.concatenate([[0.0], mistakes[ends] / len(doubt)]),
    )


def auroc(scores: Floats, anomalous: Bools) -> float | None:
    """The chance that an anomaly scores above a normal event; None where there is only one kind."""
    from sklearn.metrics import roc_auc_score

    if anomalous.all() or not anomalous.any():
        return None
    return float(roc_auc_score(anomalous, scores))
