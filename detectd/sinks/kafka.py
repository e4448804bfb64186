"""Four Kafka topics, written in transactions.

One commit is one transaction: the output records, and how far the stream has been answered. That
is written as committed offsets, since these are what a Kafka transaction can hold beside records:

    source   offsets of                       metadata of each offset
    Kafka    the source's group, as they are  the service's state
    other    a group of our own, one          the source's position and the service's state
             partition (`own_place`)
"""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import Future, wait
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka import errors as kafka_errors
from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata

from detectd.brokers import CLOSE_SECONDS, explained
from detectd.errors import ConfigError
from detectd.records import Position, Topic

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from detectd.brokers import KafkaClient
    from detectd.records import Outgoing

# How long a commit may take, brokers that fail over included; kafka-python itself waits for ever.
DELIVERY_SECONDS = 60.0
COMMIT_SECONDS = 90.0

# Brokers forget offsets and transactional ids that nobody has written for a week.
REFRESH_SECONDS = 3600.0

# Brokers refuse timestamps that lie further ahead of their clock than an hour.
AHEAD_MS = 3_500_000

# The brokers finish a transaction after they have acknowledged its commit, and let the next one
# begin when they have; kafka-python waits so long between its tries.
RETRY_MS = 20

# A single output may be large; the topic's max.message.bytes decides, not the client.
MAX_REQUEST_BYTES = 64 * 1024 * 1024


