"""A producer by librdkafka."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer as NativeConsumer
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka import Producer as NativeProducer

from detectd.errors import BrokerUnavailableError
from detectd.kafka.confluent_errors import explained, native_meaning
from detectd.kafka.confluent_options import common, log
from detectd.kafka.error_codes import Kind
from detectd.kafka.errors import RecordsRefused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from detectd.kafka import KafkaClient, Place, ProducerRecord

LINGER_MS = 5
MAX_MESSAGE_BYTES = 64 * 1024 * 1024

# How often to check a flush that waits for records which will not be sent, in seconds.
FLUSH_SECONDS = 0.2
HEAR_SECONDS = 1.0

# librdkafka's errors for records beside and after a failed one.
BESIDE = ("_PURGE_QUEUE", "_PURGE_INFLIGHT", "_INVALID_DIFFERENT_RECORD")

# librdkafka's number for a partition chosen by key.
BY_KEY = -1


class Producer:
    """Write records, in transactions if there is a transactional id.

    Each call may raise DetectdError; abort an open transaction then. `largest` bounds the bytes of
    a batch if the topics allow less than usual.
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
            self._producer: Any = NativeProducer(common(client) | options, logger=log)

    def take_over(self) -> None:
        """Fence the process that had the transactional id, and end its last transaction."""
        with explained("claiming the transactional id"):
            self._producer.init_transactions(self._seconds)

    def begin(self) -> None:
        """Begin a transaction."""
        with explained("beginning a transaction"):
            self._producer.begin_transaction()

    def write(self, outputs: Sequence[ProducerRecord]) -> None:
        """Send the records, and wait until the brokers have all of them.

        Raise RecordsRefused if they refuse some.
        """
        deadline = time.monotonic() + self._seconds
        # One for each write, since reports of an aborted one may arrive later.
        failures: list[Any] = []
        with explained("writing"):
            try:
                self._hand_over(outputs, deadline, failures)
                left = len(outputs)
                # After a refused record the others wait until the transaction is aborted.
                while left and not failures and time.monotonic() < deadline:
                    left = self._producer.flush(FLUSH_SECONDS)
            except KafkaException:
                # Earlier records may fail while others are sent; that is reported later.
                if not self._cause(failures):
                    raise
            if failures:
                cause = self._cause(failures)
                if (found := native_meaning(cause)).kind is Kind.RECORD:
                    raise RecordsRefused({}, dict.fromkeys(range(len(outputs)), found))
                # The transaction's next step reports why it ended.
                if not self._transactional or found.name not in BESIDE:
                    raise KafkaException(cause)
                return
        if left:
            raise BrokerUnavailableError(
                f"Kafka failed while writing: no answer for {self._seconds:g} s"
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
        """Return the original failure, not one of a record after it; None if there is none."""
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

        `member` is the result of `Consumer.member`, None if no consumer reads as this group.
        """
        told = [TopicPartition(*place, at, memo) for place, (at, memo) in offsets.items()]
        with explained("committing the offsets"):
            whom = member or self._member_of(group)
            self._producer.send_offsets_to_transaction(told, whom, self._seconds)

    def commit(self) -> None:
        """Commit the transaction, which makes it all visible at once."""
        with explained("committing"):
            self._producer.commit_transaction(self._seconds)

    def abort(self) -> None:
        """Abort the transaction."""
        with explained("aborting"):
            self._producer.abort_transaction(self._seconds)

    def close(self) -> None:
        """Close the connection; the broker aborts an unfinished transaction."""
        for reader in self._groups.values():
            reader.close()
        self._groups.clear()
        with suppress(KafkaException):
            self._producer.purge()
            self._producer.flush(0)

    def _insist(self, topic: str, record: dict[str, Any], deadline: float) -> None:
        """Retry until the queue accepts the record."""
        while time.monotonic() < deadline:
            self._producer.poll(0.1)
            with suppress(BufferError):
                self._producer.produce(topic, **record)
                return
        raise BrokerUnavailableError("Kafka failed while writing: the brokers accept nothing")

    def _member_of(self, group: str) -> object:
        if group not in self._groups:
            self._groups[group] = NativeConsumer(common(self._client) | {"group.id": group})
        return self._groups[group].consumer_group_metadata()
