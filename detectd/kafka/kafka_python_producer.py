"""A producer by kafka-python."""

from __future__ import annotations

import threading
from concurrent.futures import Future, wait
from contextlib import suppress
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from kafka import KafkaProducer, TopicPartition
from kafka import errors as kafka_errors
from kafka.partitioner.abc import Partitioner
from kafka.partitioner.default import murmur2
from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata

from detectd.kafka import CLOSE_SECONDS
from detectd.kafka.batch_refusals import name_refused, require_sound
from detectd.kafka.errors import explained
from detectd.pipeline import memory_budget

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from detectd.kafka import KafkaClient, Place, ProducerRecord

# The brokers finish a transaction after acknowledging its commit, and only then allow the next one;
# kafka-python waits this long between its attempts.
RETRY_MS = 20

# Larger requests cost less per record; a flush does not wait for a full one.
BATCH_BYTES = 256 * 1024
LINGER_MS = 20

# A single output may be large; the topic's max.message.bytes decides, not the client.
MAX_REQUEST_BYTES = 64 * 1024 * 1024


class KeyPartitioner(Partitioner):  # type: ignore[misc]
    """Kafka's own partitioner for records with a key; others have an explicit partition.

    kafka-python takes three microseconds to hash a key of eight bytes, and keys repeat.
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
        """Return the partition of the key."""
        hash_of = self.hashed if len(key) <= memory_budget.CACHED_KEY_BYTES else murmur2
        return int((hash_of(key) & 0x7FFFFFFF) % len(cluster.partitions_for_topic(topic)))


class Producer:
    """Write records, in transactions if there is a transactional id.

    `largest` bounds the bytes of a batch if the topics allow less than usual.

    Each call may raise DetectdError; abort an open transaction then. kafka-python has no timeout
    for most calls, so they have one here.
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
        """Fence the process that had the transactional id, and end its last transaction."""
        with explained("claiming the transactional id"):
            self._within(self._producer.init_transactions)

    def begin(self) -> None:
        """Begin a transaction."""
        with explained("beginning a transaction"):
            self._producer.begin_transaction()

    def write(self, outputs: Sequence[ProducerRecord]) -> None:
        """Send the records, and wait until the brokers have all of them.

        Raise RecordsRefused if they refuse some.
        """
        with explained("writing"):
            sent, stopped = self._hand_over(outputs)
            # A commit would wait, too, but kafka-python may not report a batch that fails while it
            # completes a transaction.
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
        """Return the results of the records sent, and the exception that stopped the rest.

        Earlier records may fail while others are sent; then no more are accepted.
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

        `member` is the result of `Consumer.member`, None if no consumer reads as this group.
        """
        told = {
            TopicPartition(*place): OffsetAndMetadata(offset, memo, -1)
            for place, (offset, memo) in offsets.items()
        }
        whom = member or ConsumerGroupMetadata(group)
        with explained("committing the offsets"):
            self._within(lambda: self._producer.send_offsets_to_transaction(told, whom))

    def commit(self) -> None:
        """Commit the transaction, which makes it all visible at once."""
        with explained("committing"):
            self._within(self._producer.commit_transaction)

    def abort(self) -> None:
        """Abort the transaction."""
        with explained("aborting"):
            self._within(self._producer.abort_transaction)
        # kafka-python would add the offsets of an aborted transaction to the next one.
        self._producer._transaction_manager._pending_txn_offset_commits.clear()  # noqa: SLF001
        if self._refused:
            # After a refused batch its sequence numbers continue as if the batch had been accepted,
            # and the brokers refuse all later ones.
            self.close()
            self._renew()
            self.take_over()

    def _renew(self) -> None:
        self._producer: Any = self._connect()
        self._refused = False
        name_refused(self._producer)

    def close(self) -> None:
        """Close the connection; the broker aborts an unfinished transaction."""
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
