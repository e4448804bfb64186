"""A model's verdicts: scores, their ranks in the zone of their key or of all, and their answers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from detectd.pipeline.encode import Answers, AnswersByKey
from detectd.pipeline.key_digest import Digests
from detectd.pipeline.nonfinite_scores import (
    joined_by_key,
    joined_verdicts,
    judge_by_key,
    judge_scores,
)
from detectd.rejection import KeyVerdicts, Verdicts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from detectd.detectors import Scorer
    from detectd.pipeline.encode import Answer
    from detectd.pipeline.records import Event
    from detectd.rejection import Rejector
    from detectd.rejection.key_zones import KeyZones


@dataclass(frozen=True)
class ModelScorer:
    """A model as a scorer of feature vectors. `medians` (d,) are imputed for missing features.

    With `explains`, outputs of anomalies and abstentions name the features that drove their score.
    Scores of models with the same `unit`, a number but 0, can be compared. With `keys` an event is
    judged in the zone of its key, else by `rejector`. `categories` are the columns that hold no
    numbers.
    """

    version: str
    scorer: Scorer
    rejector: Rejector
    medians: NDArray[np.float64]
    explains: bool = False
    unit: float = 1.0
    keys: KeyZones | None = None
    categories: tuple[int, ...] = ()

    @cached_property
    def answers(self) -> Answers:
        """Return the outputs' constant parts, by rank."""
        return Answers(self.rejector.stability, self.version)

    @cached_property
    def answers_by_key(self) -> AnswersByKey:
        """Return the outputs' constant parts, by number of calibration scores and rank."""
        assert self.keys
        return AnswersByKey(self.keys.tables, self.version)

    @cached_property
    def digests(self) -> Digests:
        """Return a memory of the digests of keys."""
        return Digests()

    @property
    def pooled(self) -> Rejector:
        """Return the rejector of the calibration scores of all keys together."""
        return self.keys.pooled if self.keys else self.rejector

    def calibration(self, found: Verdicts | KeyVerdicts, row: int) -> NDArray[np.float64]:
        """Return the ascending calibration scores among which a row of `found` was judged."""
        if isinstance(found, KeyVerdicts):
            assert self.keys
            return self.keys.scores_of(int(found.places[row]))
        return self.rejector.scores


def judged(
    scores: NDArray[np.float64], events: Sequence[Event], judge: ModelScorer
) -> tuple[NDArray[np.float64], Verdicts | KeyVerdicts]:
    """Return the scores, infinite if they are not finite, and the verdicts on them."""
    if judge.keys is None:
        return judge_scores(scores, judge.rejector)
    names = (event.key for event in events)
    keys = np.fromiter(map(judge.digests.__getitem__, names), dtype=np.uint64)
    return judge_by_key(scores, judge.keys, judge.keys.places(keys))


def answers_to(
    found: Verdicts | KeyVerdicts, codes: NDArray[np.integer[Any]], judge: ModelScorer
) -> list[Answer]:
    """Return the constant parts of the outputs of verdicts; `codes` (k,) are those of `ANSWERS`."""
    parts = codes.tolist(), found.rank.tolist(), found.below.tolist()
    if isinstance(found, Verdicts):
        return list(map(judge.answers.__getitem__, zip(*parts, strict=True)))
    assert judge.keys
    sizes = judge.keys.sizes[found.places].tolist()
    return list(map(judge.answers_by_key.__getitem__, zip(sizes, *parts, strict=True)))


def not_finite(found: Verdicts | KeyVerdicts, row: int, judge: ModelScorer) -> Answer:
    """Return the constant parts of the output of a row whose score is not finite."""
    if isinstance(found, Verdicts):
        return judge.answers.not_finite
    return judge.answers_by_key.not_finite(len(judge.calibration(found, row)))


def judge_rows(
    rows: NDArray[np.float64], judge: ModelScorer, keys: NDArray[np.uint64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.bool_], Verdicts | KeyVerdicts]:
    """Return the scores (k,) of rows (k, d), which of them are finite, and the verdicts on those.

    `keys` (k,) are the digests of the rows' keys; without them, no key counts.
    """
    scores = scores_of(np.where(np.isnan(rows), judge.medians, rows), judge)
    finite = np.isfinite(scores)
    if judge.keys is None or keys is None:
        return scores, finite, judge.rejector.judge(scores[finite])
    return scores, finite, judge.keys.judge(scores[finite], judge.keys.places(keys[finite]))


def scores_of(rows: NDArray[np.float64], judge: ModelScorer) -> NDArray[np.float64]:
    """Return the scores (k,) of complete rows (k, d)."""
    return judge.scorer.score(rows) if len(rows) else np.empty(0)


def joined(parts: Sequence[Verdicts | KeyVerdicts], judge: ModelScorer) -> Verdicts | KeyVerdicts:
    """Return the verdicts on several batches as those on one batch."""
    if judge.keys is None:
        return joined_verdicts(
            [part for part in parts if isinstance(part, Verdicts)], judge.rejector
        )
    nothing = judge.keys.judge(np.empty(0), np.empty(0, dtype=np.intp))
    return joined_by_key([nothing, *(part for part in parts if isinstance(part, KeyVerdicts))])
