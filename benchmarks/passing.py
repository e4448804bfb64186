"""Kafka to Kafka without scoring: what a client itself costs, with the same transactions.

A transaction takes `batch` records, or what has come within `seconds`, as the service's does.
`python -m benchmarks.passing LIBRARY SERVERS SOURCE TARGET BATCH SECONDS` passes records on until
it is killed; `pass_through` does so for a number of records and gives what that cost.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from kafka import KafkaConsumer, KafkaProducer
from kafka.structs import OffsetAndMetadata

if TYPE_CHECKING:
    from collections.abc import Callable

    Pass = Callable[[], int]


class Cost(NamedTuple):
    """What a record took: seconds by the clock, and of this process's processor time."""

    clock: float
    processor: float


def by_kafka_python(servers: str, source: str, target: str, batch: int, seconds: float) -> Pass:
    """A loop by kafka-python, with the options that the service gives it."""
    consumer = KafkaConsumer(
        source,
        bootstrap_servers=servers,
        group_id=f"{target}-pass",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
        metrics_enabled=False,
    )
    producer = KafkaProducer(
        bootstrap_servers=servers,
        transactional_id=f"{target}-pass",
        batch_size=256 * 1024,
        linger_ms=20,
        retry_backoff_ms=20,
        metrics_enabled=False,
    )
    producer.init_transactions()

    def once() -> int:
        records: list[Any] = []
        after = {}
        deadline = time.monotonic() + seconds
        while len(records) < batch and (left := deadline - time.monotonic()) > 0:
            for place, found in consumer.poll(
                1000 * left, max_records=batch - len(records)
            ).items():
                after[place] = OffsetAndMetadata(found[-1].offset + 1, "", -1)
                records += found
        if not records:
            return 0
        producer.begin_transaction()
        for r in records:
            producer.send(target, r.value, key=r.key, headers=r.headers, timestamp_ms=r.timestamp)
        producer.flush()
        producer.send_offsets_to_transaction(after, consumer.group_metadata())
        producer.commit_transaction()
        return len(records)

    return once


def by_confluent(servers: str, source: str, target: str, batch: int, seconds: float) -> Pass:
    """The same loop by confluent-kafka."""
    from confluent_kafka import Consumer, Producer, TopicPartition

    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": f"{target}-pass",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
        }
    )
    consumer.subscribe([source])
    producer = Producer(
        {
            "bootstrap.servers": servers,
            "transactional.id": f"{target}-pass",
            "linger.ms": 5,
            "partitioner": "murmur2_random",
        }
    )
    producer.init_transactions()

    def once() -> int:
        found = consumer.consume(batch, seconds)
        if not found:
            return 0
        producer.begin_transaction()
        after: dict[int, int] = {}
        for r in found:
            producer.produce(
                target, r.value(), key=r.key(), headers=r.headers(), timestamp=r.timestamp()[1]
            )
            partition, offset = r.partition(), r.offset()
            assert partition is not None
            assert offset is not None
            after[partition] = offset + 1
        producer.send_offsets_to_transaction(
            [TopicPartition(source, p, at) for p, at in after.items()],
            consumer.consumer_group_metadata(),
        )
        producer.commit_transaction()
        return len(found)

    return once


LIBRARIES = {"kafka-python": by_kafka_python, "confluent": by_confluent}


def pass_through(
    library: str, servers: str, source: str, target: str, batch: int, seconds: float, count: int
) -> Cost:
    """The cost of `count` records, after the first batch."""
    once = LIBRARIES[library](servers, source, target, batch, seconds)
    first = 0
    while not first:
        first = once()
    started, busy, passed = time.perf_counter(), time.process_time(), first
    while passed < count:
        passed += once()
    left = count - first
    return Cost((time.perf_counter() - started) / left, (time.process_time() - busy) / left)


if __name__ == "__main__":
    library, servers, source, target, batch, seconds = sys.argv[1:]
    once = LIBRARIES[library](servers, source, target, int(batch), float(seconds))
    while True:
        once()
