"""Derive the values that each part needs from the settings.

Modules that import SciPy or Numba are imported inside functions, since commands such as `detectd
models` do not need them.
"""

from __future__ import annotations

import hashlib
import math
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from detectd.detectors import find, measures, try_params
from detectd.errors import ConfigError, DetectdError
from detectd.features import codings, detector_weights, remembers
from detectd.models.model import Recipe
from detectd.pipeline import memory_budget
from detectd.pipeline.records import Topic
from detectd.pipeline.schema import Schema
from detectd.sinks.delivery import guarantee
from detectd.sources.header import CsvFormat

if TYPE_CHECKING:
    from detectd.detectors import Scale
    from detectd.features.state import FeatureState
    from detectd.models.collection import Goal
    from detectd.models.model import Model
    from detectd.models.serving import ServingOptions
    from detectd.models.trainer_process import Limits
    from detectd.rejection.promise import Terms
    from detectd.settings import Settings

# The least rows of a refit if the warm-up is a span of time and the window is large enough.
REFIT_ROWS = 2_000

# The default scaling for detectors that measure distances, since training rows may contain
# anomalies.
AUTO_SCALE: Scale = "robust"


def schema(settings: Settings) -> Schema:
    """Return how an event becomes a feature vector."""
    event = settings.event
    return Schema(
        features=event.declared,
        key=event.key_fields,
        timestamp=event.timestamp,
        numeric_strings=event.numeric_strings,
        missing=event.missing,
        missing_values=frozenset(text.strip().lower() for text in event.missing_values),
        max_missing=_max_missing(event.max_missing, len(event.features)),
        max_record_bytes=settings.source.max_record_bytes,
        max_depth=settings.source.max_depth,
    )


def _max_missing(asked: float | None, features: int) -> int | None:
    """Return a number of features; a share of them is rounded down."""
    if isinstance(asked, float):
        return math.floor(asked * features + 1e-9)
    return asked


def feature_state(settings: Settings, *, serving: bool = False) -> FeatureState:
    """Return the calculator of features with a memory, without any key.

    If it is `serving`, it also detects silent keys, and keeps the routine of keys.
    """
    from detectd.features.program import compiled_program
    from detectd.features.state import FeatureState, KeyBounds

    keys = settings.keys
    bounds = KeyBounds(
        max_keys=keys.max,
        idle_ms=keys.idle_ms,
        silent_ms=keys.silent_ms if serving else None,
        min_events=keys.min_events,
        late=keys.late,
        routine=keys.routine and serving,
    )
    return FeatureState(compiled_program(settings.event.declared), bounds)


def csv_format(settings: Settings) -> CsvFormat:
    """Return how CSV is written, and the columns that its header must have."""
    asked = settings.source.csv
    return CsvFormat(
        features=settings.event.fields,
        delimiter=None if asked.delimiter == "auto" else asked.delimiter,
        decimal=None if asked.decimal == "auto" else asked.decimal,
        columns=asked.columns,
        encoding=asked.encoding,
    )


