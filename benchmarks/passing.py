"""Kafka to Kafka without scoring: what a client itself costs, with the same transactions.

`python -m benchmarks.passing LIBRARY SERVERS SOURCE TARGET BATCH` passes records on until it is
killed; `pass_through` does so for a number of records and gives the seconds that took.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from kafka import KafkaConsumer, KafkaProducer
from kafka.structs import OffsetAndMetadata

if TYPE_CHECKING:
    from collections.abc import Callable

    Pass = Callable[[], int]


def by_kafka_python(servers: str, source: str, target: str, batch: int) -> Pass:
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
        polled = consumer.poll(1000, max_records=batch)
        if not polled:
            return 0
        producer.begin_transaction()
        for found in polled.values():
            for r in found:
                producer.send(
                    target, r.value, key=r.key, headers=r.headers, timestamp_ms=r.timestamp
                )
        producer.flush()
        after = {p: OffsetAndMetadata(f[-1].offset + 1, "", -1) for p, f in polled.items()}
        producer.send_offsets_to_transaction(after, consumer.group_metadata())
        producer.commit_transaction()
        return sum(map(len, polled.values()))

    return once


def by_confluent(servers: str, source: str, target: str, batch: int) -> Pass:
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
        found = consumer.consume(batch, 0.2)
        if not found:
            return 0
        producer.begin_transaction()
        after: dict[int, int] = {}
        for r in found:
            producer.produce(
                target, r.value(), key=r.key(), headers=r.headers(), timestamp=r.timestamp()[1]
            )
            after[r.partition()] = r.offset() + 1
        producer.send_offsets_to_transaction(
            [TopicPartition(source, p, at) for p, at in after.items()],
            consumer.consumer_group_metadata(),
        )
        producer.commit_transaction()
        return len(found)

    return once


LIBRARIES = {"kafka-python": by_kafka_python, "confluent": by_confluent}


def pass_through(library: str, servers: str, source: str, target: str, count: int) -> float:
    """Seconds a record, after the first batch."""
    once = LIBRARIES[library](servers, source, target, 1000)
    first = 0
    while not first:
        first = once()
    started, passed = time.perf_counter(), first
    while passed < count:
        passed += once()
    return (time.perf_counter() - started) / (count - first)


if __name__ == "__main__":
    library, servers, source, target, batch = sys.argv[1:]
    once = LIBRARIES[library](servers, source, target, int(batch))
    while True:
        once()
