"""From settings to parts. The only place that knows both; no part knows the settings."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from typing import TYPE_CHECKING

from detectd.errors import ConfigError, UsageError
from detectd.pipeline import memory_budget
from detectd.pipeline.decode import Schema
from detectd.pipeline.records import Topic

if TYPE_CHECKING:
    from detectd.kafka import KafkaClient
    from detectd.kafka.avro import Registry
    from detectd.kafka.topics import NewTopicConfig
    from detectd.models.collection import Goal
    from detectd.models.model import Model, Recipe
    from detectd.models.replication import Feed
    from detectd.models.store import Store
    from detectd.rejection.promise import Terms
    from detectd.settings import Settings
    from detectd.sinks import Sink
    from detectd.sinks.file_reader import FileOutputs
    from detectd.sinks.kafka_reader import KafkaOutputs
    from detectd.sources import Source
    from detectd.sources.header import CsvFormat

# What a refit takes at least if the warm-up is a span of time, and the window is large enough.
REFIT_ROWS = 2_000


def schema(settings: Settings) -> Schema:
    """How an event becomes a feature vector."""
    event = settings.event
    return Schema(
        features=event.declared,
        key=event.key,
        timestamp=event.timestamp,
        numeric_strings=event.numeric_strings,
        missing=event.missing,
        missing_values=frozenset(text.strip().lower() for text in event.missing_values),
        max_missing=_max_missing(event.max_missing, len(event.features)),
        max_record_bytes=settings.source.max_record_bytes,
        max_depth=settings.source.max_depth,
    )


def _max_missing(asked: float | None, features: int) -> int | None:
    """A number of features; a share of them is rounded down."""
    if isinstance(asked, float):
        return math.floor(asked * features + 1e-9)
    return asked


def csv_format(settings: Settings) -> CsvFormat:
    """How CSV is written, and the columns that its header must have."""
    from detectd.sources.header import CsvFormat

    asked = settings.source.csv
    return CsvFormat(
        features=settings.event.fields,
        delimiter=None if asked.delimiter == "auto" else asked.delimiter,
        decimal=None if asked.decimal == "auto" else asked.decimal,
        columns=asked.columns,
        encoding=asked.encoding,
    )


def stream_schema(settings: Settings) -> Schema:
    """As `schema`, for records of the source: files are JSON or CSV, Kafka's may be Avro."""
    plain = schema(settings)
    if settings.source.format != "avro":
        return plain
    from detectd.kafka import avro

    return replace(plain, read=avro.reader(schema_registry(settings)))


def schema_registry(settings: Settings) -> Registry:
    """Where Avro's schemas are asked for."""
    from detectd.kafka.avro import Registry
    from detectd.settings.secrets import read_secret

    asked = settings.schema_registry
    assert asked.url is not None
    password = asked.password_file
    secret = read_secret("schema_registry.password_file", password) if password else None
    return Registry(asked.url, asked.username, secret, asked.ca_file)


