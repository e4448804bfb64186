"""Records in, outgoing out: one pure function, and the law it keeps.

The law: every record in yields exactly one record out, in order. A record becomes a verdict on
one of three topics, or a dead letter with the reason; nothing is dropped, doubled or reordered.
Where a batch fails as nobody foresaw, its records are tried one by one, and the law still holds.

    decode   bytes -> events and their feature vectors, or dead letters
    impute   features that are missing, where the configuration allows it
    score    each row as if it were alone
    judge    the score's rank among the calibration scores -> normal, anomaly or abstain
    encode   verdict and original event -> the bytes that a sink writes, as far as they fit
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import compress
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from detectd.errors import DetectdError
from detectd.pipeline.dead_letters import dead_letter, size, too_large
from detectd.pipeline.decode import decode
from detectd.pipeline.encode import (
    Answers,
    envelopes,
    explained,
    originals,
    warming_up,
    without_score,
)
from detectd.pipeline.explain import explanations
from detectd.pipeline.nonfinite_scores import joined, judge_scores
from detectd.pipeline.records import Stage, Topic
from detectd.pipeline.unexpected_errors import During, Unforeseen, defect

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from detectd.detectors import Scorer
    from detectd.pipeline.decode import Decoded
    from detectd.pipeline.records import Event, Outgoing, Record
    from detectd.pipeline.schema import Schema
    from detectd.rejection import Rejector, Verdicts


@dataclass(frozen=True)
class ModelScorer:
    """What turns a feature vector into a verdict. `medians` (d,) stand in for missing features.

    With `explains`, anomalies and abstentions say which features drove their score.
    """

    version: str
    scorer: Scorer
    rejector: Rejector
    medians: NDArray[np.float64]
    explains: bool = False

    @cached_property
    def answers(self) -> Answers:
        """What it answers at each rank."""
        return Answers(self.rejector, self.version)


@dataclass(frozen=True, slots=True, eq=False)
class ScoredBatch:
    """The outputs of a batch, one a record, in order, and what there is to learn from it.

    `rows` (k, d) are those of the events, as they came: NaN where a feature was missing. `scores`
    (k,) are theirs, infinite where the detector's is no finite number, and `found` the answers.
    """

    outgoing: list[Outgoing]
    rows: NDArray[np.float64]
    scores: NDArray[np.float64]
    found: Verdicts


class Unjudged(NamedTuple):
    """The outputs of a batch without a model, one a record, and the rows (k, d) for training.

    `events` are those behind the rows, and `records` theirs.
    """

    outgoing: list[Outgoing]
    rows: NDArray[np.float64]
    events: Sequence[Event]
    records: Sequence[Record]


def judge_records(
    records: Sequence[Record], schema: Schema, judge: ModelScorer, *, original: bool = False
) -> ScoredBatch:
    """A verdict or a dead letter for each record.

    With `original` the value stays what it was, and the verdict is in the headers alone. Raises
    DetectdError if it is the model that fails, whatever the record.
    """
    try:
        return _judge_together(records, schema, judge, original=original)
    except Unforeseen:
        return _judge_one_by_one(records, schema, judge, original=original)


def _judge_together(
    records: Sequence[Record], schema: Schema, judge: ModelScorer, *, original: bool
) -> ScoredBatch:
    with During(Stage.FEATURES):
        decoded = decode(records, schema)
        rows, imputed = _impute(decoded.rows, judge.medians, schema.labels)
    with During(Stage.SCORE):
        scores, found = judge_scores(_scores(rows, judge), judge.rejector)
    with During(Stage.ENCODE):
        places = zip(found.verdict.tolist(), found.rank.tolist(), found.below.tolist(), strict=True)
        answers = list(map(judge.answers.__getitem__, places))
        wild = np.flatnonzero(np.isinf(scores)).tolist()
        for place in wild:
            answers[place] = judge.answers.not_finite
        parts = (answers, scores.tolist(), _alive(records, decoded), decoded.events)
        living = originals(*parts) if original else envelopes(*parts, imputed)
        for place in wild:
            living[place] = without_score(living[place])
        if judge.explains:
            _explain(living, rows, scores, found, judge, schema, original=original)
        return ScoredBatch(_in_order(living, records, decoded), decoded.rows, scores, found)


def _judge_one_by_one(
    records: Sequence[Record], schema: Schema, judge: ModelScorer, *, original: bool
) -> ScoredBatch:
    """The same, where one of the records at least has met a defect: it is a dead letter."""
    outgoing: list[Outgoing] = []
    sound: list[ScoredBatch] = []
    failed: Unforeseen | None = None
    for record in records:
        try:
            alone = _judge_together([record], schema, judge, original=original)
        except Unforeseen as unforeseen:
            failed = unforeseen
            outgoing.append(dead_letter(record, defect(failed.stage, failed.cause)))
        else:
            outgoing += alone.outgoing
            sound.append(alone)
    if failed and not any(len(part.rows) for part in sound):
        _require_working(judge, failed)
    return _joined(outgoing, sound, judge)


def _require_working(judge: ModelScorer, failed: Unforeseen) -> None:
    """Raise DetectdError if the model fails on the medians of its training rows as well."""
    try:
        with During(Stage.SCORE):
            judge_rows(judge.medians[None, :], judge)
    except Unforeseen:
        raise DetectdError(
            f"model {judge.version}: it scores nothing, not even the medians of its training rows: "
            f"{failed}; fit another model, or choose another detector.name"
        ) from failed.cause


def _joined(
    outgoing: list[Outgoing], parts: Sequence[ScoredBatch], judge: ModelScorer
) -> ScoredBatch:
    rows = [np.empty((0, len(judge.medians))), *(part.rows for part in parts)]
    scores = [np.empty(0), *(part.scores for part in parts)]
    found = joined([part.found for part in parts], judge.rejector)
    return ScoredBatch(outgoing, np.concatenate(rows), np.concatenate(scores), found)


def _explain(
    living: list[Outgoing],
    rows: NDArray[np.float64],
    scores: NDArray[np.float64],
    found: Verdicts,
    judge: ModelScorer,
    schema: Schema,
    *,
    original: bool,
) -> None:
    calibration = judge.rejector.scores
    for place, why in explanations(
        judge.scorer, rows, scores, judge.medians, schema.labels, found, calibration
    ):
        living[place] = explained(living[place], why, original=original)


def judge_rows(
    rows: NDArray[np.float64], judge: ModelScorer
) -> tuple[NDArray[np.float64], NDArray[np.bool_], Verdicts]:
    """The scores (k,) of rows (k, d), which of them are finite, and the answers to those."""
    scores = _scores(np.where(np.isnan(rows), judge.medians, rows), judge)
    finite = np.isfinite(scores)
    return scores, finite, judge.rejector.judge(scores[finite])


def _scores(rows: NDArray[np.float64], judge: ModelScorer) -> NDArray[np.float64]:
    return judge.scorer.score(rows) if len(rows) else np.empty(0)


def collect_records(
    records: Sequence[Record],
    schema: Schema,
    verdict: Topic = Topic.ABSTAIN,
    *,
    original: bool = False,
) -> Unjudged:
    """Without a model: the same verdict for every event, and its rows for training."""
    try:
        return _collect_together(records, schema, verdict, original=original)
    except Unforeseen:
        none = Unjudged([], np.empty((0, len(schema.columns))), [], [])
    parts = [none]
    for record in records:
        try:
            parts.append(_collect_together([record], schema, verdict, original=original))
        except Unforeseen as failed:
            dead = dead_letter(record, defect(failed.stage, failed.cause))
            parts.append(none._replace(outgoing=[dead]))
    return Unjudged(
        [out for part in parts for out in part.outgoing],
        np.concatenate([part.rows for part in parts]),
        [event for part in parts for event in part.events],
        [record for part in parts for record in part.records],
    )


def _collect_together(
    records: Sequence[Record], schema: Schema, verdict: Topic, *, original: bool
) -> Unjudged:
    with During(Stage.FEATURES):
        decoded = decode(records, schema)
    living = _alive(records, decoded)
    with During(Stage.ENCODE):
        outgoing = [
            warming_up(record, event, verdict, original=original)
            for record, event in zip(living, decoded.events, strict=True)
        ]
        answered = _in_order(outgoing, records, decoded)
    return Unjudged(answered, decoded.rows, decoded.events, living)


def within_limits(
    records: Sequence[Record], outgoing: Sequence[Outgoing], limits: Mapping[Topic, int]
) -> list[Outgoing]:
    """The outputs, those larger than `limits` (bytes) replaced by dead letters that say so."""
    return (
        [
            out if size(out) <= limits.get(out.topic, math.inf) else too_large(record, out, limits)
            for record, out in zip(records, outgoing, strict=True)
        ]
        if limits
        else list(outgoing)
    )


def _impute(
    rows: NDArray[np.float64], medians: NDArray[np.float64], labels: Sequence[str]
) -> tuple[NDArray[np.float64], list[tuple[str, ...]]]:
    """Complete rows, and for each of them the names of the features that were missing."""
    missing = np.isnan(rows)
    if not missing.any():
        return rows, [()] * len(rows)
    return np.where(missing, medians, rows), [
        tuple(dict.fromkeys(compress(labels, row))) for row in missing
    ]


def _alive(records: Sequence[Record], decoded: Decoded) -> Sequence[Record]:
    """The records behind the rows."""
    return [records[place] for place in decoded.sound] if decoded.dead else records


def _in_order(
    living: list[Outgoing], records: Sequence[Record], decoded: Decoded
) -> list[Outgoing]:
    """The outputs of the living, with dead letters where the other records were."""
    if decoded.dead:
        rest, dead = iter(living), decoded.dead
        living = [
            dead_letter(record, dead[place]) if place in dead else next(rest)
            for place, record in enumerate(records)
        ]
    assert len(living) == len(records), "a record has no outcome"
    return living
