"""The transport that is always there: kafka-python."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, wait
from contextlib import suppress
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka import errors as kafka_errors
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.partitioner.abc import Partitioner
from kafka.partitioner.default import murmur2
from kafka.structs import ConsumerGroupMetadata, MemberState, OffsetAndMetadata

from detectd.errors import BrokerUnavailableError
from detectd.kafka import CLOSE_SECONDS, PartitionBatch
from detectd.kafka.batch_refusals import name_refused, require_sound
from detectd.kafka.errors import explained
from detectd.kafka.headers import left_out, passed_on, read_any_header_name
from detectd.kafka.rebalances import Displaced, Rebalances
from detectd.pipeline import memory_budget
from detectd.pipeline.records import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from detectd.kafka import KafkaClient, Place, ProducerRecord
    from detectd.kafka.rebalances import Listener

Headers = tuple[tuple[str, bytes], ...]

read_any_header_name()

# The brokers finish a transaction after they have acknowledged its commit, and let the next one
# begin when they have; kafka-python waits so long between its tries.
RETRY_MS = 20

# By a heartbeat a member learns that the group is sharing out its partitions anew.
HEARTBEAT_SECONDS = 1.0

# A stop waits so long while the group shares out its partitions.
JOIN_SECONDS = 3.0

# The group waits no longer than a session for members that are gone.
LEAST_PATIENCE_SECONDS = 10.0

# Larger requests cost less a record; a flush does not wait for one to fill.
BATCH_BYTES = 256 * 1024
LINGER_MS = 20

# A single output may be large; the topic's max.message.bytes decides, not the client.
MAX_REQUEST_BYTES = 64 * 1024 * 1024


class Consumer:
    """A member of a group that shares its partitions cooperatively."""

    def __init__(self, client: KafkaClient, topics: Sequence[str], listener: Listener) -> None:
        self._consumer: Any = client.connect(
            KafkaConsumer,
            group_id=client.group_id,
            group_instance_id=client.group_instance_id,
            auto_offset_reset="none",  # The source says where to begin.
            metadata_max_age_ms=int(client.metadata_age * 1000),
            enable_auto_commit=False,
            isolation_level="read_committed",
            allow_auto_create_topics=False,
            partition_assignment_strategy=(CooperativeStickyAssignor,),
            fetch_max_bytes=client.fetch_bytes,
            session_timeout_ms=int(client.session_timeout * 1000),
            heartbeat_interval_ms=int(min(HEARTBEAT_SECONDS, client.session_timeout / 4) * 1000),
            max_poll_interval_ms=int(client.max_poll_interval * 1000),
            metrics_enabled=False,
        )
        self._patience = max(LEAST_PATIENCE_SECONDS, 1.2 * client.session_timeout)
        self._stable = time.monotonic()
        self._listener = listener
        self._rebalances = Rebalances(listener, self._consumer)
        self._consumer.subscribe(list(topics), listener=self._rebalances)

    def poll(self, limit: int, wait: float) -> list[PartitionBatch]:
        """Up to `limit` records, as soon as there are any.

        Waits longer while the group shares out its partitions: kafka-python forgets a join that
        is completed while nobody polls, joins anew, and so disturbs the group for ever.
        """
        deadline = time.monotonic() + JOIN_SECONDS
        with explained("reading"):
            polled = self._poll(wait, limit)
            while not polled and self._joining() and time.monotonic() < deadline:
                polled = self._poll(JOIN_SECONDS, limit)
            self._rebalances.check()
        self._require_progress()
        return [
            PartitionBatch(
                (place.topic, place.partition),
                found[0].offset,
                found[-1].offset + 1,
                records(found, passed_on),
            )
            for place, found in polled.items()
        ]

    def _poll(self, wait: float, limit: int | None = None) -> Any:
        """Of kafka-python's own, and see a join through that a poll before has not waited for.

        A join for the sake of new metadata is needed no more for kafka-python once it has shared
        out the partitions: where a poll ends just then, no other takes note of how it went on.
        """
        if self._joining():
            self._consumer._coordinator.request_rejoin()  # noqa: SLF001
        try:
            return self._consumer.poll(wait * 1000, max_records=limit)
        except kafka_errors.NoOffsetForPartitionError as unknown:
            displaced = dict.fromkeys(unknown.args[0], Displaced())
        except kafka_errors.OffsetOutOfRangeError as outside:
            displaced = {place: Displaced(at) for place, at in outside.args[0].items()}
        except kafka_errors.LogTruncationError as cut:
            displaced = {
                place: Displaced(parted=end and end.offset)
                for place, end in cut.divergent_offsets.items()
            }
        self._listener.displaced({tuple(place): at for place, at in displaced.items()})
        return {}

    def _require_progress(self) -> None:
        """Raise Interrupted where joining takes longer than the brokers wait for the dead."""
        now = time.monotonic()
        if self._consumer.group_metadata().state == MemberState.STABLE:
            self._stable = now
        elif now - self._stable > self._patience:
            raise BrokerUnavailableError(
                "Kafka failed, joining the group: its coordinator does not answer"
            )

    def _joining(self) -> bool:
        return bool(self._consumer.group_metadata().state == MemberState.REBALANCING)

    def member(self) -> ConsumerGroupMetadata | None:
        """As whom we own our partitions now; None where the group has put us out."""
        member = self._consumer.group_metadata()
        return member if member.generation_id >= 0 else None

    def member_id(self) -> str:
        """Return the name that the group has given us, empty before it has."""
        return str(self._consumer.group_metadata().member_id)

    def seek(self, place: Place, offset: int) -> None:
        """Go on there."""
        self._consumer.seek(TopicPartition(*place), offset)

    def bounds(self, place: Place, seconds: float) -> tuple[int, int]:
        """Return the first offset that the brokers have, and the one after the last."""
        asked = TopicPartition(*place)
        with explained(f"asking for the offsets of {place[0]}/{place[1]}"):
            low = self._consumer.beginning_offsets([asked], timeout_ms=seconds * 1000)[asked]
            high = self._consumer.end_offsets([asked], timeout_ms=seconds * 1000)[asked]
        return low, high

    def commit(self, offsets: Mapping[Place, int], *, wait: bool) -> None:
        """Tell the group where we are, as well as it goes."""
        told = {
            TopicPartition(*place): OffsetAndMetadata(at, "", -1) for place, at in offsets.items()
        }
        with suppress(kafka_errors.KafkaError):
            if wait:
                self._consumer.commit(told, timeout_ms=CLOSE_SECONDS * 1000)
            else:
                self._consumer.commit_async(told)

    def hold(self, wait: float) -> None:
        """Take part in the group's life without taking records."""
        with explained("waiting"):
            self._consumer.pause(*self._consumer.assignment())
            for place, found in self._poll(wait).items():  # came during the poll
                self._consumer.seek(place, found[0].offset)
            self._consumer.resume(*self._consumer.paused())

    def end(self, place: Place) -> int | None:
        """The offset after the last record that the brokers have, as far as they have told."""
        high: int | None = self._consumer.highwater(TopicPartition(*place))
        return high

    def probe(self, seconds: float) -> None:
        """Raise Interrupted where the brokers do not answer in time."""
        with explained("asking whether the brokers are there"):
            self._consumer.end_offsets(list(self._consumer.assignment()), timeout_ms=seconds * 1000)

    def close(self) -> None:
        """Leave the group."""
        with suppress(kafka_errors.KafkaError):
            self._consumer.close(autocommit=False, timeout_ms=CLOSE_SECONDS * 1000)


