"""The compacted topic with the state of keys, with one partition for each of the input's.

It is written in the transaction of the outputs, so its committed records are the state as of the
last commit. A reader of a partition already has the group's offset of the input's partition, and
with it the last valid commit: the group returns no offset while a commit of it is pending, and
refuses those of former owners afterwards. The records of that commit are before the current end of
the partition, but its transaction marker may not be there yet. So the reader waits until it reaches
the end of all records, committed or not.
"""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import structlog
from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec

from detectd.errors import BrokerUnavailableError, ConfigError
from detectd.kafka import topics as broker_topics
from detectd.kafka.errors import explained
from detectd.kafka.observer import onlooker
from detectd.kafka.topic_settings import POLICY, SIZE, unfit_for_state
from detectd.pipeline.records import KeyRecord
from detectd.sinks import KeysRead

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Mapping, Sequence

    from detectd.kafka import KafkaClient, ProducerRecord
    from detectd.kafka.error_codes import Meaning
    from detectd.kafka.topics import NewTopicConfig

log = structlog.get_logger()

SLICE_MS = 500
SLICE_RECORDS = 5_000

# Longer than the timeout of a dead process's transaction.
GRACE_SECONDS = 30.0


class KeysTopic:
    """The topic `name` for the partitions of the `inputs`; a key's record has at most
    `row_bytes`."""

    def __init__(
        self, client: KafkaClient, name: str, inputs: Sequence[str], row_bytes: int
    ) -> None:
        self.name = name
        self._client = client
        self._inputs = inputs
        self._row_bytes = row_bytes
        self._partitions = 0

    def require(self, creation: NewTopicConfig | None) -> int | None:
        """Check that the topic exists and is suitable; return its maximum record size, None if
        unknown.

        Raise ConfigError if it is not.
        """
        asked = {topic: topic for topic in self._inputs}
        inputs = max(broker_topics.require(self._client, "source.topics", asked, creation).values())
        names = {f"keys = {self.name!r}": self.name}
        compact = creation and creation.compacted(inputs)
        self._partitions = broker_topics.require(self._client, "topics", names, compact)[self.name]
        known = broker_topics.configs(self._client, [self.name], (POLICY, SIZE)).get(self.name, {})
        unfit = unfit_for_state(
            known, partitions=self._partitions, inputs=inputs, largest=self._row_bytes
        )
        if unfit:
            raise ConfigError(f"topics.keys: {self.name!r}: {unfit}")
        if POLICY not in known:
            log.warning("keys.policy_unknown", topic=self.name, hint="grant DescribeConfigs")
        return int(known[SIZE]) if SIZE in known else None

    def addressed(self, records: Sequence[KeyRecord]) -> list[ProducerRecord]:
        """Return the records with their addresses."""
        for partition in {record.partition for record in records}:
            self._require_partition(partition)
        return [(record, self.name, record.partition, None) for record in records]

    def require_taken(
        self, outputs: Sequence[ProducerRecord], refused: Mapping[int, Meaning]
    ) -> None:
        """Raise ConfigError if the brokers refuse state: it has no substitute."""
        ours = [why for number, why in refused.items() if outputs[number][1] == self.name]
        if ours:
            raise ConfigError(
                f"topics.keys: {self.name!r} rejects the state of a key: {ours[0].name}; "
                f"{ours[0].fix}"
            )

    def read(self, partitions: Collection[int]) -> Generator[KeysRead]:
        """See `Sink.read_keys`."""
        for partition in partitions:
            self._require_partition(partition)
        places = [TopicPartition(self.name, partition) for partition in partitions]
        doing = f"reading {self.name}"
        ends = self._ends(places)
        with closing(onlooker(self._client)) as reader, explained(doing):
            reader.assign(places)
            begins = reader.beginning_offsets(places)
            for place, begin in begins.items():
                reader.seek(place, begin)
            yield from self._until(reader, begins, ends)

    def _until(
        self, reader: Any, begins: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
    ) -> Generator[KeysRead]:
        total = sum(max(0, end - begins[place]) for place, end in ends.items())
        left, heard = total, time.monotonic()
        while left:
            polled = reader.poll(timeout_ms=SLICE_MS, max_records=SLICE_RECORDS)
            before = left
            left = sum(max(0, end - reader.position(place)) for place, end in ends.items())
            if left < before:
                heard = time.monotonic()
            elif time.monotonic() - heard > self._client.transaction_timeout + GRACE_SECONDS:
                raise BrokerUnavailableError(
                    f"Kafka failed while reading {self.name}: a transaction of another process "
                    "does "
                    "not end"
                )
            records = [
                KeyRecord(place.partition, each.key or b"", each.value)
                for place, found in polled.items()
                for each in found
            ]
            yield KeysRead(records, 1 - left / total)

    def _ends(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the end offsets of the partitions, including open transactions."""
        asked = dict.fromkeys(places, OffsetSpec.LATEST)
        with (
            closing(self._client.connect(KafkaAdminClient)) as admin,
            explained(f"finding the end of {self.name}"),
        ):
            found = self._client.patiently(lambda: admin.list_partition_offsets(asked))
        return {place: at.offset for place, at in found.items()}

    def _require_partition(self, partition: int) -> None:
        if partition >= self._partitions:
            there = self._client.partitions([self.name])[self.name]
            if there > partition:
                self._partitions = there
                return
            raise ConfigError(
                f"topics.keys: {self.name!r} has {there} partitions, and a record came from "
                f"partition {partition}; add partitions"
            )