class KafkaSink:
    """The topics named by `topics`, one for each `Topic`."""

    def __init__(self, client: KafkaClient, topics: Mapping[Topic, str]) -> None:
        self._client = client
        self._topics = topics
        self._id = client.transactional_id or client.group_id
        self._own_group = f"{self._id}.position"
        self._own_place = TopicPartition(topics[Topic.NORMAL], 0)
        self._producer: Any = None
        self._partitions: dict[str, int] = {}
        self._commits = 0
        self._committed: Position | None = None
        self._committed_at = 0.0

    def open(self) -> Position | None:
        """Take over the transactional id, and tell the position of its last finished commit.

        After a commit from Kafka `source` holds no offsets: the group has them.
        Raises ConfigError where a topic does not exist, DetectdError where no broker answers,
        RefusedError where a broker refuses us.
        """
        self._partitions = self._client.partitions(list(self._topics.values()))
        missing = [
            f"{key} = {name!r}" for key, name in self._topics.items() if not self._partitions[name]
        ]
        if missing:
            raise ConfigError(
                f"topics: {', '.join(missing)}: no such topic; create it, or name another"
            )
        self._producer = self._client.connect(
            KafkaProducer,
            transactional_id=self._id,
            acks="all",
            delivery_timeout_ms=DELIVERY_SECONDS * 1000,
            max_block_ms=self._client.patience * 1000,
            max_request_size=MAX_REQUEST_BYTES,
            retry_backoff_ms=RETRY_MS,
            allow_auto_create_topics=False,
        )
        with explained("taking over the transactional id"):
            self._producer.init_transactions()
        # Only now is the last transaction of a predecessor either committed or aborted.
        with explained("looking for the last commit"):
            last = max(self._marks(), key=_number, default=None)
        if last is not None:
            self._commits = _number(last)
            self._committed = Position(last["source"], last["state"])
        return self._committed

    def commit(self, outgoing: Sequence[Outgoing], position: Position) -> None:
        """Write the records and the position in one transaction.

        Raises DetectdError where that fails; the sink is then of no further use, and what the
        transaction held is or will be aborted, unless only the answer to its commit got lost:
        `open` of a successor tells.
        """
        offsets, group = self._offsets(position)
        fresh = time.monotonic() - self._committed_at < REFRESH_SECONDS
        if not outgoing and (not offsets or (fresh and position == self._committed)):
            return
        with explained(f"committing as transactional id {self._id!r}"):
            _within(COMMIT_SECONDS, lambda: self._transact(outgoing, offsets, group))
        self._commits += 1
        self._committed = position
        self._committed_at = time.monotonic()

    def close(self) -> None:
        """Close the connection; an unfinished transaction is left to be aborted."""
        if self._producer is not None:
            producer, self._producer = self._producer, None
            with suppress(kafka_errors.KafkaError):
                producer.close(timeout=CLOSE_SECONDS)

    def _transact(
        self,
        outgoing: Sequence[Outgoing],
        offsets: dict[TopicPartition, OffsetAndMetadata],
        group: ConsumerGroupMetadata,
    ) -> None:
        producer = self._producer
        latest = time.time() * 1000 + AHEAD_MS
        try:
            # 1. Begin.
            producer.begin_transaction()
            # 2. Hand over the records.
            sent = [
                producer.send(
                    self._topics[out.topic],
                    value=out.value,
                    key=out.key,
                    headers=list(out.headers),
                    partition=self._partition(out),
                    timestamp_ms=_timestamp(out, latest),
                )
                for out in outgoing
            ]
            # 3. See that the brokers have every one. The commit would wait for that too, but a
            #    batch that fails while kafka-python completes a transaction can go unreported.
            producer.flush(timeout=DELIVERY_SECONDS)
            for future in sent:
                future.get(timeout=0)
            # 4. Add how far the stream has been answered.
            producer.send_offsets_to_transaction(offsets, group)
            # 5. Make it all visible at once.
            producer.commit_transaction()
        except Exception:
            # Readers wait behind an open transaction: end it now, not when the next process starts.
            with suppress(kafka_errors.KafkaError):
                producer.abort_transaction()
            raise

    def _partition(self, out: Outgoing) -> int | None:
        """By key, as Kafka's clients do; without one as in the source, which keeps the order."""
        if out.key is not None:
            return None
        return (out.partition or 0) % self._partitions[self._topics[out.topic]]

    def _offsets(
        self, position: Position
    ) -> tuple[dict[TopicPartition, OffsetAndMetadata], ConsumerGroupMetadata]:
        """The offsets that say `position`, and the group to which they belong."""
        group = position.source.get("group")
        number = self._commits + 1
        source = position.source if group is None else {"group": {"group_id": group["group_id"]}}
        mark = {"by": self._id, "commit": number, "source": source, "state": position.state}
        memo = json.dumps(mark, separators=(",", ":"))
        if group is None:
            own = ConsumerGroupMetadata(self._own_group)
            return {self._own_place: OffsetAndMetadata(number, memo, -1)}, own
        offsets = {
            TopicPartition(topic, int(partition)): OffsetAndMetadata(offset, memo, -1)
            for topic, partitions in position.source["offsets"].items()
            for partition, offset in partitions.items()
        }
        return offsets, ConsumerGroupMetadata(**group)

    def _marks(self) -> list[dict[str, Any]]:
        """What earlier commits under this transactional id have left with the offsets."""
        reader = self._client.connect(
            KafkaConsumer,
            group_id=self._own_group,
            enable_auto_commit=False,
            # Also makes the brokers answer only when no transaction is pending on the offset.
            isolation_level="read_committed",
        )
        with closing(reader):
            own = reader.committed(
                self._own_place, metadata=True, timeout_ms=self._client.patience * 1000
            )
        group = self._client.group_id
        with closing(self._client.connect(KafkaAdminClient)) as admin:
            offsets = self._client.patiently(lambda: admin.list_group_offsets([group])[group])
        memos = [own.metadata] if own else []
        memos += [offset.metadata for offset in offsets.values()]
        return [mark for mark in map(_mark, memos) if mark.get("by") == self._id]


def _mark(memo: str | None) -> dict[str, Any]:
    """The mark in an offset's metadata; empty where somebody else wrote it."""
    try:
        mark = json.loads(memo or "{}")
    except ValueError:
        return {}
    return mark if isinstance(mark, dict) else {}


def _number(mark: dict[str, Any]) -> int:
    return int(mark["commit"])


def _timestamp(out: Outgoing, latest: float) -> int | None:
    """The timestamp where a broker takes it; None leaves it to the client's clock."""
    stamp = out.timestamp_ms
    return stamp if stamp is not None and 0 <= stamp <= latest else None


def _within(seconds: float, do: Callable[[], None]) -> None:
    """Do it, or raise KafkaTimeoutError after so many seconds: some calls have no limit."""
    outcome: Future[None] = Future()

    def run() -> None:
        try:
            do()
            outcome.set_result(None)
        except BaseException as error:  # noqa: BLE001 - it is raised below
            outcome.set_exception(error)

    threading.Thread(target=run, name="kafka-commit", daemon=True).start()
    if not wait([outcome], seconds).done:
        raise kafka_errors.KafkaTimeoutError(f"no answer for {seconds:g} s")
    outcome.result()
