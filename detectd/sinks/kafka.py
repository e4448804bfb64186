"""Four Kafka topics, written in transactions.

One commit is one transaction: the output records, the state of keys (see `kafka_keys`), and the
position of the stream. The position is written as committed offsets, since a Kafka transaction can
hold only these beside records:

    source   offsets of                       metadata of each offset
    Kafka    the source's group, as they are  the service's state
    other    a group of its own, one          the source's position and the service's state
             partition (`own_place`)

Without a transactional id it writes at least once: the source commits its position to the group
after the brokers have the records, and records in between are written again after a crash.

Brokers expire offsets; `local_position` keeps a copy of the last commit for that case.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import structlog

from detectd.errors import (
    BrokerUnavailableError,
    ConfigError,
    DetectdError,
    PartitionsRevokedError,
    UndeliverableError,
)
from detectd.kafka import topics as broker_topics
from detectd.kafka.errors import FencedError, RecordsRefused, explained
from detectd.pipeline.records import Position, Topic
from detectd.sinks import Sink, commit_metadata
from detectd.sinks.kafka_addresses import Addresses
from detectd.sinks.kafka_marks import marks
from detectd.sinks.local_position import LocalPosition, path_of
from detectd.sinks.refused_records import tried

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Mapping, Sequence
    from pathlib import Path

    from detectd.kafka import KafkaClient, Place, ProducerRecord
    from detectd.kafka.topics import NewTopicConfig
    from detectd.pipeline.records import KeyRecord, Outgoing
    from detectd.sinks import KeysRead
    from detectd.sinks.kafka_keys import KeysTopic

log = structlog.get_logger()

# Brokers expire offsets and transactional ids that were unused for a week.
REFRESH_SECONDS = 3600.0

# The brokers' default limit of a record, and the overhead of a batch of one.
DEFAULT_LIMIT = 1_048_588
BATCH_OVERHEAD = 200

# A refused batch is retried in smaller ones, down to this size.
LEAST_BATCH_BYTES = 1024


class KafkaSink(Sink):
    """The topics named by `topics`, one for each `Topic`.

    An output goes to the partition of its key, or, with `preserve_partition`, to the partition
    number that its record was read from.
    """

    def __init__(
        self,
        client: KafkaClient,
        topics: Mapping[Topic, str],
        *,
        transactional: bool = True,
        preserve_partition: bool = False,
        creation: NewTopicConfig | None = None,
        state_directory: Path | None = None,
        keys: KeysTopic | None = None,
    ) -> None:
        self._client = client
        self._keys = keys
        self._topics = topics
        self._addresses = Addresses(client, topics, preserve_partition=preserve_partition)
        self._id = (client.transactional_id or client.group_id) if transactional else None
        self._own_group = f"{self._id}.position"
        self._own_place = (topics[Topic.NORMAL], 0)
        self._local = None
        if self._id is not None and state_directory is not None:
            path = path_of(state_directory, self._id)
            self._local = LocalPosition(client, path, topics[Topic.NORMAL])
        self._creation = creation
        self._producer: Any = None
        self._limits: dict[Topic, int] = {}
        self._batch_bytes = DEFAULT_LIMIT
        self._commits = 0
        self._committed: Position | None = None
        self._committed_at = 0.0

    def open(self) -> Position | None:
        """Take over the transactional id, and return the position of its last finished commit.

        After a commit from Kafka, `source` holds no offsets: the group has them. Raise ConfigError
        if a topic does not exist, BrokerUnavailableError if no broker responds, RefusedError if a
        broker denies access.
        """
        self._addresses.require_topics(self._creation)
        self._limits = self._look_for_limits()
        self._batch_bytes = min(self._limits.values())
        if self._keys:
            largest = self._keys.require(self._creation) or DEFAULT_LIMIT
            self._batch_bytes = min(self._batch_bytes, largest - BATCH_OVERHEAD)
        self._connect()
        if self._id is None:
            return None
        # From here on, a predecessor's last transaction is either committed or aborted.
        with explained("looking up the last commit"):
            found = marks(self._client, self._id, self._own_group, self._own_place)
            last = max(found, key=_number, default=None)
        if self._local:
            last = self._local.agree(last)
        if last is not None:
            self._commits = _number(last)
            self._committed = Position(last["source"], last["state"])
        return self._committed

    def _connect(self) -> None:
        """Create a producer and fence all others with this transactional id."""
        self._producer = self._client.transport.Producer(self._client, self._id, self._batch_bytes)
        if self._id is not None:
            self._producer.take_over()

    def limits(self) -> Mapping[Topic, int]:
        """See `Sink`. The topics' `max.message.bytes`, minus overhead, limit key, value and
        headers."""
        return self._limits

    def commit(
        self, outgoing: Sequence[Outgoing], position: Position, keys: Sequence[KeyRecord] = ()
    ) -> None:
        """Write the records, the position and the state of keys in one transaction.

        Raise as `Sink` says, and ConfigError if another process uses this transactional id.
        """
        offsets = self._offsets(position)
        fresh = time.monotonic() - self._committed_at < REFRESH_SECONDS
        if not (outgoing or keys) and (not offsets or (fresh and position == self._committed)):
            if self._local:
                self._local.rest()
            return
        outputs = self._addresses.addressed(outgoing)
        if self._local:
            last = (outgoing[-1], self._topics[outgoing[-1].topic]) if outgoing else None
            self._local.prepare(self._commits + 1, position, last)
        if self._keys:
            outputs += self._keys.addressed(keys)
        while True:
            try:
                if self._id is None:
                    self._producer.write(outputs)
                else:
                    self._transact(outputs, offsets, position.source.get("group"))
                break
            except RecordsRefused as refused:
                self._require_deliverable(outputs, refused)
        if self._local:
            self._local.finish()
        self._commits += 1
        self._committed = position
        self._committed_at = time.monotonic()

    def read_keys(self, partitions: Collection[int]) -> Generator[KeysRead]:
        """See `Sink`."""
        assert self._keys
        return self._keys.read(partitions)

    def close(self) -> None:
        """Close the connection; the broker aborts an unfinished transaction."""
        if self._local:
            self._local.rest()
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.close()

    def _transact(
        self,
        outputs: Sequence[ProducerRecord],
        offsets: Mapping[Place, tuple[int, str]],
        group: str | None,
    ) -> None:
        began = time.monotonic(), time.time()
        try:
            # 1. Begin.
            self._producer.begin()
            # 2. Send the records, and wait until the brokers have all of them.
            self._producer.write(outputs)
            # 3. Add the position, as the group member that read it: the brokers refuse it if the
            # partitions were reassigned since.
            if group is None:
                self._producer.add_offsets(offsets, self._own_group, None)
            else:
                self._producer.add_offsets(offsets, group, self._client.membership.member)
            # 4. Commit, which makes it all visible at once.
            self._producer.commit()
        except PartitionsRevokedError:
            # The producer is still usable if it can abort the transaction.
            self._producer.abort()
            raise
        except FencedError as fenced:
            raise self._whose(fenced, began) from None
        except DetectdError:
            # Readers wait for an open transaction, so end it now, not at the next commit.
            with suppress(DetectdError):
                self._producer.abort()
            raise

    def _whose(self, fenced: FencedError, began: tuple[float, float]) -> DetectdError:
        """Return the error: another process has this id, or the transaction timed out.

        Brokers abort a transaction that exceeds its timeout. One aborted sooner was fenced by
        another process. The monotonic clock may stop while a machine sleeps, so both clocks are
        checked.
        """
        took = max(time.monotonic() - began[0], time.time() - began[1])
        if took > self._client.transaction_timeout / 2:
            return fenced
        if self._client.identity is None:
            return ConfigError(
                f"kafka.transactional_id: {self._id!r}: another process with this transactional id "
                "took over; run one process, or give each its own id"
            )
        return FencedError(str(fenced), rival=True)

    def _require_deliverable(
        self, outputs: Sequence[ProducerRecord], refused: RecordsRefused
    ) -> None:
        """Raise UndeliverableError with the refused outputs, or switch to smaller batches.

        A batch may be too large even if no record is, if the limit is unknown or has changed; at
        the smallest batch size this raises BrokerUnavailableError.
        """
        found = dict(refused.certain)
        if not found or refused.suspects:
            # Found by kafka-python: librdkafka does not report it.
            self._producer.close()
            found = tried(self._client, self._id, self._batch_bytes, outputs)
        self._producer.close()
        self._limits = self._look_for_limits()
        before = self._batch_bytes
        self._batch_bytes = min(before, *self._limits.values())
        if not found and self._batch_bytes == before:
            if before == LEAST_BATCH_BYTES:
                raise BrokerUnavailableError(f"Kafka failed while writing: {refused}")
            self._batch_bytes = max(LEAST_BATCH_BYTES, before // 4)
        self._connect()
        if found and self._keys:
            self._keys.require_taken(outputs, found)
        if found:
            raise UndeliverableError(
                {
                    number: f"the topic {outputs[number][1]!r} rejects it: {why.name}; {why.fix}"
                    for number, why in sorted(found.items())
                }
            )

    def _offsets(self, position: Position) -> dict[Place, tuple[int, str]]:
        """Return the offsets that represent `position`, each with its metadata."""
        group = position.source.get("group")
        number = self._commits + 1
        source = position.source if group is None else {"group": group}
        memo = commit_metadata.write(
            {"by": self._id, "commit": number, "source": source, "state": position.state}
        )
        if group is None:
            return {self._own_place: (number, memo)}
        return {
            (topic, int(partition)): (offset, memo)
            for topic, partitions in position.source["offsets"].items()
            for partition, offset in partitions.items()
        }

    def _look_for_limits(self) -> dict[Topic, int]:
        known = broker_topics.size_limits(self._client, list(self._topics.values()))
        unknown = sorted(set(self._topics.values()) - known.keys())
        if unknown:
            log.warning("sink.limits_unknown", topics=unknown, hint="grant DescribeConfigs")
        return {
            topic: known.get(name, DEFAULT_LIMIT) - BATCH_OVERHEAD
            for topic, name in self._topics.items()
        }


def _number(mark: dict[str, Any]) -> int:
    return int(mark["commit"])
