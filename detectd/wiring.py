"""From settings to parts. The only place that knows both; no part knows the settings."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from detectd.decode import Schema
from detectd.records import Topic

if TYPE_CHECKING:
    from detectd.brokers import KafkaClient
    from detectd.model import Recipe
    from detectd.promise import Terms
    from detectd.settings import Settings
    from detectd.sinks import Sink
    from detectd.sources import Source
    from detectd.store import Store


def schema(settings: Settings) -> Schema:
    """How an event becomes a feature vector."""
    event = settings.event
    return Schema(
        features=event.features,
        key=event.key,
        timestamp=event.timestamp,
        numeric_strings=event.numeric_strings,
        missing=event.missing,
        max_record_bytes=settings.source.max_record_bytes,
    )


def event_fingerprint(settings: Settings) -> str:
    """Sixteen digits that change when events are read otherwise."""
    return hashlib.sha256(settings.event.model_dump_json().encode()).hexdigest()[:16]


def recipe(settings: Settings) -> Recipe:
    """What training rows become."""
    from detectd.model import Recipe

    detector, calibration = settings.detector, settings.calibration
    return Recipe(
        detector=detector.name,
        contamination=detector.contamination,
        seed=detector.seed,
        params=detector.params,
        method=calibration.method,
        fraction=calibration.fraction,
        folds=calibration.folds,
    )


def terms(settings: Settings) -> Terms:
    """What the operator asks of the rejector. A rejection costs γ unless said otherwise."""
    from detectd.promise import Terms
    from detectd.rejection import Costs

    asked, contamination = settings.rejector, settings.detector.contamination
    rejection = contamination if asked.cost_rejection is None else asked.cost_rejection
    return Terms(
        contamination=contamination,
        T=asked.T,
        max_abstain_rate=asked.max_abstain_rate,
        delta=asked.delta,
        costs=Costs(asked.cost_false_positive, asked.cost_false_negative, rejection),
    )


def store(settings: Settings) -> Store:
    """Where models live."""
    from detectd.store import Store

    return Store(settings.models.directory)


def source(settings: Settings) -> Source:
    """The configured source, not started."""
    asked = settings.source
    if asked.kind == "file":
        from detectd.sources.file import FileSource

        assert asked.path is not None
        return FileSource(
            asked.path,
            row_format=asked.row_format(asked.path),
            follow=asked.follow,
            max_record_bytes=asked.max_record_bytes,
        )
    if asked.kind == "stdin":
        from detectd.sources.stdin import StdinSource

        return StdinSource(
            row_format=asked.row_format(asked.path), max_record_bytes=asked.max_record_bytes
        )
    from detectd.sources.kafka import KafkaSource

    return KafkaSource(
        _kafka_client(settings), asked.topics, acknowledges=settings.sink.kind != "kafka"
    )


def sink(settings: Settings) -> Sink:
    """The configured sink, not opened."""
    if settings.sink.kind == "file":
        from detectd.sinks.file import FileSink

        assert settings.sink.directory is not None
        return FileSink(settings.sink.directory, fsync=settings.sink.fsync)
    if settings.sink.kind == "stdout":
        from detectd.sinks.stdout import StdoutSink

        return StdoutSink()
    from detectd.sinks.kafka import KafkaSink

    names = {topic: getattr(settings.topics, topic) for topic in Topic}
    return KafkaSink(_kafka_client(settings), names)


def _kafka_client(settings: Settings) -> KafkaClient:
    from detectd.brokers import KafkaClient

    return KafkaClient(**settings.kafka.model_dump())
