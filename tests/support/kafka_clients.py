"""Our Kafka source and sink at work: clients, and what a test does with them."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from detectd.kafka import KafkaClient, Membership
from detectd.pipeline.records import Outgoing, Position, Topic
from detectd.sinks.kafka import KafkaSink
from detectd.sources.kafka import KafkaSource

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from detectd.pipeline.records import Record
    from tests.support.broker import Broker

SECONDS = 20.0
NORMAL = Outgoing(Topic.NORMAL, b"normal")


def source_client(broker: Broker, library: str = "kafka-python", **settings: Any) -> KafkaClient:
    """Return a client that reads, in a group of its own."""
    group = f"readers-{os.urandom(4).hex()}"
    return KafkaClient(broker.servers, library=library, group_id=group, **settings)


def sink_client(broker: Broker, library: str = "kafka-python") -> KafkaClient:
    """Return a client that writes in transactions, with an id of its own."""
    name = f"detectd-{os.urandom(4).hex()}"
    return KafkaClient(broker.servers, library=library, group_id=name, transactional_id=f"{name}-1")


def another(client: KafkaClient) -> KafkaClient:
    """The same group, another member."""
    return replace(client, membership=Membership())


@contextmanager
def started(
    client: KafkaClient,
    *topics: str,
    position: dict[str, Any] | None = None,
    acknowledges: bool = True,
) -> Iterator[KafkaSource]:
    """Start a source at the position, and close it at the end of the block."""
    with closing(KafkaSource(client, topics, acknowledges=acknowledges)) as source:
        source.start(position)
        yield source


def read(source: KafkaSource, count: int) -> tuple[list[Record], dict[str, Any]]:
    """The next `count` records and the position after them."""
    deadline = time.monotonic() + SECONDS
    records: list[Record] = []
    while True:
        batch = source.read(count - len(records), wait=0.2)
        records += batch.records
        if len(records) == count:
            return records, batch.position
        assert time.monotonic() < deadline, f"only {len(records)} of {count} records came"


@contextmanager
def living(client: KafkaClient, *topics: str, acknowledges: bool = True) -> Iterator[list[str]]:
    """Another member, which reads in a thread of its own. Gives the ids of what it has read."""
    seen: list[str] = []
    stop = threading.Event()

    def live() -> None:
        with started(client, *topics, acknowledges=acknowledges) as source:
            while not stop.is_set():
                batch = source.read(100, wait=0.1)
                source.acknowledge(batch.position)
                seen.extend(record.id for record in batch.records)

    with ThreadPoolExecutor(1) as aside:
        life = aside.submit(live)
        try:
            yield seen
        finally:
            stop.set()
    life.result()


@contextmanager
def opened(client: KafkaClient, topics: Mapping[Topic, str]) -> Iterator[tuple[KafkaSink, Any]]:
    """Open a sink, give it and the last position, and close it at the end."""
    with closing(KafkaSink(client, topics)) as sink:
        yield sink, sink.open()


def file_position(line: int) -> Position:
    """Return the position of a file source after so many lines."""
    return Position({"path": "events.jsonl", "line": line}, {"observed": {"normal": line}})


def echo(records: list[Record]) -> list[Outgoing]:
    """Return each record as a normal output."""
    return [Outgoing(Topic.NORMAL, record.value or b"", partition=0) for record in records]
