"""The topics that the service needs: existence, creation, and record size limits."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kafka import KafkaAdminClient
from kafka import errors as kafka_errors
from kafka.admin import ConfigResource, ConfigResourceType

from detectd.errors import ConfigError
from detectd.kafka.errors import explained

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from detectd.kafka import KafkaClient

LIMIT = "max.message.bytes"


@dataclass(frozen=True, slots=True)
class NewTopicConfig:
    """The settings of missing topics; None uses the brokers' defaults."""

    partitions: int | None = None
    replication_factor: int | None = None
    configs: tuple[tuple[str, str], ...] = ()

    def compacted(self, partitions: int) -> NewTopicConfig:
        """Return the same for a topic that keeps the last record of each key."""
        return replace(
            self, partitions=partitions, configs=(*self.configs, ("cleanup.policy", "compact"))
        )


def require(
    client: KafkaClient, section: str, names: Mapping[str, str], creation: NewTopicConfig | None
) -> dict[str, int]:
    """Return the number of partitions of each topic of `names` (configuration key: topic).

    Missing ones are created if there is a `creation`. Raise ConfigError naming all missing ones
    otherwise, RefusedError if access is denied.
    """
    found = client.partitions(list(names.values()))
    missing = {label: topic for label, topic in names.items() if not found[topic]}
    if missing and creation:
        create(client, list(missing.values()), creation)
        found = client.partitions(list(names.values()))
        missing = {label: topic for label, topic in names.items() if not found[topic]}
    if missing:
        raise ConfigError(
            f"{section}: {', '.join(missing)}: no such topic; create it, name another, or set "
            "kafka.create_topics = true"
        )
    return found


def create(client: KafkaClient, topics: Collection[str], creation: NewTopicConfig) -> None:
    """Create the topics; it is no error if another process was quicker."""
    wanted = {
        topic: {
            "num_partitions": creation.partitions or -1,
            "replication_factor": creation.replication_factor or -1,
            "configs": dict(creation.configs),
        }
        for topic in topics
    }
    with closing(client.connect(KafkaAdminClient)) as admin, explained("creating topics"):
        answer = admin.create_topics(wanted, raise_errors=False)
        for topic in answer["topics"]:
            error = kafka_errors.for_code(topic["error_code"])
            if error in (
                kafka_errors.InvalidPartitionsError,
                kafka_errors.InvalidReplicationFactorError,
            ):
                raise ConfigError(
                    f"kafka.create_topics: {topic['name']}: {topic['error_message']} "
                    "Correct kafka.partitions or kafka.replication_factor"
                )
            if error not in (kafka_errors.NoError, kafka_errors.TopicAlreadyExistsError):
                raise error(f"{topic['name']}: {topic['error_message']}")
        admin.wait_for_topics(list(topics))


def size_limits(client: KafkaClient, topics: Collection[str]) -> dict[str, int]:
    """Return the maximum record bytes of each topic, except where access is denied."""
    found = configs(client, topics, (LIMIT,))
    return {topic: int(values[LIMIT]) for topic, values in found.items() if LIMIT in values}


def config(client: KafkaClient, topic: str, name: str) -> str | None:
    """Return one setting of a topic; None if access is denied."""
    return configs(client, [topic], (name,)).get(topic, {}).get(name)


def configs(
    client: KafkaClient, topics: Collection[str], names: Collection[str]
) -> dict[str, dict[str, str]]:
    """Return settings by topic and name; none for topics where access is denied.

    A setting unknown to the brokers is left out.
    """
    kind = ConfigResourceType.TOPIC
    asked = [ConfigResource(kind, topic, configs=dict.fromkeys(names)) for topic in topics]
    with closing(client.connect(KafkaAdminClient)) as admin, explained("reading the limits"):
        try:
            found = client.patiently(lambda: admin.describe_configs(asked, config_filter="all"))
        except kafka_errors.AuthorizationError:
            return {}
    return {
        topic: {name: each[name]["value"] for name in names if name in each}
        for topic, each in found.get("topic", {}).items()
    }
