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
from detectd.records import Defect, Stage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from detectd.decode import Decoded, Schema
    from detectd.detectors import Scorer
    from detectd.encode import Answer
    from detectd.records import Outgoing, Record, Topic
    from detectd.rejection import Rejector


@dataclass(frozen=True)
class Judge:
    """What turns a feature vector into a verdict. `medians` (d,) stand in for missing features."""

    version: str
    scorer: Scorer
    rejector: Rejector
    medians: NDArray[np.float64]


def judge_records(
    records: Sequence[Record], schema: Schema, judge: Judge, *, original: bool = False
) -> list[Outgoing]:
    """A verdict or a dead letter for each record, in order.

    With `original` the value stays what it was, and the verdict is in the headers alone.
    """
    decoded = decode(records, schema)
    rows, missing = _impute(decoded.rows, judge.medians)
    scores = judge.scorer.score(rows) if len(rows) else np.empty(0)
    finite = np.isfinite(scores)
    outgoing = _dead_letters(records, decoded)
    judged = _answers(judge, scores[finite])
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
    return _complete(outgoing)


def _answers(judge: Judge, scores: NDArray[np.float64]) -> Iterator[tuple[Answer, bytes]]:
    """For each finite score the answer at its rank, and the score as JSON writes it."""
    found = judge.rejector.judge(scores)
    places = (found.verdict.tolist(), found.rank.tolist(), found.below.tolist())
    answers = map(partial(answer, judge.rejector, judge.version), *places)
    return zip(answers, as_json(scores.tolist()), strict=False)


def collect_records(
    records: Sequence[Record], schema: Schema, *, original: bool = False
) -> tuple[list[Outgoing], NDArray[np.float64]]:
    """Without a model: abstain from every event, and give its rows (k, d) for training."""
    decoded = decode(records, schema)
    outgoing = _dead_letters(records, decoded)
    for event, place in zip(decoded.events, decoded.sound, strict=True):
        outgoing[place] = warming_up(records[place], event, original=original)
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


def _impute(
    rows: NDArray[np.float64], medians: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_] | None]:
    missing = np.isnan(rows)
    if not missing.any():
        return rows, None
    return np.where(missing, medians, rows), missing


def _names(schema: Schema, missing: NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(schema.features[column] for column in np.flatnonzero(missing))


def _complete(outgoing: list[Outgoing | None]) -> list[Outgoing]:
    complete = [out for out in outgoing if out is not None]
    assert len(complete) == len(outgoing), "a record has no outcome"
    return complete
