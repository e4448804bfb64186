"""The topic, partition and timestamp of each output."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from detectd.errors import BrokerUnavailableError, ConfigError
from detectd.kafka import topics as broker_topics

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from detectd.kafka import KafkaClient, ProducerRecord
    from detectd.kafka.topics import NewTopicConfig
    from detectd.pipeline.records import Outgoing, Topic

# Brokers refuse timestamps more than an hour ahead of their clock.
AHEAD_MS = 3_500_000


class Addresses:
    """The topics of the outputs, and their partitions once `require_topics` was called.

    An output goes to the partition of its key, or, with `preserve_partition`, to the partition
    number that its record was read from.
    """

    def __init__(
        self, client: KafkaClient, topics: Mapping[Topic, str], *, preserve_partition: bool
    ) -> None:
        self.topics = topics
        self._client = client
        self._preserve_partition = preserve_partition
        self._partitions: dict[str, int] = {}

    def require_topics(self, creation: NewTopicConfig | None) -> None:
        """Create missing topics, or raise ConfigError."""
        names = {f"{key} = {name!r}": name for key, name in self.topics.items()}
        self._partitions = broker_topics.require(self._client, "topics", names, creation)

    def addressed(self, outgoing: Sequence[Outgoing]) -> list[ProducerRecord]:
        """Return the outputs with their addresses.

        Raise ConfigError if a partition to be preserved does not exist.
        """
        latest, by_key = time.time() * 1000 + AHEAD_MS, not self._preserve_partition
        topics, place = self.topics, self._partition
        return [
            (
                out,
                topics[out.topic],
                # By key, as in Kafka's clients.
                None if by_key and out.key is not None else place(out),
                _timestamp(out.timestamp_ms, latest),
            )
            for out in outgoing
        ]

    def _partition(self, out: Outgoing) -> int:
        """Return the source's partition number, which keeps the order."""
        name = self.topics[out.topic]
        partition, there = out.partition or 0, self._partitions[name]
        if self._preserve_partition and partition >= there:
            if self._client.partitions([name])[name] > partition:
                raise BrokerUnavailableError(f"{name} has more partitions now; reopening it")
            raise ConfigError(
                f"topics.{out.topic}: {name!r} has {there} partitions, and a "
                f"record came from partition {partition}; add partitions, or set "
                "kafka.preserve_partition = false"
            )
        return partition % there


def _timestamp(stamp: int | None, latest: float) -> int | None:
    """Return the timestamp if a broker accepts it; otherwise None, for the client's clock."""
    return stamp if stamp is not None and 0 <= stamp <= latest else None
