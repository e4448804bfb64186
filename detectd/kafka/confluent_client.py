"""The faster transport: librdkafka, by the confluent-kafka package (an extra)."""

from __future__ import annotations

import ctypes
import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from detectd.errors import BrokerUnavailableError, ConfigError
from detectd.extras import how_to_get
from detectd.kafka import PartitionBatch
from detectd.pipeline.records import Record

try:
    from confluent_kafka import Consumer as NativeConsumer
    from confluent_kafka import KafkaError, KafkaException, TopicPartition
    from confluent_kafka import Producer as NativeProducer
except ImportError:
    raise ConfigError(
        f'kafka.client: "confluent" needs confluent-kafka; {how_to_get("confluent")}'
    ) from None

from detectd.kafka.confluent_errors import explained, native_meaning
from detectd.kafka.error_codes import Kind
from detectd.kafka.errors import RecordsRefused
from detectd.kafka.headers import left_out, passed_on, warn_once
from detectd.kafka.rebalances import Displaced

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from detectd.kafka import KafkaClient, Place, ProducerRecord
    from detectd.kafka.rebalances import Listener

LINGER_MS = 5
MAX_MESSAGE_BYTES = 64 * 1024 * 1024

# A flush that waits for records which will not be sent is looked after so often.
FLUSH_SECONDS = 0.2
HEAR_SECONDS = 1.0

# ctypes raises an error that is pending after a call of Python's own interface.
raise_pending = ctypes.pythonapi.PyErr_Occurred

# librdkafka's errors for records beside and behind one that failed.
BESIDE = ("_PURGE_QUEUE", "_PURGE_INFLIGHT", "_INVALID_DIFFERENT_RECORD")

# librdkafka's own number for a partition that is left to the key.
BY_KEY = -1

# librdkafka waits for all the records that it is asked for, and so long with errors, too.
CONSUME_SECONDS = 0.5

# No offset, one that the brokers do not have, or one of another log.
DISPLACED = {KafkaError._AUTO_OFFSET_RESET, KafkaError._LOG_TRUNCATION}  # noqa: SLF001

# librdkafka tells of each lost connection; whether that matters is seen by what fails after it.
log = logging.getLogger("kafka.librdkafka")


