"""Turn records into outputs: one pure function, and its guarantee.

The guarantee: every record in yields exactly one record out, in order. A record becomes a verdict
on one of three topics, or a dead letter with the reason; nothing is dropped, duplicated or
reordered. If a batch fails unexpectedly, its records are tried one by one, and the guarantee still
holds.

    decode   bytes -> events and what is read of them, or dead letters
    vectors  what is read, and the past of its key -> feature vectors
    impute   features that are missing, where the configuration allows it
    score    each row as if it were alone
    judge    the score's rank among the calibration scores -> normal, anomaly or abstain
    routine  what its key reaches at this time of day on other days, too -> normal
    encode   verdict and original event -> the bytes that a sink writes, as far as they fit
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import compress
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from detectd.errors import DetectdError
from detectd.pipeline.dead_letters import dead_letter, size, too_large
from detectd.pipeline.encode import (
    ROUTINE,
    envelopes,
    originals,
    unscored,
    without_score,
)
from detectd.pipeline.expectations import Expectations
from detectd.pipeline.explain import explain
from detectd.pipeline.judging import (
    answers_to,
    joined,
    judge_rows,
    judged,
    not_finite,
    scores_of,
)
from detectd.pipeline.key_digest import digest
from detectd.pipeline.records import Stage, Topic
from detectd.pipeline.unexpected_errors import During, Unforeseen, defect
from detectd.rejection import NORMAL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from detectd.pipeline.judging import ModelScorer
    from detectd.pipeline.records import Event, Outgoing, Reason, Record
    from detectd.pipeline.schema import Schema
    from detectd.pipeline.vectors import Vectors
    from detectd.rejection import KeyVerdicts, Verdicts


@dataclass(frozen=True, eq=False)
class ScoredBatch:
    """The outputs of a batch, one per record, in order, with the data for retraining and
    monitoring.

    `rows` (k, d) are those of the scored events, as they came: NaN if a feature is missing.
    `scores` (k,) are theirs, infinite if the detector's score is not finite, and `found` the
    model's verdicts. `places[i]` is the index of the record of row i, and `events[i]` its event.
    `routine` are the indices of the records that are normal whatever the model's verdict.
    """

    outgoing: list[Outgoing]
    rows: NDArray[np.float64]
    scores: NDArray[np.float64]
    found: Verdicts | KeyVerdicts
    places: Sequence[int]
    events: Sequence[Event]
    routine: Sequence[int] = ()

    @cached_property
    def keys(self) -> NDArray[np.uint64]:
        """Return the digests (k,) of the keys of the scored events."""
        return np.fromiter((digest(event.key) for event in self.events), dtype=np.uint64)


class Unjudged(NamedTuple):
    """The outputs of a batch without a model, one per record, and the rows (k, d) for training.

    `events` are those behind the rows, and `records` theirs.
    """

    outgoing: list[Outgoing]
    rows: NDArray[np.float64]
    events: Sequence[Event]
    records: Sequence[Record]


def judge_vectors(
    records: Sequence[Record],
    batch: Vectors,
    schema: Schema,
    judge: ModelScorer,
    *,
    original: bool = False,
) -> ScoredBatch:
    """Return a verdict, an abstention or a dead letter for each record; `batch` has their vectors.

    With `original` the value is unchanged, and the verdict is in the headers alone. Raise
    DetectdError if the model itself fails, whatever the record.
    """
    try:
        scored = _judge_together(records, batch, schema, judge, original=original)
    except Unforeseen:
        scored = _judge_one_by_one(records, batch, schema, judge, original=original)
    if batch.routine:
        batch.routine.finish()
    outgoing = _in_order(scored.outgoing, records, batch, original=original)
    return replace(scored, outgoing=outgoing)


def _judge_together(
    records: Sequence[Record],
    batch: Vectors,
    schema: Schema,
    judge: ModelScorer,
    *,
    original: bool,
) -> ScoredBatch:
    """Return the outputs of the records that have become rows."""
    with During(Stage.FEATURES):
        rows, imputed = _impute(batch.rows, judge.medians, schema.labels)
    with During(Stage.SCORE):
        scores, found = judged(scores_of(rows, judge), batch.events, judge)
        doubtful = (found.verdict != NORMAL) & np.isfinite(scores)
        routine = batch.routine_of(scores, doubtful, judge.unit)
    with During(Stage.ENCODE):
        answers = answers_to(found, np.where(routine, ROUTINE, found.verdict), judge)
        wild = np.flatnonzero(np.isinf(scores)).tolist()
        for place in wild:
            answers[place] = not_finite(found, place, judge)
        parts = (answers, scores.tolist(), batch.records_of(records), batch.events)
        living = originals(*parts) if original else envelopes(*parts, imputed)
        for place in wild:
            living[place] = without_score(living[place])
        if judge.explains:
            answered = replace(found, verdict=np.where(routine, NORMAL, found.verdict))
            expected = Expectations(schema, rows, judge.medians, batch.background)
            explain(living, rows, scores, answered, judge, expected, original=original)
        usual = [batch.places[row] for row in np.flatnonzero(routine).tolist()]
        return ScoredBatch(living, batch.rows, scores, found, batch.places, batch.events, usual)


def _judge_one_by_one(
    records: Sequence[Record],
    batch: Vectors,
    schema: Schema,
    judge: ModelScorer,
    *,
    original: bool,
) -> ScoredBatch:
    """Do the same when at least one row fails: its record becomes a dead letter."""
    outgoing: list[Outgoing] = []
    sound: list[ScoredBatch] = []
    failed: Unforeseen | None = None
    for row, record in enumerate(batch.records_of(records)):
        try:
            alone = _judge_together([record], batch.only(row), schema, judge, original=original)
        except Unforeseen as unforeseen:
            failed = unforeseen
            outgoing.append(dead_letter(record, defect(failed.stage, failed.cause)))
        else:
            outgoing += alone.outgoing
            place = [batch.places[row]]
            sound.append(replace(alone, places=place, routine=place if alone.routine else ()))
    if failed and not sound:
        _require_working(judge, failed)
    return _joined(outgoing, sound, judge)


def _require_working(judge: ModelScorer, failed: Unforeseen) -> None:
    """Raise DetectdError if the model fails on the medians of its training rows as well."""
    try:
        with During(Stage.SCORE):
            judge_rows(judge.medians[None, :], judge)
    except Unforeseen:
        raise DetectdError(
            f"model {judge.version}: it cannot score even the medians of its training rows: "
            f"{failed}; fit another model, or choose another detector.name"
        ) from failed.cause


def _joined(
    outgoing: list[Outgoing], parts: Sequence[ScoredBatch], judge: ModelScorer
) -> ScoredBatch:
    rows = [np.empty((0, len(judge.medians))), *(part.rows for part in parts)]
    scores = [np.empty(0), *(part.scores for part in parts)]
    found = joined([part.found for part in parts], judge)
    return ScoredBatch(
        outgoing,
        np.concatenate(rows),
        np.concatenate(scores),
        found,
        [place for part in parts for place in part.places],
        [event for part in parts for event in part.events],
        [place for part in parts for place in part.routine],
    )


def collect_vectors(
    records: Sequence[Record],
    batch: Vectors,
    verdict: Topic = Topic.ABSTAIN,
    *,
    original: bool = False,
) -> Unjudged:
    """Return, without a model, the same verdict for every event, and its rows for training."""
    living = batch.records_of(records)
    outgoing: list[Outgoing] = []
    sound: list[int] = []
    for row, (record, event) in enumerate(zip(living, batch.events, strict=True)):
        try:
            with During(Stage.ENCODE):
                outgoing.append(unscored(record, event, verdict=verdict, original=original))
            sound.append(row)
        except Unforeseen as failed:
            outgoing.append(dead_letter(record, defect(failed.stage, failed.cause)))
    if batch.routine:
        batch.routine.finish()
    answered = _in_order(outgoing, records, batch, original=original, verdict=verdict)
    if len(sound) == len(living):
        return Unjudged(answered, batch.rows, batch.events, living)
    events, places = [batch.events[row] for row in sound], [living[row] for row in sound]
    return Unjudged(answered, batch.rows[sound], events, places)


def within_limits(
    records: Sequence[Record], outgoing: Sequence[Outgoing], limits: Mapping[Topic, int]
) -> list[Outgoing]:
    """Return the outputs; replace those larger than `limits` (bytes) by dead letters."""
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


def _in_order(
    living: list[Outgoing],
    records: Sequence[Record],
    batch: Vectors,
    *,
    original: bool,
    verdict: Topic = Topic.ABSTAIN,
) -> list[Outgoing]:
    """Return the outputs of the rows and of the other records, in the order of the records."""
    if not batch.whole:
        answered: list[Outgoing | None] = [None] * len(records)
        for place, out in zip(batch.places, living, strict=True):
            answered[place] = out
        for place, (event, reason) in batch.unscored.items():
            answered[place] = _without_a_row(
                records[place], event, reason, verdict, original=original
            )
        for place, died in batch.dead.items():
            answered[place] = dead_letter(records[place], died)
        living = [out for out in answered if out is not None]
    assert len(living) == len(records), "a record has no outcome"
    return living


def _without_a_row(
    record: Record, event: Event, reason: Reason, verdict: Topic, *, original: bool
) -> Outgoing:
    """Return the output of an event that no model may judge."""
    try:
        with During(Stage.ENCODE):
            return unscored(record, event, reason, verdict=verdict, original=original)
    except Unforeseen as failed:
        return dead_letter(record, defect(failed.stage, failed.cause))
