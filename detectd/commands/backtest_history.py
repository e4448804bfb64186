"""Judge labelled history with the pipeline, as `run` would.

The active model judges every record. If there is none, the first `training.warmup` events train
one, as in `run`, and the rest are judged; that model is not stored.
"""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from detectd import derive, wiring
from detectd.commands.input_files import InputFile
from detectd.errors import DetectdError, UsageError
from detectd.models import training
from detectd.models.collection import NO_TIME, Collection
from detectd.models.row_order import RowOrder
from detectd.models.serving import load_active, serve, serve_new
from detectd.pipeline.feature_values import field_of
from detectd.pipeline.records import Topic
from detectd.pipeline.scoring import collect_vectors, judge_vectors
from detectd.pipeline.surrogates import decode_json
from detectd.pipeline.time_coverage import portion
from detectd.pipeline.vectors import Vectors, vectors
from detectd.report.backtest_data import Backtest, BacktestData
from detectd.telemetry.metrics import stages

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from detectd.features.state import FeatureState
    from detectd.models.model import Model
    from detectd.models.serving import Serving
    from detectd.pipeline.records import Outgoing, Record
    from detectd.pipeline.schema import Schema
    from detectd.settings import Settings
    from detectd.telemetry.progress import Advance

WORDS = {"false": False, "normal": False, "true": True, "anomaly": True}


class _Answer(msgspec.Struct):
    """The fields of an output record that are used here."""

    id: str
    rank: int | None
    event: dict[str, Any]


read_answer = msgspec.json.Decoder(_Answer).decode


@dataclass
class _Reading:
    """The file, and the results so far."""

    file: InputFile
    schema: Schema
    state: FeatureState | None
    advance: Advance
    dead: Counter[str] = field(default_factory=Counter)
    events: int = 0
    ended: bool = False

    def vectors(self, records: Sequence[Record]) -> Vectors:
        """Return the feature vectors of the next records."""
        return vectors(records, self.schema, self.state)

    def took(self, events: int, dead: Counter[str], *, ended: bool) -> None:
        self.events += events
        self.dead.update(dead)
        self.ended = ended
        self.advance(self.file.progress(), self.events)


def judge_history(path: Path, label: str, settings: Settings, advance: Advance) -> Backtest:
    """Judge the file at `path`, whose events have their true label in the field `label`.

    Raise UsageError if the file or a label cannot be read, DetectdError if nothing can be judged.
    """
    if label in settings.event.fields:
        raise UsageError(
            f"--label {label}: the detector would see it; remove it from event.features"
        )
    options = derive.serving_options(settings)
    model = load_active(wiring.store(settings), datetime.now(UTC))
    with closing(InputFile(path, settings)) as file:
        schema = derive.schema(settings)
        state = derive.feature_state(settings) if derive.keeps_keys(settings) else None
        reading = _Reading(file, schema, state, advance)
        if model is None:
            model = _warmed_up(path, reading, settings)
            serving = serve_new(model, options)
        else:
            serving = serve(model, options)
        warmup = reading.events
        answered, familiar = _answers(path, label, reading, serving)
    if not answered.counts.any():
        raise DetectdError(
            f"--input {path}: no event could be judged: {warmup} trained the model, "
            f"{reading.dead.total()} are dead letters; check [event] and training.warmup"
        )
    return Backtest(serving, answered, warmup, familiar, reading.dead)


def _warmed_up(path: Path, reading: _Reading, settings: Settings) -> Model:
    """Return the model that `run` would train on the first events."""
    collection = Collection(derive.warmup_goal(settings))
    latest: dict[int, tuple[int, NDArray[np.float64], bytes | None]] = {}
    while not collection.enough:
        if reading.ended:
            raise DetectdError(
                f"--input {path}: no model is active, and training one takes training.warmup = "
                f"{_lacking(collection, reading.events, settings)}; run `detectd fit` first, or "
                "lower training.warmup"
            )
        batch = reading.file.read(collection.due)
        unjudged = collect_vectors(batch.records, reading.vectors(batch.records))
        times = [NO_TIME if e.timestamp_ms is None else e.timestamp_ms for e in unjudged.events]
        places = collection.add([0] * len(times), times)
        first = reading.events
        latest |= {
            place: (first + i, unjudged.rows[i].copy(), unjudged.events[i].key)
            for i, place in enumerate(places)
            if place >= 0
        }
        reading.took(len(times), stages(unjudged.outgoing), ended=batch.ended)
    kept = sorted(latest.values(), key=itemgetter(0))
    recipe, features = derive.recipe(settings), settings.event.declared
    order = RowOrder()
    order.add(key for _, _, key in kept)
    asked, columns = settings.training.max_per_key, settings.event.columns
    most = training.bound_per_key(order.keys, asked, recipe, columns)
    train = order.order(most, by_time=recipe.order == "time")
    rows = np.array([row for _, row, _ in kept])[train]
    keys = order.keys[train] if settings.calibration.by_key else None
    return training.train(rows, recipe, features, datetime.now(UTC), keys)


def _lacking(collection: Collection, events: int, settings: Settings) -> str:
    wanted = settings.training.warmup
    if collection.span_ms is None:
        return f"{wanted} events, of which it has {events}"
    spanned = portion(collection.covered_ms, collection.span_ms)
    return f'"{wanted}", and the times of its {events} events span {spanned}'


def _answers(
    path: Path, label: str, reading: _Reading, serving: Serving
) -> tuple[BacktestData, int]:
    """Return the verdicts on the remaining events, and how many of their rows the model was trained
    on."""
    known = {row.tobytes() for row in serving.model.rows}
    answered = BacktestData(serving.pooled)
    familiar = 0
    while not reading.ended:
        batch = reading.file.read()
        rows = reading.vectors(batch.records)
        scored = judge_vectors(batch.records, rows, reading.schema, serving.judge)
        answered.add(scored, _truths(path, label, scored.outgoing))
        familiar += sum(row.tobytes() in known for row in scored.rows)
        reading.took(len(scored.rows), stages(scored.outgoing), ended=batch.ended)
    return answered, familiar


def _truths(path: Path, label: str, outgoing: Sequence[Outgoing]) -> NDArray[np.bool_]:
    """Return the true labels (k,) of the events that have a verdict of the model."""
    living = (out.value for out in outgoing if out.topic is not Topic.DEAD_LETTER)
    answers = (decode_json(value, read_answer) for value in living)
    judged = [_truth(path, label, answer) for answer in answers if answer.rank is not None]
    return np.array(judged, dtype=bool)


def _truth(path: Path, label: str, answer: _Answer) -> bool:
    found = field_of(answer.event, label)
    truth = truth_of(found)
    if truth is None:
        line = answer.id.rpartition(":")[2]
        what = "is missing" if found is None else f"is {str(found)[:40]!r}"
        raise UsageError(
            f"--input {path}: line {line}: the label {label!r} {what}; it must be 0 or 1, true or "
            "false, normal or anomaly"
        )
    return truth


def truth_of(found: object) -> bool | None:
    """Return the value of a label: a boolean, 0 or 1 in any form, or a known word; else None."""
    if isinstance(found, str):
        word = found.strip().lower()
        if word in WORDS:
            return WORDS[word]
        if "_" in word:
            return None
        try:
            found = float(word)
        except ValueError:
            return None
    return bool(found) if isinstance(found, (int, float)) and found in {0, 1} else None
