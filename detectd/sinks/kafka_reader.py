"""Read the topics of the Kafka sink as a subscriber."""

from __future__ import annotations

from collections import deque
from contextlib import closing
from itertools import chain
from typing import TYPE_CHECKING, Any

from kafka import TopicPartition

from detectd.kafka import groups
from detectd.kafka.errors import explained
from detectd.kafka.kafka_python_consumer import records
from detectd.kafka.observer import onlooker, partitions
from detectd.pipeline.records import Record, Topic
from detectd.sinks.kafka import KafkaSink
from detectd.sinks.local_position import LocalPosition, path_of
from detectd.sources import Batch
from detectd.sources.kafka_position import offsets_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from detectd.kafka import KafkaClient
    from detectd.signals import Stop
    from detectd.sinks import Sink

POLL_MS = 200

# The least number of offsets to look back.
ROOM = 100


class KafkaOutputs:
    """The four topics; see `detectd.sinks`.

    The progress of a replay is the committed offsets of `client`'s group, in the replay's
    transactions.
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

    def follow(self, topic: Topic, stop: Stop, last: int = 0) -> Iterator[list[Record]]:
        """Yield the `last` existing records, then newly committed ones, until `stop`.

        Raise ConfigError if the topic does not exist.
        """
        places = partitions(self._client, f"topics.{topic}", self._topics[topic])
        with closing(onlooker(self._client)) as reader, explained("reading"):
            reader.assign(places)
            ends = reader.end_offsets(places)
            yield _last(reader, ends, last)
            for place, end in ends.items():
                reader.seek(place, end)
            while not stop.requested:
                for found in reader.poll(timeout_ms=POLL_MS).values():
                    yield records(found)

    def last(self, topic: Topic, count: int) -> list[Record]:
        """Return the last `count` existing records, by timestamp. Raises as `follow`."""
        places = partitions(self._client, f"topics.{topic}", self._topics[topic])
        with closing(onlooker(self._client)) as reader, explained("reading"):
            reader.assign(places)
            return _last(reader, reader.end_offsets(places), count)

    def all(self, topic: Topic, since_ms: int | None = None) -> Iterator[list[Record]]:
        """Yield all existing records, each partition in order. Raises as `follow`.

        Records before the first one of their partition that is not older than `since_ms` are
        skipped, where transaction markers count, too; so older records may be included.
        """
        places = partitions(self._client, f"topics.{topic}", self._topics[topic])
        with closing(onlooker(self._client)) as reader, explained("reading"):
            reader.assign(places)
            ends = reader.end_offsets(places)
            begins = reader.beginning_offsets(places)
            if since_ms is not None:
                asked = dict.fromkeys(places, since_ms)
                for place, found in reader.offsets_for_times(asked).items():
                    begins[place] = ends[place] if found is None else found.offset
            for _, found, _after in _between(reader, begins, ends):
                yield found

    def dead_letters(self, *, replayed: bool) -> Iterator[Batch]:
        """Yield all dead letters, or those since the last replay. Raises as `follow`."""
        topic = self._topics[Topic.DEAD_LETTER]
        places = partitions(self._client, f"topics.{Topic.DEAD_LETTER}", topic)
        done = {} if replayed else self._replayed()
        with closing(onlooker(self._client)) as reader, explained("reading the dead letters"):
            reader.assign(places)
            ends = reader.end_offsets(places)
            begins = {
                place: max(first, done.get(place, 0))
                for place, first in reader.beginning_offsets(places).items()
            }
            for place, found, after in _between(reader, begins, ends):
                yield Batch(found, self._mark(place, after))

    def replay_sink(self) -> Sink:
        """Return the sink for a replay, not opened; services may keep running."""
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
            # The brokers expire a group that was unused for a week.
            path = path_of(self._state_directory, name)
            copy = LocalPosition(self._client, path, self._topics[Topic.NORMAL])
            copy.open()
            found = offsets_in((copy.restore() or {}).get("source", {}))
        return {TopicPartition(*place): after for place, after in found.items()}


def _between(
    reader: Any, begins: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
) -> Iterator[tuple[TopicPartition, list[Record], int]]:
    """Yield the records of each partition between two offsets, and the offset after them.

    `reader` must be assigned only to these partitions.
    """
    for place, begin in begins.items():
        reader.seek(place, begin)
    while any(reader.position(place) < end for place, end in ends.items()):
        for place, found in reader.poll(timeout_ms=POLL_MS).items():
            there = [each for each in found if each.offset < ends[place]]
            if there:
                yield place, records(there), there[-1].offset + 1


def _last(reader: Any, ends: Mapping[TopicPartition, int], count: int) -> list[Record]:
    """Return the last `count` records before `ends`, by timestamp.

    Some offsets are transaction markers, not records, so it looks farther back until each partition
    has yielded `count` records or all of them.
    """
    if not count:
        return []
    firsts = reader.beginning_offsets([*ends])
    span = 2 * count + ROOM
    while True:
        begins = {place: max(firsts[place], end - span) for place, end in ends.items()}
        kept = {place: deque[Record](maxlen=count) for place in ends}
        for place, found, _ in _between(reader, begins, ends):
            kept[place].extend(found)
        if all(len(kept[p]) == count or begins[p] <= firsts[p] for p in ends):
            merged = chain.from_iterable(kept.values())
            return sorted(merged, key=lambda record: record.timestamp_ms or 0)[-count:]
        span *= 8