class KeyPartitioner(Partitioner):  # type: ignore[misc]
    """Kafka's own rule for records with a key; others come with their partition.

    kafka-python takes three microseconds to hash a key of eight bytes, and keys come again.
    """

    hashed = staticmethod(lru_cache(memory_budget.CACHED_PARTITIONS)(murmur2))

    def partition(
        self,
        topic: str,
        _key: object,
        key: bytes,
        _value: object,
        _value_bytes: object,
        cluster: Any,
    ) -> int:
        """The partition of the key."""
        hash_of = self.hashed if len(key) <= memory_budget.CACHED_KEY_BYTES else murmur2
        return int((hash_of(key) & 0x7FFFFFFF) % len(cluster.partitions_for_topic(topic)))


class Producer:
    """Writes records, in transactions where there is a transactional id.

    `largest` bounds the bytes of a batch where the topics allow less than usual.

    Each call may raise DetectdError; an open transaction is then to be aborted. kafka-python has
    no time limit for most of them, so they have it here.
    """

    def __init__(self, client: KafkaClient, transactional_id: str | None, largest: int) -> None:
        self._seconds = client.transaction_timeout
        options: dict[str, object] = {}
        if transactional_id:
            options["transactional_id"] = transactional_id
            options["transaction_timeout_ms"] = int(client.transaction_timeout * 1000)
        if client.compression != "none":
            options["compression_type"] = client.compression
        self._connect = partial(
            client.connect,
            KafkaProducer,
            acks="all",
            batch_size=min(BATCH_BYTES, largest),
            linger_ms=LINGER_MS,
            delivery_timeout_ms=int(client.transaction_timeout * 1000),
            request_timeout_ms=int(client.transaction_timeout * 500),
            max_block_ms=int(client.patience * 1000),
            max_request_size=MAX_REQUEST_BYTES,
            retry_backoff_ms=RETRY_MS,
            allow_auto_create_topics=False,
            metrics_enabled=False,
            partitioner=KeyPartitioner(),
            **options,
        )
        self._refused = False
        self._renew()

    def take_over(self) -> None:
        """Fence whoever had the transactional id, and end its last transaction."""
        with explained("taking over the transactional id"):
            self._within(self._producer.init_transactions)

    def begin(self) -> None:
        """Begin a transaction."""
        with explained("beginning a transaction"):
            self._producer.begin_transaction()

    def write(self, outputs: Sequence[ProducerRecord]) -> None:
        """Hand over the records, and see that the brokers have every one.

        Raises RecordsRefused if they refuse some.
        """
        with explained("writing"):
            sent, stopped = self._hand_over(outputs)
            # A commit would wait for that too, but a batch that fails while kafka-python completes
            # a transaction can go unreported.
            self._producer.flush(timeout=self._seconds)
            failed = {n: future for n, future in enumerate(sent) if not future.succeeded()}
            if failed:
                self._refused = True
                require_sound({n: future.exception for n, future in failed.items()})
                self._refused = False
                next(iter(failed.values())).get(timeout=0)
            if stopped:
                raise stopped

    def _hand_over(self, outputs: Sequence[ProducerRecord]) -> tuple[list[Any], Exception | None]:
        """What became of each, as far as it went, and what ended it.

        While records are handed over, those before them may fail, and no more are taken.
        """
        sent: list[Any] = []
        send = self._producer.send
        try:
            for out, topic, partition, timestamp_ms in outputs:
                future = send(
                    topic,
                    value=out.value,
                    key=out.key,
                    headers=list(out.headers),
                    partition=partition,
                    timestamp_ms=timestamp_ms,
                )
                sent.append(future)
        except kafka_errors.KafkaError as error:
            return sent, error
        return sent, None

    def add_offsets(
        self, offsets: Mapping[Place, tuple[int, str]], group: str, member: object
    ) -> None:
        """Make the offsets and their metadata part of the transaction.

        `member` is what `Consumer.member` gave, None where nobody reads as this group.
        """
        told = {
            TopicPartition(*place): OffsetAndMetadata(offset, memo, -1)
            for place, (offset, memo) in offsets.items()
        }
        whom = member or ConsumerGroupMetadata(group)
        with explained("committing the offsets"):
            self._within(lambda: self._producer.send_offsets_to_transaction(told, whom))

    def commit(self) -> None:
        """Make it all visible at once."""
        with explained("committing"):
            self._within(self._producer.commit_transaction)

    def abort(self) -> None:
        """Take it all back."""
        with explained("aborting"):
            self._within(self._producer.abort_transaction)
        # kafka-python keeps the offsets of an aborted transaction, and adds them to the next one.
        self._producer._transaction_manager._pending_txn_offset_commits.clear()  # noqa: SLF001
        if self._refused:
            # Behind a refused batch it counts on as if the brokers had it, and they take no more.
            self.close()
            self._renew()
            self.take_over()

    def _renew(self) -> None:
        self._producer: Any = self._connect()
        self._refused = False
        name_refused(self._producer)

    def close(self) -> None:
        """Close the connection; an unfinished transaction is left to be aborted."""
        with suppress(kafka_errors.KafkaError):
            self._producer.close(timeout=CLOSE_SECONDS)

    def _within(self, do: Callable[[], None]) -> None:
        outcome: Future[None] = Future()

        def run() -> None:
            try:
                do()
                outcome.set_result(None)
            except BaseException as error:  # noqa: BLE001 - it is raised below
                outcome.set_exception(error)

        threading.Thread(target=run, name="kafka-transaction", daemon=True).start()
        if not wait([outcome], self._seconds).done:
            raise kafka_errors.KafkaTimeoutError(f"no answer for {self._seconds:g} s")
        outcome.result()


def all_headers(headers: Sequence[tuple[str, bytes | None]]) -> Headers:
    """All headers; one without a value gets an empty one."""
    return tuple((name, value or b"") for name, value in headers)


def records(
    consumed: Sequence[Any], headers: Callable[[Any], Headers] = all_headers
) -> list[Record]:
    """Records of one partition, as kafka-python gives them; at least one.

    `headers` says which of its headers a record keeps.
    """
    place = f"{consumed[0].topic}/{consumed[0].partition}/"
    return [
        Record(
            f"{place}{each.offset}",
            each.value,
            each.key,
            headers(each.headers) if each.headers else (),
            each.timestamp if each.timestamp >= 0 else None,
            each.partition,
            None,
            left_out(each.headers) if each.headers else 0,
        )
        for each in consumed
    ]