class Consumer:
    """A member of a group that shares its partitions cooperatively."""

    def __init__(self, client: KafkaClient, topics: Sequence[str], listener: Listener) -> None:
        self._listener = listener
        self._patience = client.patience
        # Kept while we leave the group and join it again.
        self._displaced = client.membership.displaced
        # Where partitions that are just being assigned begin, if not where the group says.
        self._beginnings: dict[Place, int] | None = None
        options = {
            "group.id": client.group_id,
            "auto.offset.reset": "error",  # The source says where to begin.
            "topic.metadata.refresh.interval.ms": int(client.metadata_age * 1000),
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "allow.auto.create.topics": False,
            "partition.assignment.strategy": "cooperative-sticky",
            "fetch.max.bytes": client.fetch_bytes,
            "queued.max.messages.kbytes": client.fetch_bytes // 1024,
            "session.timeout.ms": int(client.session_timeout * 1000),
            "heartbeat.interval.ms": int(min(1.0, client.session_timeout / 4) * 1000),
            "max.poll.interval.ms": int(client.max_poll_interval * 1000),
        }
        if client.group_instance_id:
            options["group.instance.id"] = client.group_instance_id
        with explained("joining the group"):
            self._consumer: Any = NativeConsumer(_common(client) | options, logger=log)
            self._consumer.subscribe(
                list(topics), on_assign=self._assigned, on_revoke=self._gone, on_lost=self._gone
            )

    def poll(self, limit: int, wait: float) -> list[PartitionBatch]:
        """Up to `limit` records within `wait` seconds, or sooner fewer."""
        with explained("reading"):
            messages = self._consumer.consume(limit, min(wait, CONSUME_SECONDS))
            for message in messages:
                if message.error():
                    self._fail(message)
        places: dict[Place, list[Any]] = {}
        for message in messages:
            places.setdefault((message.topic(), message.partition()), []).append(message)
        return [
            PartitionBatch(
                place, found[0].offset(), found[-1].offset() + 1, _records(*place, found)
            )
            for place, found in places.items()
        ]

    def member(self) -> object:
        """As whom we own our partitions now; None where the group has put us out."""
        member: object = self._consumer.consumer_group_metadata()
        return member if self._consumer.memberid() else None

    def member_id(self) -> str:
        """Return the name that the group has given us, empty before it has."""
        return self._consumer.memberid() or ""

    def seek(self, place: Place, offset: int) -> None:
        """Go on there."""
        if self._beginnings is not None:
            self._beginnings[place] = offset
        else:
            with explained("rewinding"):
                self._consumer.seek(TopicPartition(*place, offset))

    def bounds(self, place: Place, seconds: float) -> tuple[int, int]:
        """Return the first offset that the brokers have, and the one after the last."""
        with explained(f"asking for the offsets of {place[0]}/{place[1]}"):
            low, high = self._consumer.get_watermark_offsets(TopicPartition(*place), seconds)
        return low, high

    def commit(self, offsets: Mapping[Place, int], *, wait: bool) -> None:
        """Tell the group where we are, as well as it goes."""
        told = [TopicPartition(*place, offset) for place, offset in offsets.items()]
        with suppress(KafkaException):
            if told:
                self._consumer.commit(offsets=told, asynchronous=not wait)

    def hold(self, wait: float) -> None:
        """Take part in the group's life without taking records."""
        with explained("waiting"):
            owned = self._consumer.assignment()
            self._consumer.pause(owned)
        for run in self.poll(1, wait):  # came during the poll
            self.seek(run.place, run.first)
        with explained("waiting"):
            self._consumer.resume(self._consumer.assignment())

    def end(self, place: Place) -> int | None:
        """The offset after the last record that the brokers have, as far as they have told."""
        with suppress(KafkaException):
            _, high = self._consumer.get_watermark_offsets(TopicPartition(*place), cached=True)
            return high if high >= 0 else None
        return None

    def probe(self, seconds: float) -> None:
        """Raise Interrupted where the brokers do not answer in time."""
        with explained("asking whether the brokers are there"):
            self._consumer.list_topics(timeout=seconds)

    def close(self) -> None:
        """Leave the group."""
        with suppress(KafkaException):
            self._consumer.close()

    def _fail(self, message: Any) -> NoReturn:
        """Raise what the message says.

        librdkafka has given up a partition without records at its offset, and does not let us seek
        it. So we leave the group, and begin with the partition elsewhere when it comes again.
        """
        error, place = message.error(), (message.topic(), message.partition())
        if error.code() not in DISPLACED:
            raise KafkaException(error)
        self._displaced[place] = Displaced(message.offset())
        raise BrokerUnavailableError(f"{place[0]}/{place[1]}: {error.str()}; beginning elsewhere")

    def _assigned(self, _: object, partitions: Sequence[TopicPartition]) -> None:
        self._beginnings = {}
        self._listener.assigned([(each.topic, each.partition) for each in partitions])
        self._listener.displaced(self._without_records(partitions))
        begin, self._beginnings = self._beginnings, None
        for each in partitions:
            each.offset = begin.get((each.topic, each.partition), each.offset)
        self._consumer.incremental_assign(partitions)

    def _gone(self, _: object, partitions: Sequence[TopicPartition]) -> None:
        self._listener.revoked([(each.topic, each.partition) for each in partitions])

    def _without_records(self, partitions: Sequence[TopicPartition]) -> dict[Place, Displaced]:
        """Return those that the group has no offset of, or whose offset has turned out wrong."""
        assert self._beginnings is not None
        places = {(each.topic, each.partition): each for each in partitions}
        unknown = [each for place, each in places.items() if place not in self._beginnings]
        committed: list[TopicPartition] = []
        # It fails while a transaction of a predecessor is open; librdkafka then waits by itself.
        with suppress(KafkaException):
            committed = self._consumer.committed(unknown, self._patience) if unknown else []
        none = {(each.topic, each.partition): Displaced() for each in committed if each.offset < 0}
        wrong = {place: self._displaced.pop(place) for place in places if place in self._displaced}
        return none | wrong


