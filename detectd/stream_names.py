"""Name source, stream and commits from the settings, for state that is kept by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from detectd.kafka import KafkaClient
    from detectd.settings import Settings


def source_name(settings: Settings) -> str:
    """Return the name of a source without partitions; empty for one with partitions."""
    names = {"file": str(settings.source.path), "stdin": "stdin", "kafka": ""}
    return names[settings.source.kind]


def commit_stream(settings: Settings, client: KafkaClient | None) -> str:
    """Return a name for this process's commits that is the same after a restart."""
    if settings.sink.kind == "file":
        assert settings.sink.directory is not None
        return f"file {settings.sink.directory.absolute()}"
    if client is not None:
        return f"kafka {client.transactional_id}"
    return f"stdout {settings.source.path or settings.source.kind}"


def keys_stream(settings: Settings) -> str:
    """Return a name for the stream whose commits name the state of keys: see `KeyLog`."""
    if settings.sink.kind == "kafka":
        return f"kafka {settings.kafka.transactional_id or settings.kafka.group_id}"
    return commit_stream(settings, None) if settings.sink.kind == "file" else stream(settings)


def stream(settings: Settings) -> str:
    """Return a name for the stream: per consumer group on Kafka, per process otherwise."""
    if settings.source.kind == "kafka":
        topics = ",".join(sorted(settings.source.topics))
        return f"kafka group {settings.kafka.group_id} of {topics}"
    if settings.sink.kind == "file":
        return commit_stream(settings, None)
    return f"{settings.sink.kind} {settings.source.path or settings.source.kind}"
