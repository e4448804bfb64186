"""Create the parts from the settings. Only this module knows both; no part knows the settings.

Parts are imported in the functions that create them, so that a command loads only what it uses.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from detectd import derive, stream_names
from detectd.errors import ConfigError, UsageError
from detectd.pipeline import memory_budget

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from detectd.kafka import KafkaClient
    from detectd.kafka.avro import Registry
    from detectd.kafka.topics import NewTopicConfig
    from detectd.models.replication import Feed
    from detectd.models.serving import Serving
    from detectd.models.store import Store
    from detectd.pipeline.schema import Schema
    from detectd.settings import Settings
    from detectd.sinks import Sink
    from detectd.sinks.file_reader import FileOutputs
    from detectd.sinks.kafka_keys import KeysTopic
    from detectd.sinks.kafka_reader import KafkaOutputs
    from detectd.sources import Source
    from detectd.telemetry.reporter import TelemetryReporter


def stream_schema(settings: Settings) -> Schema:
    """Return the schema for records of the source: files are JSON or CSV, Kafka's may be Avro."""
    plain = derive.schema(settings)
    if settings.source.format != "avro":
        return plain
    from detectd.kafka import avro

    return replace(plain, read=avro.reader(schema_registry(settings)))


def schema_registry(settings: Settings) -> Registry:
    """Return the registry of Avro's schemas."""
    from detectd.kafka.avro import Registry
    from detectd.settings.secrets import read_secret

    asked = settings.schema_registry
    assert asked.url is not None
    password = asked.password_file
    secret = read_secret("schema_registry.password_file", password) if password else None
    return Registry(asked.url, asked.username, secret, asked.ca_file)


def store(settings: Settings) -> Store:
    """Return the store of models."""
    from detectd.models.store import Store

    return Store(settings.models.directory, check_owners=settings.paths.check_owners)


def serve_active(settings: Settings, now: datetime) -> Serving:
    """Load the active model for serving. Raise DetectdError if there is none."""
    from detectd.models import serving

    return serving.serve_active(store(settings), derive.serving_options(settings), now)


def source(settings: Settings, client: KafkaClient | None) -> Source:
    """Return the configured source, not started."""
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
            csv=derive.csv_format(settings),
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
            csv=derive.csv_format(settings),
        )
    from detectd.sources.kafka import KafkaSource

    assert client
    at_least_once = settings.sink.kind == "kafka" and not derive.transactional(settings)
    return KafkaSource(
        client,
        asked.topics,
        acknowledges=settings.sink.kind != "kafka" or at_least_once,
        group_decides=at_least_once or settings.sink.kind == "stdout",
        alone=settings.sink.kind == "file",
        creation=creation(settings),
        copies=derive.copies(settings),
        batch_bytes=memory_budget.slice_bytes(asked.batch_bytes),
    )


def sink(settings: Settings, client: KafkaClient | None) -> Sink:
    """Return the configured sink, not opened."""
    if settings.sink.kind == "file":
        from detectd.sinks.file import FileSink

        assert settings.sink.directory is not None
        topics = derive.output_topics(settings)
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
        derive.output_topics(settings),
        transactional=derive.transactional(settings),
        preserve_partition=settings.kafka.preserve_partition,
        creation=creation(settings),
        state_directory=settings.models.directory,
        keys=keys_topic(settings, client),
    )


def keys_topic(settings: Settings, client: KafkaClient) -> KeysTopic | None:
    """Return the topic for the state of keys; None if there is no state, or it is in a file."""
    name = derive.keys_topic(settings)
    if name is None:
        return None
    from detectd.sinks.kafka_keys import KeysTopic

    return KeysTopic(client, name, settings.source.topics, derive.key_record_bytes(settings))


def server_token(settings: Settings) -> str | None:
    """Return the token that clients of the endpoints must send; None if none is required."""
    from detectd.settings.secrets import read_secret

    path = settings.server.token_file
    return None if path is None else read_secret("server.token_file", path)


def reporter(
    settings: Settings, config: Path | None = None, *, bar: bool = False
) -> TelemetryReporter:
    """Return the telemetry of the service; `config` is its configuration."""
    from detectd.settings.stock import unedited
    from detectd.telemetry.health import Health
    from detectd.telemetry.reporter import TelemetryReporter

    health = Health(
        derive.watchdog_seconds(settings),
        stale_after=settings.source.stale_after,
        shared=settings.source.kind == "kafka",
        delivery=derive.delivery(settings),
        config=str(config or ""),
        source=stream_names.source_name(settings),
    )
    return TelemetryReporter(
        health,
        listen=settings.server.listen,
        token=server_token(settings),
        allowed_hosts=settings.server.allowed_hosts,
        unedited=unedited(settings),
        bar=bar,
    )


def creation(settings: Settings) -> NewTopicConfig | None:
    """Return the settings for missing topics; None if they are not to be created."""
    from detectd.kafka.topics import NewTopicConfig

    asked = settings.kafka
    return (
        NewTopicConfig(asked.partitions, asked.replication_factor) if asked.create_topics else None
    )


def kafka_client(settings: Settings, beside: str | None = None) -> KafkaClient | None:
    """Return the Kafka client of this process, with a fixed identity; None without Kafka.

    Many processes may share a Kafka source, so each has an identity. A file has one reader, whose
    position is found by the transactional id, so that id is the same on any host. Work `beside` the
    services has its own group and transactional id, with that suffix.
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


def outputs(settings: Settings) -> FileOutputs | KafkaOutputs:
    """Return a reader of the sink's outputs. Raise UsageError if they go to a pipe."""
    if settings.sink.kind == "file":
        from detectd.sinks.file_reader import FileOutputs

        assert settings.sink.directory is not None
        return FileOutputs(
            settings.sink.directory,
            fsync=settings.sink.fsync,
            check_owners=settings.paths.check_owners,
        )
    if settings.sink.kind == "stdout":
        raise UsageError('sink.kind = "stdout" keeps nothing; look at the program that reads it')
    from detectd.sinks.kafka_reader import KafkaOutputs

    client = kafka_client(settings, beside="dead-letters")
    assert client
    return KafkaOutputs(
        client,
        derive.output_topics(settings),
        preserve_partition=settings.kafka.preserve_partition,
        state_directory=settings.models.directory,
    )


def feed(settings: Settings, client: KafkaClient | None) -> Feed | None:
    """Return the feed of published models to the store; None if there is no topic for them."""
    if settings.kafka.models_topic is None or client is None:
        return None
    from detectd.models.replication import Feed, require

    require(client, settings.kafka.models_topic, creation(settings))
    return Feed(client, settings.kafka.models_topic, store(settings))


def publish(settings: Settings, version: str) -> str | None:
    """Publish a stored model for the other hosts and return the topic; None if there is none."""
    topic = settings.kafka.models_topic
    if topic is None:
        return None
    from detectd.models.replication import publish

    client = kafka_client(settings)
    if client is None:
        raise ConfigError("kafka.models_topic: neither source nor sink is Kafka; remove it")
    publish(client, topic, store(settings), version, creation(settings))
    return topic
