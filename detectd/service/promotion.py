"""Decide whether a newly trained model may replace the current one.

Both are compared on rows that neither was trained on. Even models of two samples of the same stream
differ there, near the edges of their zones: with 1,000 calibration scores each, γ = 0.05 and T = 8,
on 3 % of the rows for IForest, 4 % for PCA and KNN, 5 % for HBOS, 6 % for LOF. A lower limit would
refuse good models.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from detectd.models.sanity import why_backwards, why_scoreless
from detectd.pipeline.judging import judge_rows
from detectd.rejection import ABSTAIN, ANOMALY, NORMAL

if TYPE_CHECKING:
    import numpy.typing as npt

    from detectd.pipeline.judging import ModelScorer
    from detectd.rejection.promise import Promise

    Rows = npt.NDArray[np.float64]
    Counts = npt.NDArray[np.int64]
    Codes = npt.NDArray[np.int8]
    Digests = npt.NDArray[np.uint64]

Code = Literal[
    "tied",
    "no_promise",
    "not_finite",
    "never_normal",
    "never_anomaly",
    "not_compared",
    "changed",
    "backwards",
]

VERDICTS = {"normal": NORMAL, "anomaly": ANOMALY, "abstain": ABSTAIN}
NOT_FINITE = 3


@dataclass(frozen=True, slots=True)
class Challenger:
    """A model as served: its scorer, and its promise."""

    judge: ModelScorer
    promise: Promise


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason to refuse a model: a `code` for a metric, a sentence for the log."""

    code: Code
    sentence: str


# Without rows no share of the verdicts can be too large, so nothing would be known of the model.
NOT_COMPARED = Reason(
    "not_compared",
    "there would be no held-out rows to compare it on; set training.window well above "
    "training.warmup",
)


@dataclass(frozen=True, slots=True, eq=False)
class Agreement:
    """How two models judge the same rows.

    `counts` (4, 4): rows by the old model's verdict and the new one's; NORMAL, ANOMALY, ABSTAIN,
    and the rows without a finite score.
    """

    counts: Counts

    @property
    def rows(self) -> int:
        """Return the number of rows that both judged."""
        return int(self.counts.sum())

    @property
    def changed(self) -> float:
        """Return the share of rows whose verdict differs; 0 if there are no rows."""
        return 1.0 - int(self.counts.trace()) / self.rows if self.rows else 0.0

    @property
    def lost(self) -> int:
        """Return rows that the old model scores and the new one does not."""
        return int(self.counts[:NOT_FINITE, NOT_FINITE].sum())

    def as_dict(self) -> dict[str, Any]:
        """Return the counts for JSON: {old verdict: {new verdict: rows}}."""
        names = [*VERDICTS, "not_finite"]
        table = self.counts.tolist()
        return {
            old: dict(zip(names, row, strict=True)) for old, row in zip(names, table, strict=True)
        }


def agreement(
    old: ModelScorer, new: ModelScorer, rows: Rows, keys: Digests | None = None
) -> Agreement:
    """Return how both judge rows (k, d), NaN where a feature is missing; `keys` as `verdicts`."""
    return compared(verdicts(old, rows, keys), verdicts(new, rows, keys))


def compared(old: Codes, new: Codes) -> Agreement:
    """Return the agreement of the codes (k,) that two models give the same rows."""
    pairs = 4 * old.astype(np.int64) + new
    return Agreement(np.bincount(pairs, minlength=16).reshape(4, 4))


def verdicts(judge: ModelScorer, rows: Rows, keys: Digests | None = None) -> Codes:
    """Return the codes (k,) of rows (k, d): the verdict's, or NOT_FINITE. `keys` (k,) are the
    digests of their keys, if known."""
    _, finite, found = judge_rows(rows, judge, keys)
    codes = np.full(len(rows), NOT_FINITE, dtype=np.int8)
    codes[finite] = found.verdict
    return codes


def suspicious(
    judge: ModelScorer, rows: Rows, keys: Digests | None = None
) -> npt.NDArray[np.bool_]:
    """Return which of the rows (k, d) the model calls anomalies or abstains from (k,); `keys` as
    `verdicts`."""
    return np.isin(verdicts(judge, rows, keys), (ANOMALY, ABSTAIN))


def backwards(judge: ModelScorer, rows: Rows) -> list[Reason]:
    """Return a reason if the model calls rows far outside of `rows` (N, d) normal; see `sanity`."""
    why = why_backwards(judge, rows)
    return [Reason("backwards", why)] if why else []


def scoreless(judge: ModelScorer, rows: Rows) -> list[Reason]:
    """Return a reason if the model has no score for some of its training `rows` (N, d)."""
    why = why_scoreless(judge, rows)
    return [Reason("not_finite", why)] if why else []


def refusals(
    old: Challenger, new: Challenger, agreed: Agreement, max_change: float
) -> list[Reason]:
    """Return the reasons against `new` replacing `old`; empty if there are none.

    `agreed` is their agreement on rows that neither was trained on, `max_change` the share of them
    whose verdict may differ.
    """
    reasons: list[Reason] = []

    def refuse(code: Code, sentence: str) -> None:
        reasons.append(Reason(code, sentence))

    scores = new.judge.pooled.scores  # those of all keys, whatever is left to the shared zone
    if scores[0] == scores[-1]:
        refuse("tied", f"all of its {len(scores):,} calibration scores are {scores[0]:g}")
    exact = asdict(new.promise.exact) if new.promise.exact else {}
    broken = [name for name, value in exact.items() if not math.isfinite(value)]
    if broken:
        refuse("no_promise", f"its {broken[0]} is not a finite number")
    ours, theirs = old.promise.rejector.zone, new.promise.rejector.zone
    if ours.normal_reachable and not theirs.normal_reachable:
        refuse("never_normal", "it can never say normal, and the active model can")
    if ours.anomaly_reachable and not theirs.anomaly_reachable:
        refuse("never_anomaly", "it can never say anomaly, and the active model can")
    if agreed.lost:
        refuse(
            "not_finite",
            f"it gives no finite score to {agreed.lost:,} of {agreed.rows:,} held-out rows that "
            "the active model scores",
        )
    if agreed.changed > max_change:
        refuse(
            "changed",
            f"it judges {agreed.changed:.2%} of {agreed.rows:,} held-out rows differently from "
            f"the active model; at most {max_change:.2%} may change",
        )
    return reasons
