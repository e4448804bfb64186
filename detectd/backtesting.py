"""`detectd backtest`: the pipeline over labelled history, as `run` would answer it.

The active model judges every record. Where there is none, the first `training.warmup` events train
one, as in `run`, and the rest are judged; it is stored nowhere.
"""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from detectd import wiring
from detectd.decode import field_of
from detectd.encode import VERDICTS
from detectd.errors import DetectdError, UsageError
from detectd.input import InputFile
from detectd.models import training
from detectd.models.serving import load_active, serve
from detectd.pipeline import collect_records, judge_records
from detectd.records import Topic
from detectd.surrogates import decode_json
from detectd.telemetry.metrics import stages

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from detectd.decode import Schema
    from detectd.models.model import Model
    from detectd.models.serving import Serving
    from detectd.settings import Settings
    from detectd.telemetry.progress import Advance

TRUTHS = {"0": False, "false": False, "normal": False, "1": True, "true": True, "anomaly": True}


class _Answer(msgspec.Struct):
    """What is looked at of an output record."""

    verdict: Topic
    score: float
    log_p_anomaly: float
    log_p_normal: float
    id: str
    event: dict[str, Any]


read_answer = msgspec.json.Decoder(_Answer).decode


@dataclass(frozen=True)
class Answered:
    """What the pipeline said of each event, and the truth: all (k,), verdicts as codes."""

    verdicts: NDArray[np.int8]
    scores: NDArray[np.float64]
    log_p_anomaly: NDArray[np.float64]
    log_p_normal: NDArray[np.float64]
    anomalous: NDArray[np.bool_]


@dataclass
class Backtest:
    """A history and the model that judged it.

    `warmup` counts the events that trained the model, 0 where it was there before; `familiar` those
    judged whose rows are among the ones that trained it; `dead` the dead letters by stage.
    """

    serving: Serving
    answered: Answered
    warmup: int
    familiar: int
    dead: Counter[str]


@dataclass
class _Reading:
    """The file, and what has come of it so far."""

    file: InputFile
    schema: Schema
    advance: Advance
    dead: Counter[str] = field(default_factory=Counter)
    events: int = 0
    ended: bool = False

    def took(self, events: int, dead: Counter[str], *, ended: bool) -> None:
        self.events += events
        self.dead.update(dead)
        self.ended = ended
        self.advance(self.file.progress(), self.events)


def backtest(path: Path, label: str, settings: Settings, advance: Advance) -> Backtest:
    """Judge the file at `path`, whose events say in the field `label` what they are in truth.

    Raises UsageError where the file or a label cannot be read, DetectdError where nothing of it
    can be judged.
    """
    if label in settings.event.features:
        raise UsageError(f"--label {label}: is one of event.features, so the detector would see it")
    model = load_active(wiring.store(settings), datetime.now(UTC))
    with closing(InputFile(path, settings)) as file:
        reading = _Reading(file, wiring.schema(settings), advance)
        if model is None:
            model = _warmed_up(path, reading, settings)
        warmup, serving = reading.events, serve(model, settings)
        answers, familiar = _answers(reading, serving)
    if not answers:
        raise DetectdError(
            f"--input {path}: no event of it could be judged: {warmup} trained the model, "
            f"{reading.dead.total()} are dead letters; see [event] and training.warmup"
        )
    return Backtest(serving, _answered(path, label, answers), warmup, familiar, reading.dead)


def _warmed_up(path: Path, reading: _Reading, settings: Settings) -> Model:
    """The model that `run` would make of the first events."""
    wanted = settings.training.warmup
    parts: list[NDArray[np.float64]] = []
    while reading.events < wanted:
        if reading.ended:
            raise DetectdError(
                f"--input {path}: no model is active, and to train one takes training.warmup = "
                f"{wanted} events, of which it has {reading.events}; `detectd fit` first, or lower "
                "training.warmup"
            )
        batch = reading.file.read(wanted - reading.events)
        outgoing, rows = collect_records(batch.records, reading.schema)
        parts.append(rows)
        reading.took(len(rows), stages(outgoing), ended=batch.ended)
    rows = np.concatenate(parts)
    recipe, features = wiring.recipe(settings), settings.event.features
    return training.train(rows, recipe, features, datetime.now(UTC))


def _answers(reading: _Reading, serving: Serving) -> tuple[list[_Answer], int]:
    """What is said of the events that are left, and how many of their rows the model knows."""
    known = {row.tobytes() for row in serving.model.rows}
    answers: list[_Answer] = []
    familiar = 0
    while not reading.ended:
        batch = reading.file.read()
        judged = judge_records(batch.records, reading.schema, serving.judge)
        outgoing = judged.outgoing
        fresh = [
            decode_json(out.value, read_answer)
            for out in outgoing
            if out.topic is not Topic.DEAD_LETTER
        ]
        familiar += sum(row.tobytes() in known for row in judged.rows)
        answers += fresh
        reading.took(len(fresh), stages(outgoing), ended=batch.ended)
    return answers, familiar


def _answered(path: Path, label: str, answers: Sequence[_Answer]) -> Answered:
    codes = {topic: code for code, topic in enumerate(VERDICTS)}
    return Answered(
        verdicts=np.array([codes[answer.verdict] for answer in answers], dtype=np.int8),
        scores=np.array([answer.score for answer in answers]),
        log_p_anomaly=np.array([answer.log_p_anomaly for answer in answers]),
        log_p_normal=np.array([answer.log_p_normal for answer in answers]),
        anomalous=np.array([_truth(path, label, answer) for answer in answers], dtype=bool),
    )


def _truth(path: Path, label: str, answer: _Answer) -> bool:
    found = field_of(answer.event, label)
    if isinstance(found, float) and found.is_integer():
        found = int(found)
    truth = TRUTHS.get(str(found).strip().lower())
    if truth is None:
        line = answer.id.rpartition(":")[2]
        what = "is missing" if found is None else f"is {str(found)[:40]!r}"
        raise UsageError(
            f"--input {path}: line {line}: the label {label!r} {what}; it must be 0 or 1, true or "
            "false, normal or anomaly"
        )
    return truth