def event_fingerprint(settings: Settings) -> str:
    """Return sixteen hexadecimal digits that change when events are parsed differently."""
    parts = (settings.event, settings.source.csv)
    text = "".join(part.model_dump_json(exclude_defaults=True) for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _detector_params(settings: Settings) -> dict[str, Any]:
    """Return the detector's arguments. By default TailSum takes its weights from the features."""
    params = settings.detector.params
    if settings.detector.name != "TailSum":
        return params
    return {"weights": list(detector_weights(settings.event.declared))} | params


def _order(settings: Settings) -> Literal["random", "time"]:
    """Return the split of calibration rows: the last ones if rows depend on earlier ones."""
    order = settings.calibration.order
    if order == "auto":
        return "time" if remembers(settings.event.declared) else "random"
    return order


def _scale(settings: Settings) -> Scale:
    """Return how columns are scaled: by default only for detectors that measure distances."""
    scale = settings.detector.scale
    if scale == "auto":
        return AUTO_SCALE if measures(settings.detector.name) else "none"
    return scale


def recipe(settings: Settings) -> Recipe:
    """Return the recipe for training."""
    detector, calibration = settings.detector, settings.calibration
    return Recipe(
        detector=detector.name,
        contamination=detector.contamination,
        seed=detector.seed,
        params=_detector_params(settings),
        method=calibration.method,
        fraction=calibration.fraction,
        order=_order(settings),
        folds=calibration.folds,
        compiled=detector.compiled,
        scale=_scale(settings),
        codings=codings(settings.event.declared),
    )


def terms(settings: Settings, model: Model | None = None) -> Terms:
    """Return the operator's terms for the rejector. By default a rejection costs γ.

    Raise ConfigError if γ comes from a model and there is none.
    """
    from detectd.rejection import Costs
    from detectd.rejection.promise import Terms

    asked, contamination = settings.rejector, settings.detector.contamination
    plausible: tuple[float, ...] = ()
    if contamination == "estimate":
        if model is None:
            raise ConfigError('detector.contamination: "estimate" needs a model; give a number')
        contamination, plausible = model.contamination.mean, model.contamination.points
    rejection = contamination if asked.cost_rejection is None else asked.cost_rejection
    method = settings.calibration.method if model is None else model.recipe.method
    return Terms(
        contamination=contamination,
        T=asked.T,
        max_abstain_rate=asked.max_abstain_rate,
        delta=asked.delta,
        costs=Costs(asked.cost_false_positive, asked.cost_false_negative, rejection),
        plausible=plausible if len(plausible) > 1 else (),
        calibration=method,
    )


def warmup_goal(settings: Settings) -> Goal:
    """Return the goal of a warm-up. Raise DetectdError if so few rows could not train a model."""
    from detectd.models.collection import Goal
    from detectd.models.training import fewest_rows

    asked = settings.training
    if asked.warmup_span_ms is None:
        return Goal(asked.warmup_rows, asked.warmup_rows)
    fewest = fewest_rows(asked.window, recipe(settings), settings.event.columns)
    return Goal(asked.window, fewest, asked.warmup_span_ms)


def refit_rows(settings: Settings) -> int:
    """Return the minimum number of rows of a refit. Raise DetectdError if none could be trained."""
    from detectd.models.training import fewest_rows

    asked = settings.training
    if asked.warmup_span_ms is None:
        return asked.warmup_rows
    fewest = fewest_rows(asked.window, recipe(settings), settings.event.columns)
    return max(fewest, min(REFIT_ROWS, asked.window * 4 // 5))


def serving_options(settings: Settings) -> ServingOptions:
    """Return the options for serving a model."""
    from detectd.models.serving import ServingOptions

    return ServingOptions(
        features=settings.event.declared,
        recipe=recipe(settings),
        terms=partial(terms, settings),
        kernels=settings.detector.compiled,
        explains=settings.output.explain,
        by_key=settings.calibration.by_key,
    )


def trainer_limits(settings: Settings, *, gives_way: bool = True) -> Limits:
    """Return the resource limits of a training beside the loop."""
    from detectd.models.trainer_process import Limits

    asked = settings.training
    return Limits(asked.memory_bytes, asked.deadline_seconds, gives_way)


def require_detector(settings: Settings) -> None:
    """Raise ConfigError if the detector or one of its parameters is unknown."""
    detector = settings.detector
    find(detector.name)
    params = _detector_params(settings)
    if params:  # only this needs PyOD, which is slow to import
        try_params(detector.name, params, settings.event.width)


def require_trainable_warmup(settings: Settings) -> None:
    """Raise ConfigError if the warm-up has too few events to train a model, however good they
    are."""
    from detectd.models.training import require_rows

    training = settings.training
    key = "training.warmup" if training.warmup_span_ms is None else "training.window"
    try:
        require_rows(training.warmup_rows, recipe(settings), settings.event.columns)
    except DetectdError as too_few:
        raise ConfigError(str(too_few).replace("training:", f"{key}:", 1)) from None


def output_topics(settings: Settings) -> dict[Topic, str]:
    """Return the outputs that are written, with their Kafka topics."""
    names = {topic: getattr(settings.topics, topic) for topic in Topic}
    return {topic: name for topic, name in names.items() if name is not None}


def keeps_keys(settings: Settings) -> bool:
    """Return whether there is state of keys: for features, to detect silence, or for routine."""
    keys = settings.keys
    return remembers(settings.event.declared) or keys.silent_after is not None or keys.routine


def keys_topic(settings: Settings) -> str | None:
    """Return the topic for the state of keys; None if there is none, or it is in a file."""
    if settings.source.kind == "kafka" == settings.sink.kind:
        return settings.topics.keys if keeps_keys(settings) else None
    return None


def key_record_bytes(settings: Settings) -> int:
    """Return the maximum bytes of a key's state as a record of `keys_topic`."""
    return key_row_bytes(settings) + memory_budget.KEY_RECORD_BYTES


def key_row_bytes(settings: Settings) -> int:
    """Return the bytes of a key's state in memory, beside its name."""
    return 8 * feature_state(settings, serving=True).tables.of("").width


def delivery(settings: Settings) -> str:
    """Return the delivery guarantee of source and sink."""
    kinds = settings.source.kind, settings.sink.kind
    return guarantee(*kinds, transactional=transactional(settings))


def watchdog_seconds(settings: Settings) -> float:
    """Return the maximum seconds of one turn of the loop: reading, scoring and committing."""
    answering = settings.kafka.max_poll_interval_seconds / 4
    committing = settings.kafka.transaction_timeout_seconds
    return settings.source.batch_seconds + answering + committing + 60


def transactional(settings: Settings) -> bool:
    """Return whether outputs and position are committed in one transaction of Kafka."""
    return settings.kafka.delivery == "exactly_once"


def copies(settings: Settings) -> int:
    """Return the memory of an event as a multiple of its bytes, apart from the known extra of CSV
    rows."""
    return memory_budget.AVRO_COPIES if settings.source.format == "avro" else 1
