"""Read a topic without joining a group: no member notices, and nothing is committed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kafka import KafkaConsumer, TopicPartition

from detectd.errors import ConfigError
from detectd.kafka.headers import read_any_header_name

if TYPE_CHECKING:
    from detectd.kafka import KafkaClient


def onlooker(client: KafkaClient) -> Any:
    """Return a consumer of committed records; assign partitions to it, and close it.

    Raises as `KafkaClient.connect`.
    """
    read_any_header_name()
    return client.connect(
        KafkaConsumer,
        enable_auto_commit=False,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        allow_auto_create_topics=False,
        metrics_enabled=False,
    )


def partitions(client: KafkaClient, key: str, topic: str) -> list[TopicPartition]:
    """Return all partitions of the topic configured by `key`. Raise ConfigError if it does not
    exist."""
    count = client.partitions([topic])[topic]
    if not count:
        raise ConfigError(f"{key}: there is no topic {topic!r}; correct the name, or create it")
    return [TopicPartition(topic, each) for each in range(count)]