def event_fingerprint(settings: Settings) -> str:
    """Sixteen digits that change when events are read in another way."""
    parts = (settings.event, settings.source.csv)
    text = "".join(part.model_dump_json(exclude_defaults=True) for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def recipe(settings: Settings) -> Recipe:
    """What training rows become."""
    from detectd.models.model import Recipe

    detector, calibration = settings.detector, settings.calibration
    return Recipe(
        detector=detector.name,
        contamination=detector.contamination,
        seed=detector.seed,
        params=detector.params,
        method=calibration.method,
        fraction=calibration.fraction,
        folds=calibration.folds,
        compiled=detector.compiled,
    )


def warmup_goal(settings: Settings) -> Goal:
    """What a warm-up collects. Raises DetectdError if so few rows could not train a model."""
    from detectd.models.collection import Goal
    from detectd.models.training import fewest_rows

    asked = settings.training
    if asked.warmup_span_ms is None:
        return Goal(asked.warmup_rows, asked.warmup_rows)
    fewest = fewest_rows(asked.window, recipe(settings), settings.event.columns)
    return Goal(asked.window, fewest, asked.warmup_span_ms)


def refit_rows(settings: Settings) -> int:
    """How many rows a refit takes at least. Raises DetectdError if none could be trained."""
    from detectd.models.training import fewest_rows

    asked = settings.training
    if asked.warmup_span_ms is None:
        return asked.warmup_rows
    fewest = fewest_rows(asked.window, recipe(settings), settings.event.columns)
    return max(fewest, min(REFIT_ROWS, asked.window * 4 // 5))


def terms(settings: Settings, model: Model | None = None) -> Terms:
    """What the operator asks of the rejector. A rejection costs γ unless said otherwise.

    Raises ConfigError where γ is left to a model and there is none.
    """
    from detectd.rejection import Costs
    from detectd.rejection.promise import Terms

    asked, contamination = settings.rejector, settings.detector.contamination
    plausible: tuple[float, ...] = ()
    if contamination == "estimate":
        if model is None:
            raise ConfigError('detector.contamination: "estimate" takes a model; give a number')
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


def store(settings: Settings) -> Store:
    """Where models live."""
    from detectd.models.store import Store

    return Store(settings.models.directory, check_owners=settings.paths.check_owners)


def source(settings: Settings, client: KafkaClient | None) -> Source:
    """The configured source, not started."""
    asked = settings.source
    if asked.kind == "file":
        from detectd.sources.file import FileSource
        from detectd.sources.open_file import require_apart

        assert asked.path is not None
        if settings.sink.kind == "file" and settings.sink.directory is not None:
            require_apart(asked.path, asked.rotated, settings.sink.directory)
        return FileSource(
            asked.path,
            row_format=asked.row_format(asked.path),
            follow=asked.follow,
            max_record_bytes=asked.max_record_bytes,
            batch_bytes=memory_budget.slice_bytes(asked.batch_bytes),
            csv=csv_format(settings),
            rotated=asked.rotated,
            rotate_wait_seconds=asked.rotate_wait_seconds,
            follow_symlinks=asked.follow_symlinks,
        )
    if asked.kind == "stdin":
        from detectd.sources.stdin import StdinSource

        return StdinSource(
            row_format=asked.row_format(asked.path),
            max_record_bytes=asked.max_record_bytes,
            batch_bytes=memory_budget.slice_bytes(asked.batch_bytes),
            csv=csv_format(settings),
        )
    from detectd.sources.kafka import KafkaSource

    assert client
    at_least_once = settings.sink.kind == "kafka" and not _transactional(settings)
    return KafkaSource(
        client,
        asked.topics,
        acknowledges=settings.sink.kind != "kafka" or at_least_once,
        group_decides=at_least_once or settings.sink.kind == "stdout",
        alone=settings.sink.kind == "file",
        creation=creation(settings),
        copies=copies(settings),
        batch_bytes=memory_budget.slice_bytes(asked.batch_bytes),
    )


def copies(settings: Settings) -> int:
    """How many times its bytes an event may occupy, apart from what a row of CSV is known to."""
    return memory_budget.AVRO_COPIES if settings.source.format == "avro" else 1


def sink(settings: Settings, client: KafkaClient | None) -> Sink:
    """The configured sink, not opened."""
    if settings.sink.kind == "file":
        from detectd.sinks.file import FileSink

        assert settings.sink.directory is not None
        topics = output_topics(settings)
        return FileSink(
            settings.sink.directory,
            topics,
            fsync=settings.sink.fsync,
            check_owners=settings.paths.check_owners,
        )
    if settings.sink.kind == "stdout":
        from detectd.sinks.stdout import StdoutSink

        return StdoutSink()
    from detectd.sinks.kafka import KafkaSink

    assert client
    return KafkaSink(
        client,
        output_topics(settings),
        transactional=_transactional(settings),
        preserve_partition=settings.kafka.preserve_partition,
        creation=creation(settings),
        state_directory=settings.models.directory,
    )


def delivery(settings: Settings) -> str:
    """What the pair of source and sink guarantees."""
    from detectd.sinks.delivery import guarantee

    kinds = settings.source.kind, settings.sink.kind
    return guarantee(*kinds, transactional=_transactional(settings))


def server_token(settings: Settings) -> str | None:
    """What a client of the endpoints must send, where that is asked for."""
    from detectd.settings.secrets import read_secret

    path = settings.server.token_file
    return None if path is None else read_secret("server.token_file", path)


def output_topics(settings: Settings) -> dict[Topic, str]:
    """The outputs that are written, and their names on Kafka."""
    names = {topic: getattr(settings.topics, topic) for topic in Topic}
    return {topic: name for topic, name in names.items() if name is not None}


def creation(settings: Settings) -> NewTopicConfig | None:
    """How missing topics are made; None where that is not asked for."""
    from detectd.kafka.topics import NewTopicConfig

    asked = settings.kafka
    return (
        NewTopicConfig(asked.partitions, asked.replication_factor) if asked.create_topics else None
    )


def kafka_client(settings: Settings, beside: str | None = None) -> KafkaClient | None:
    """Who we are to the brokers, for as long as the process runs; None where there are none.

    Many processes may share a Kafka source, so each has an identity. A file has one reader, whose
    position is found again under the transactional id: that one stays the same on any host. What
    is done `beside` the services has a group and a transactional id of its own, with that ending.
    """
    if "kafka" not in (settings.source.kind, settings.sink.kind):
        return None
    from detectd.kafka import KafkaClient
    from detectd.kafka.identity import Identity
    from detectd.kafka.security import confluent_options, kafka_python_options

    asked = settings.kafka
    prefix = asked.transactional_id or asked.group_id
    shared = settings.source.kind == "kafka" and beside is None
    identity = Identity(prefix) if shared else None
    static = f"{asked.group_id}-{identity.name}" if identity and asked.static_membership else None
    ending = "" if beside is None else f".{beside}"
    return KafkaClient(
        bootstrap_servers=asked.bootstrap_servers,
        library=asked.client,
        group_id=f"{asked.group_id}{ending}",
        group_instance_id=static,
        client_id=asked.client_id,
        transactional_id=f"{prefix}-{identity.name}" if identity else f"{prefix}{ending}",
        identity=identity,
        auto_offset_reset=asked.auto_offset_reset,
        compression=asked.compression,
        fetch_bytes=asked.fetch_bytes,
        session_timeout=asked.session_timeout_seconds,
        max_poll_interval=asked.max_poll_interval_seconds,
        transaction_timeout=asked.transaction_timeout_seconds,
        extra=kafka_python_options(asked),
        native=confluent_options(asked),
    )


def commit_stream(settings: Settings, client: KafkaClient | None) -> str:
    """A name for the commits that a process makes, which a restarted one goes on with."""
    if settings.sink.kind == "file":
        assert settings.sink.directory is not None
        return f"file {settings.sink.directory.absolute()}"
    if client is not None:
        return f"kafka {client.transactional_id}"
    return f"stdout {settings.source.path or settings.source.kind}"


def stream(settings: Settings) -> str:
    """A name for what is answered: on Kafka by all members of a group, else by one process."""
    if settings.source.kind == "kafka":
        topics = ",".join(sorted(settings.source.topics))
        return f"kafka group {settings.kafka.group_id} of {topics}"
    if settings.sink.kind == "file":
        return commit_stream(settings, None)
    return f"{settings.sink.kind} {settings.source.path or settings.source.kind}"


def outputs(settings: Settings) -> FileOutputs | KafkaOutputs:
    """What the sink has written. Raises UsageError where it goes to a pipe."""
    if settings.sink.kind == "file":
        from detectd.sinks.file_reader import FileOutputs

        assert settings.sink.directory is not None
        return FileOutputs(
            settings.sink.directory,
            fsync=settings.sink.fsync,
            check_owners=settings.paths.check_owners,
        )
    if settings.sink.kind == "stdout":
        raise UsageError('sink.kind = "stdout" keeps nothing; look into the pipe that reads it')
    from detectd.sinks.kafka_reader import KafkaOutputs

    client = kafka_client(settings, beside="dead-letters")
    assert client
    return KafkaOutputs(
        client,
        output_topics(settings),
        preserve_partition=settings.kafka.preserve_partition,
        state_directory=settings.models.directory,
    )


def feed(settings: Settings, client: KafkaClient | None) -> Feed | None:
    """What brings published models into the store; None where there is no topic for them."""
    if settings.kafka.models_topic is None or client is None:
        return None
    from detectd.models.replication import Feed, require

    require(client, settings.kafka.models_topic, creation(settings))
    return Feed(client, settings.kafka.models_topic, store(settings))


def publish(settings: Settings, version: str) -> str | None:
    """Publish a stored model for the other hosts, and tell the topic; None where there is none."""
    topic = settings.kafka.models_topic
    if topic is None:
        return None
    from detectd.models.replication import publish

    client = kafka_client(settings)
    if client is None:
        raise ConfigError("kafka.models_topic: neither source nor sink is Kafka; remove it")
    publish(client, topic, store(settings), version, creation(settings))
    return topic


def _transactional(settings: Settings) -> bool:
    return settings.kafka.delivery == "exactly_once"
