"""The input of a campaign: keyed events, each with a number of its own, and poison among them."""

from __future__ import annotations

import json
import time
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from kafka import KafkaProducer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.broker import Broker

FEATURES = ("a", "b", "c", "d")
NUMBER = "number"
KEYS = 997
POISON = 0.01
ANOMALIES = 0.03

# The producer outlasts any outage: what it gave up would not be missed by the service.
PATIENCE_MS = 600_000
PACE = 500


@dataclass(frozen=True)
class Stream:
    """`count` events, the same for the same seed; `poison` has the numbers of the bad ones."""

    count: int
    seed: int

    @cached_property
    def rows(self) -> list[list[float]]:
        rng = np.random.default_rng(self.seed)
        shape = (self.count, len(FEATURES))
        far_out = rng.random((self.count, 1)) < ANOMALIES
        rows: list[list[float]] = (rng.normal(size=shape) + 4 * far_out).tolist()
        return rows

    @cached_property
    def poison(self) -> frozenset[int]:
        rng = np.random.default_rng(self.seed + 1)
        return frozenset(np.flatnonzero(rng.random(self.count) < POISON).tolist())

    def event(self, number: int) -> dict[str, Any]:
        return {NUMBER: number} | dict(zip(FEATURES, self.rows[number], strict=True))

    def record(self, number: int) -> dict[str, Any]:
        """The arguments of `KafkaProducer.send`."""
        return {
            "value": self._spoiled(number) if number in self.poison else encode(self.event(number)),
            "key": b"k%d" % (number % KEYS),
            "headers": [(NUMBER, b"%d" % number)],
        }

    def _spoiled(self, number: int) -> bytes:
        event = self.event(number)
        kinds = (
            b"\xff\xfe" + encode(event),
            encode(event)[:-1],
            encode({name: value for name, value in event.items() if name != FEATURES[-1]}),
            encode(event | {FEATURES[0]: "much"}),
        )
        return kinds[number % len(kinds)]


def encode(event: dict[str, Any]) -> bytes:
    return json.dumps(event, separators=(",", ":")).encode()


def produce(
    broker: Broker, topic: str, stream: Stream, numbers: Sequence[int], seconds: float = 0.0
) -> None:
    """Write these events, evenly over so many seconds, and see that the brokers have them."""
    failures: list[BaseException] = []
    producer = broker.client(
        KafkaProducer,
        linger_ms=20,
        batch_size=1 << 16,
        max_block_ms=PATIENCE_MS,
        delivery_timeout_ms=PATIENCE_MS,
    )
    started = time.monotonic()
    with closing(producer):
        for done, number in enumerate(numbers):
            producer.send(topic, **stream.record(number)).add_errback(failures.append)
            if done % PACE == 0:
                due = started + seconds * done / len(numbers)
                time.sleep(max(0.0, due - time.monotonic()))
        producer.flush(timeout=PATIENCE_MS / 1000)
    if failures:
        raise failures[0]
