"""A labelled history as the pipeline judged it, for `detectd backtest` and its report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from detectd.pipeline.nonfinite_scores import judge_scores

if TYPE_CHECKING:
    from collections import Counter

    from numpy.typing import NDArray

    from detectd.models.serving import Serving
    from detectd.pipeline.scoring import ScoredBatch
    from detectd.rejection import Rejector


class BacktestData:
    """The verdicts on the events and their true labels, in 9 bytes per event.

    `counts` (3, 2): events by verdict code and truth, 1 for an anomaly. `ranks` (2, n+1): events by
    truth and rank among the n calibration scores.
    """

    def __init__(self, n: int) -> None:
        self.counts: NDArray[np.int64] = np.zeros((3, 2), dtype=np.int64)
        self.ranks: NDArray[np.int64] = np.zeros((2, n + 1), dtype=np.int64)
        self._scores: list[NDArray[np.float64]] = []
        self._anomalous: list[NDArray[np.bool_]] = []

    def add(self, scored: ScoredBatch, anomalous: NDArray[np.bool_]) -> None:
        """Add a batch, and which of its events (k,) are anomalies."""
        truth = anomalous.astype(np.int64)
        np.add.at(self.counts, (scored.found.verdict, truth), 1)
        np.add.at(self.ranks, (truth, scored.found.rank), 1)
        self._scores.append(scored.scores)
        self._anomalous.append(anomalous)

    def judged_by(self, rejector: Rejector) -> BacktestData:
        """Return the same scores and truths under another zone of the same calibration scores."""
        other = BacktestData(len(rejector.scores))
        other.ranks, other._scores, other._anomalous = self.ranks, self._scores, self._anomalous
        for scores, anomalous in zip(self._scores, self._anomalous, strict=True):
            verdicts = judge_scores(scores, rejector)[1].verdict
            np.add.at(other.counts, (verdicts, anomalous.astype(np.int64)), 1)
        return other

    @property
    def scores(self) -> NDArray[np.float64]:
        """Return the scores (k,) of all events, in order."""
        return np.concatenate([np.empty(0), *self._scores])

    @property
    def anomalous(self) -> NDArray[np.bool_]:
        """Return which of the events (k,) are anomalies."""
        return np.concatenate([np.empty(0, dtype=bool), *self._anomalous])


@dataclass
class Backtest:
    """A history and the model that judged it.

    `warmup` counts the events that trained the model, 0 if it was there before; `familiar` those
    judged whose rows are among the ones that trained it; `dead` the dead letters by stage.
    """

    serving: Serving
    answered: BacktestData
    warmup: int
    familiar: int
    dead: Counter[str]
