"""Records in, outgoing out: one pure function, and the law it keeps.

The law: every record in yields exactly one record out, in order. A record becomes a verdict on
one of three topics, or a dead letter with the reason; nothing is dropped, doubled or reordered.

    decode   bytes -> events and their feature vectors, or dead letters
    impute   features that are missing, where the configuration allows it
    score    each row as if it were alone
    judge    the score's rank among the calibration scores -> normal, anomaly or abstain
    encode   verdict and original event -> the bytes that a sink writes, as far as they fit
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from detectd.decode import decode
from detectd.encode import (
    answer,
    as_json,
    dead_letter,
    envelope,
    size,
    too_large,
    warming_up,
)
from detectd.records import Defect, Stage, Topic

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from detectd.decode import Decoded, Schema
    from detectd.detectors import Scorer
    from detectd.encode import Answer
    from detectd.records import Outgoing, Record
    from detectd.rejection import Judgement, Rejector


@dataclass(frozen=True)
class Judge:
    """What turns a feature vector into a verdict. `medians` (d,) stand in for missing features."""

    version: str
    scorer: Scorer
    rejector: Rejector
    medians: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """The outputs of a batch, one a record, in order, and what there is to learn from it.

    `rows` (k, d) are those with a finite score, as they came: NaN where a feature was missing.
    `scores` (k,) are theirs, and `found` the answers to these.
    """

    outgoing: list[Outgoing]
    rows: NDArray[np.float64]
    scores: NDArray[np.float64]
    found: Judgement


def judge_records(
    records: Sequence[Record], schema: Schema, judge: Judge, *, original: bool = False
) -> Judged:
    """A verdict or a dead letter for each record.

    With `original` the value stays what it was, and the verdict is in the headers alone.
    """
    decoded = decode(records, schema)
    scores, finite, found = judge_rows(decoded.rows, judge)
    missing = np.isnan(decoded.rows) if np.isnan(decoded.rows).any() else None
    outgoing = _dead_letters(records, decoded)
    judged = _answers(judge, found, scores[finite])
    for i, (place, sound) in enumerate(zip(decoded.sound, finite.tolist(), strict=True)):
        if not sound:
            defect = Defect(Stage.SCORE, f"the detector's score is {scores[i]}, not finite")
            outgoing[place] = dead_letter(records[place], defect)
            continue
        imputed = _names(schema, missing[i]) if missing is not None else ()
        known, score = next(judged)
        outgoing[place] = envelope(
            known, score, records[place], decoded.events[i], imputed, original=original
        )
    whole = finite.all()
    return Judged(
        outgoing=_complete(outgoing),
        rows=decoded.rows if whole else decoded.rows[finite],
        scores=scores if whole else scores[finite],
        found=found,
    )


def judge_rows(
    rows: NDArray[np.float64], judge: Judge
) -> tuple[NDArray[np.float64], NDArray[np.bool_], Judgement]:
    """The scores (k,) of rows (k, d), which of them are finite, and the answers to those."""
    missing = np.isnan(rows)
    complete = np.where(missing, judge.medians, rows) if missing.any() else rows
    scores = judge.scorer.score(complete) if len(rows) else np.empty(0)
    finite = np.isfinite(scores)
    return scores, finite, judge.rejector.judge(scores[finite])


def _answers(
    judge: Judge, found: Judgement, scores: NDArray[np.float64]
) -> Iterator[tuple[Answer, bytes]]:
    """For each finite score the answer at its rank, and the score as JSON writes it."""
    places = (found.verdict.tolist(), found.rank.tolist(), found.below.tolist())
    answers = map(partial(answer, judge.rejector, judge.version), *places)
    return zip(answers, as_json(scores.tolist()), strict=False)


def collect_records(
    records: Sequence[Record],
    schema: Schema,
    verdict: Topic = Topic.ABSTAIN,
    *,
    original: bool = False,
) -> tuple[list[Outgoing], NDArray[np.float64]]:
    """Without a model: the same verdict for every event, and its rows (k, d) for training."""
    decoded = decode(records, schema)
    outgoing = _dead_letters(records, decoded)
    for event, place in zip(decoded.events, decoded.sound, strict=True):
        outgoing[place] = warming_up(records[place], event, verdict, original=original)
    return _complete(outgoing), decoded.rows


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


def _dead_letters(records: Sequence[Record], decoded: Decoded) -> list[Outgoing | None]:
    dead = decoded.dead
    if not dead:
        return [None] * len(records)
    return [
        dead_letter(record, dead[place]) if place in dead else None
        for place, record in enumerate(records)
    ]


def _names(schema: Schema, missing: NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(schema.features[column] for column in np.flatnonzero(missing))


def _complete(outgoing: list[Outgoing | None]) -> list[Outgoing]:
    complete = [out for out in outgoing if out is not None]
    assert len(complete) == len(outgoing), "a record has no outcome"
    return complete