class Producer:
    """Writes records, in transactions where there is a transactional id.

    Each call may raise DetectdError; an open transaction is then to be aborted. `largest` bounds
    the bytes of a batch where the topics allow less than usual.
    """

    def __init__(self, client: KafkaClient, transactional_id: str | None, largest: int) -> None:
        self._client = client
        self._seconds = client.transaction_timeout
        self._transactional = transactional_id is not None
        self._groups: dict[str, Any] = {}
        options: dict[str, object] = {
            "enable.idempotence": True,
            "linger.ms": LINGER_MS,
            "batch.size": min(1_000_000, largest),
            "message.max.bytes": MAX_MESSAGE_BYTES,
            "delivery.timeout.ms": int(client.transaction_timeout * 1000),
            "compression.type": client.compression,
            "delivery.report.only.error": True,
            # As Kafka's own clients do it, and kafka-python; librdkafka's default differs.
            "partitioner": "murmur2_random",
        }
        if transactional_id:
            options["transactional.id"] = transactional_id
            options["transaction.timeout.ms"] = int(client.transaction_timeout * 1000)
        with explained("connecting"):
            self._producer: Any = NativeProducer(_common(client) | options, logger=log)

    def take_over(self) -> None:
        """Fence whoever had the transactional id, and end its last transaction."""
        with explained("taking over the transactional id"):
            self._producer.init_transactions(self._seconds)

    def begin(self) -> None:
        """Begin a transaction."""
        with explained("beginning a transaction"):
            self._producer.begin_transaction()

    def write(self, outputs: Sequence[ProducerRecord]) -> None:
        """Hand over the records, and see that the brokers have every one.

        Raises RecordsRefused if they refuse some. librdkafka does not say which: that one record of
        a batch is refused it tells of each record of the batch.
        """
        deadline = time.monotonic() + self._seconds
        # One for each write: reports of an aborted one may come later.
        failures: list[Any] = []
        with explained("writing"):
            try:
                self._hand_over(outputs, deadline, failures)
                left = len(outputs)
                # Behind a record that is refused the others wait until the transaction is aborted.
                while left and not failures and time.monotonic() < deadline:
                    left = self._producer.flush(FLUSH_SECONDS)
            except KafkaException:
                # While records are handed over, those before them may fail; that is told later.
                if not self._cause(failures):
                    raise
            if failures:
                cause = self._cause(failures)
                if (found := native_meaning(cause)).kind is Kind.RECORD:
                    raise RecordsRefused({}, dict.fromkeys(range(len(outputs)), found))
                # What has ended the transaction is told by its next step.
                if not self._transactional or found.name not in BESIDE:
                    raise KafkaException(cause)
                return
        if left:
            raise BrokerUnavailableError(
                f"Kafka failed, writing: no answer for {self._seconds:g} s"
            )

    def _hand_over(
        self, outputs: Sequence[ProducerRecord], deadline: float, failures: list[Any]
    ) -> None:
        def reported(error: Any, _: object) -> None:
            if error:
                failures.append(error)

        produce = self._producer.produce
        for out, topic, partition, timestamp_ms in outputs:
            record = {
                "value": out.value,
                "key": out.key,
                "headers": list(out.headers),
                "timestamp": timestamp_ms or 0,
                "partition": BY_KEY if partition is None else partition,
                "on_delivery": reported,
            }
            try:
                produce(topic, **record)
            except BufferError:
                self._insist(topic, record, deadline)

    def _cause(self, failures: list[Any]) -> Any:
        """The failure that is not only that of a record behind another; None if there is none."""
        deadline = time.monotonic() + HEAR_SECONDS
        while True:
            telling = [error for error in failures if error.name() not in BESIDE]
            if telling or time.monotonic() > deadline:
                return (telling or failures or [None])[0]
            self._producer.poll(FLUSH_SECONDS)

    def add_offsets(
        self, offsets: Mapping[Place, tuple[int, str]], group: str, member: object
    ) -> None:
        """Make the offsets and their metadata part of the transaction.

        `member` is what `Consumer.member` gave, None where nobody reads as this group.
        """
        told = [TopicPartition(*place, at, memo) for place, (at, memo) in offsets.items()]
        with explained("committing the offsets"):
            whom = member or self._member_of(group)
            self._producer.send_offsets_to_transaction(told, whom, self._seconds)

    def commit(self) -> None:
        """Make it all visible at once."""
        with explained("committing"):
            self._producer.commit_transaction(self._seconds)

    def abort(self) -> None:
        """Take it all back."""
        with explained("aborting"):
            self._producer.abort_transaction(self._seconds)

    def close(self) -> None:
        """Close the connection; an unfinished transaction is left to be aborted."""
        for reader in self._groups.values():
            reader.close()
        self._groups.clear()
        with suppress(KafkaException):
            self._producer.purge()
            self._producer.flush(0)

    def _insist(self, topic: str, record: dict[str, Any], deadline: float) -> None:
        """The queue is full: wait until the brokers have taken some of it."""
        while time.monotonic() < deadline:
            self._producer.poll(0.1)
            with suppress(BufferError):
                self._producer.produce(topic, **record)
                return
        raise BrokerUnavailableError("Kafka failed, writing: the brokers take nothing")

    def _member_of(self, group: str) -> object:
        if group not in self._groups:
            self._groups[group] = NativeConsumer(_common(self._client) | {"group.id": group})
        return self._groups[group].consumer_group_metadata()


def _common(client: KafkaClient) -> dict[str, Any]:
    return {
        "bootstrap.servers": ",".join(client.bootstrap_servers),
        "client.id": client.client_id,
        "reconnect.backoff.max.ms": 1000,
        **client.native,
    }


def _records(topic: str, partition: int, messages: Sequence[Any]) -> list[Record]:
    found = []
    for message in messages:
        kind, stamp = message.timestamp()
        headers = _headers(message)
        found.append(
            Record(
                f"{topic}/{partition}/{message.offset()}",
                message.value(),
                message.key(),
                passed_on(headers),
                stamp if kind and stamp >= 0 else None,
                partition,
                dropped=left_out(headers),
            )
        )
    return found


def _headers(message: Any) -> Sequence[tuple[str, bytes | None]]:
    """The headers; none of them if one has a name that is not UTF-8.

    confluent-kafka then leaves an error pending beside a list that has no object for the name. So
    the list is not looked into before that is asked, and the message is not asked again.
    """
    try:
        headers = message.headers()
        if headers:
            raise_pending()
    except UnicodeDecodeError:
        warn_once(
            "source.header_name",
            offset=message.offset(),
            reason="the name of a header is not UTF-8, and confluent-kafka reads none of that "
            "record's headers; the record is answered without them",
            hint='correct the producer, or set kafka.client = "kafka-python"',
        )
        return ()
    return headers or ()
