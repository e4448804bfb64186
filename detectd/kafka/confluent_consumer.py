"""A consumer by librdkafka."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from confluent_kafka import Consumer as NativeConsumer
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from detectd.errors import BrokerUnavailableError
from detectd.kafka import PartitionBatch
from detectd.kafka.confluent_errors import explained
from detectd.kafka.confluent_options import common, log
from detectd.kafka.headers import left_out, passed_on, warn_once
from detectd.kafka.rebalances import Displaced
from detectd.pipeline.records import Record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from detectd.kafka import KafkaClient, Place
    from detectd.kafka.rebalances import Listener

# ctypes raises a pending error after a call of Python's C API.
raise_pending = ctypes.pythonapi.PyErr_Occurred

# librdkafka waits for all requested records, and this long after errors, too.
CONSUME_SECONDS = 0.5

# No offset, one that the brokers do not have, or one of another log.
DISPLACED = {KafkaError._AUTO_OFFSET_RESET, KafkaError._LOG_TRUNCATION}  # noqa: SLF001


class Consumer:
    """A member of a group that shares its partitions cooperatively."""

    def __init__(self, client: KafkaClient, topics: Sequence[str], listener: Listener) -> None:
        self._listener = listener
        self._patience = client.patience
        # kept while leaving and rejoining the group
        self._displaced = client.membership.displaced
        # The start of partitions being assigned, if not the group's offset.
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
            self._consumer: Any = NativeConsumer(common(client) | options, logger=log)
            self._consumer.subscribe(
                list(topics), on_assign=self._assigned, on_revoke=self._gone, on_lost=self._gone
            )

    def poll(self, limit: int, wait: float) -> list[PartitionBatch]:
        """Return up to `limit` records, waiting at most `wait` seconds."""
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
        """Return the current group membership; None if the group has removed it."""
        member: object = self._consumer.consumer_group_metadata()
        return member if self._consumer.memberid() else None

    def member_id(self) -> str:
        """Return the member id that the group assigned, empty before that."""
        return self._consumer.memberid() or ""

    def seek(self, place: Place, offset: int) -> None:
        """Resume at that offset."""
        if self._beginnings is not None:
            self._beginnings[place] = offset
        else:
            with explained("rewinding"):
                self._consumer.seek(TopicPartition(*place, offset))

    def bounds(self, place: Place, seconds: float) -> tuple[int, int]:
        """Return the first offset that the brokers have, and the one after the last."""
        with explained(f"reading the offsets of {place[0]}/{place[1]}"):
            low, high = self._consumer.get_watermark_offsets(TopicPartition(*place), seconds)
        return low, high

    def commit(self, offsets: Mapping[Place, int], *, wait: bool) -> None:
        """Commit the offsets to the group, as far as possible."""
        told = [TopicPartition(*place, offset) for place, offset in offsets.items()]
        with suppress(KafkaException):
            if told:
                self._consumer.commit(offsets=told, asynchronous=not wait)

    def hold(self, wait: float) -> None:
        """Poll the group without consuming records."""
        with explained("waiting"):
            owned = self._consumer.assignment()
            self._consumer.pause(owned)
        for run in self.poll(1, wait):  # came during the poll
            self.seek(run.place, run.first)
        with explained("waiting"):
            self._consumer.resume(self._consumer.assignment())

    def end(self, place: Place) -> int | None:
        """Return the last known end offset of the partition."""
        with suppress(KafkaException):
            _, high = self._consumer.get_watermark_offsets(TopicPartition(*place), cached=True)
            return high if high >= 0 else None
        return None

    def probe(self, seconds: float) -> None:
        """Raise BrokerUnavailableError if the brokers do not respond in time."""
        with explained("checking that the brokers are up"):
            self._consumer.list_topics(timeout=seconds)

    def close(self) -> None:
        """Leave the group."""
        with suppress(KafkaException):
            self._consumer.close()

    def _fail(self, message: Any) -> NoReturn:
        """Raise the error in the message.

        librdkafka stops a partition without records at its offset, and does not allow a seek. So
        leave the group, and begin the partition elsewhere when it is assigned again.
        """
        error, place = message.error(), (message.topic(), message.partition())
        if error.code() not in DISPLACED:
            raise KafkaException(error)
        self._displaced[place] = Displaced(message.offset())
        raise BrokerUnavailableError(f"{place[0]}/{place[1]}: {error.str()}; starting elsewhere")

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
        """Return partitions without an offset in the group, or with an invalid one."""
        assert self._beginnings is not None
        places = {(each.topic, each.partition): each for each in partitions}
        unknown = [each for place, each in places.items() if place not in self._beginnings]
        committed: list[TopicPartition] = []
        # It fails while a predecessor's transaction is open; librdkafka then waits by itself.
        with suppress(KafkaException):
            committed = self._consumer.committed(unknown, self._patience) if unknown else []
        none = {(each.topic, each.partition): Displaced() for each in committed if each.offset < 0}
        wrong = {place: self._displaced.pop(place) for place in places if place in self._displaced}
        return none | wrong


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
    """Return the headers; none of them if one has a name that is not UTF-8.

    confluent-kafka then leaves an error pending, and a list without an object for the name. So the
    list is not read before that is checked, and the message is not read again.
    """
    try:
        headers = message.headers()
        if headers:
            raise_pending()
    except UnicodeDecodeError:
        warn_once(
            "source.header_name",
            offset=message.offset(),
            reason="a header name is not UTF-8, so confluent-kafka cannot read that record's "
            "headers; the record is judged without them",
            hint='correct the producer, or set kafka.client = "kafka-python"',
        )
        return ()
    return headers or ()
