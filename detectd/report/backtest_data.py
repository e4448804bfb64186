"""A labelled history as the pipeline judged it, for `detectd backtest` and its report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from detectd.pipeline.nonfinite_scores import judge_by_key, judge_scores
from detectd.rejection import KeyVerdicts

if TYPE_CHECKING:
    from collections import Counter

    from numpy.typing import NDArray

    from detectd.models.serving import Serving
    from detectd.pipeline.judging import ModelScorer
    from detectd.pipeline.scoring import ScoredBatch
    from detectd.rejection import Rejector


class BacktestData:
    """The verdicts on the events and their true labels, in 9 bytes per event, or in 17 if keys have
    zones of their own.

    `counts` (3, 2): events by verdict code and truth, 1 for an anomaly. `ranks` (2, n+1): events by
    truth and rank among the n calibration scores of all keys, those of `pooled`.
    """

    def __init__(self, pooled: Rejector) -> None:
        self.counts: NDArray[np.int64] = np.zeros((3, 2), dtype=np.int64)
        self.ranks: NDArray[np.int64] = np.zeros((2, pooled.zone.n + 1), dtype=np.int64)
        self._pooled = pooled
        self._keys: list[NDArray[np.uint64]] = []
        self._scores: list[NDArray[np.float64]] = []
        self._anomalous: list[NDArray[np.bool_]] = []

    def add(self, scored: ScoredBatch, anomalous: NDArray[np.bool_]) -> None:
        """Add a batch, and which of its events (k,) are anomalies."""
        truth = anomalous.astype(np.int64)
        np.add.at(self.counts, (scored.found.verdict, truth), 1)
        rank = scored.found.rank
        if isinstance(scored.found, KeyVerdicts):
            rank = judge_scores(scored.scores, self._pooled)[1].rank
            self._keys.append(scored.keys)
        np.add.at(self.ranks, (truth, rank), 1)
        self._scores.append(scored.scores)
        self._anomalous.append(anomalous)

    def judged_by(self, judge: ModelScorer) -> BacktestData:
        """Return the same scores and truths under other zones of the same calibration scores."""
        other = BacktestData(judge.pooled)
        other.ranks, other._scores, other._anomalous = self.ranks, self._scores, self._anomalous
        other._keys = self._keys
        for i, (scores, anomalous) in enumerate(zip(self._scores, self._anomalous, strict=True)):
            verdicts = self._verdicts(i, scores, judge)
            np.add.at(other.counts, (verdicts, anomalous.astype(np.int64)), 1)
        return other

    def _verdicts(
        self, batch: int, scores: NDArray[np.float64], judge: ModelScorer
    ) -> NDArray[np.int8]:
        if judge.keys is None:
            return judge_scores(scores, judge.rejector)[1].verdict
        places = judge.keys.places(self._keys[batch])
        return judge_by_key(scores, judge.keys, places)[1].verdict

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
