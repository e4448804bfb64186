"""The topics of the Kafka sink, as a subscriber sees them."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from kafka import TopicPartition

from detectd.brokers import groups
from detectd.brokers.failures import explained
from detectd.brokers.kafka_python import records
from detectd.brokers.onlooking import onlooker, partitions
from detectd.records import Topic
from detectd.sinks.kafka import KafkaSink
from detectd.sinks.local_position import LocalPosition, path_of
from detectd.sources import Batch
from detectd.sources.kafka import offsets_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from detectd.brokers import KafkaClient
    from detectd.records import Record
    from detectd.signals import Stop
    from detectd.sinks import Sink

POLL_MS = 200


class KafkaOutputs:
    """The four topics; see `detectd.outputs`.

    How far a replay has come is what `client`'s group has committed, in the replay's transactions.
    """

    def __init__(
        self,
        client: KafkaClient,
        topics: Mapping[Topic, str],
        *,
        preserve_partition: bool,
        state_directory: Path | None = None,
    ) -> None:
        self._client = client
        self._topics = topics
        self._preserve_partition = preserve_partition
        self._state_directory = state_directory

    def follow(self, topic: Topic, stop: Stop) -> Iterator[list[Record]]:
        """What is committed from now on, until `stop`. Raises ConfigError without the topic."""
        places = partitions(self._client, f"topics.{topic}", self._topics[topic])
        with closing(onlooker(self._client)) as reader, explained("reading"):
            reader.assign(places)
            reader.seek_to_end()
            for place in places:
                reader.position(place)  # Now, not at the first poll.
            while not stop.requested:
                for found in reader.poll(timeout_ms=POLL_MS).values():
                    yield records(found)

    def dead_letters(self, *, replayed: bool) -> Iterator[Batch]:
        """All that are there now, or those behind the last replay. Raises as `follow`."""
        topic = self._topics[Topic.DEAD_LETTER]
        places = partitions(self._client, f"topics.{Topic.DEAD_LETTER}", topic)
        done = {} if replayed else self._replayed()
        with closing(onlooker(self._client)) as reader, explained("reading the dead letters"):
            reader.assign(places)
            ends = reader.end_offsets(places)
            for place, first in reader.beginning_offsets(places).items():
                reader.seek(place, max(first, done.get(place, 0)))
            while any(reader.position(place) < end for place, end in ends.items()):
                for place, found in reader.poll(timeout_ms=POLL_MS).items():
                    there = [each for each in found if each.offset < ends[place]]
                    if there:
                        yield Batch(records(there), self._mark(place, there[-1].offset + 1))

    def replay_sink(self) -> Sink:
        """The sink for a replay, not opened; services may go on beside it."""
        return KafkaSink(
            self._client,
            self._topics,
            preserve_partition=self._preserve_partition,
            state_directory=self._state_directory,
        )

    def _mark(self, place: TopicPartition, after: int) -> dict[str, Any]:
        offsets = {place.topic: {str(place.partition): after}}
        return {"group": self._client.group_id, "offsets": offsets}

    def _replayed(self) -> dict[TopicPartition, int]:
        found = groups.committed(self._client)
        name = self._client.transactional_id
        if not found and self._state_directory and name:
            # The brokers forget a group that nobody has used for a week.
            path = path_of(self._state_directory, name)
            copy = LocalPosition(self._client, path, self._topics[Topic.NORMAL])
            copy.open()
            found = offsets_in((copy.restore() or {}).get("source", {}))
        return {TopicPartition(*place): after for place, after in found.items()}
