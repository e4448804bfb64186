"""From producing to being readable as committed: the service's latency and the plain loop's."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from confluent_kafka import Consumer, TopicPartition

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.kafka import Bench

    Row = dict[str, Any]

SECONDS = 12
ROUNDS = 3
BATCH, BATCH_SECONDS = 1_000, 0.02
SHARES = (50, 99, 99.9)
MOST = 2.0


def rows(bench: Bench, rate: float, library: str, detector: str) -> list[Row]:
    """A row for each quantile, at `rate` records a second; both loops take turns."""
    found = [
        (_served(bench, rate, library, detector), _passed(bench, rate, library))
        for _ in range(ROUNDS)
    ]
    which = f"{detector}, {library}, {rate:,.0f} records a second"
    return [
        {
            "what": f"Kafka to Kafka, latency p{share}, {which}",
            "against": f"passing through, {library}",
            "ratio": median(ours[share] / theirs[share] for ours, theirs in found),
            "target": MOST,
            "at_most": True,
            "ours_us_an_event": 1e3 * median(ours[share] for ours, _ in found),
        }
        for share in SHARES
    ]


def _served(bench: Bench, rate: float, library: str, detector: str) -> dict[float, float]:
    source = bench.topic("timed")
    written = bench.written(
        detector, library, topics=[source], batch_records=BATCH, batch_seconds=BATCH_SECONDS
    )
    path = bench.home / f"{source}.toml"
    path.write_text(
        "\n".join(
            f"[{section}]\n" + "\n".join(f"{k} = {json.dumps(v)}" for k, v in keys.items())
            for section, keys in written.items()
        )
    )
    with _running(["detectd", "run", "--config", str(path)]):
        return _latencies(bench, source, list(written["topics"].values()), rate)


def _passed(bench: Bench, rate: float, library: str) -> dict[float, float]:
    source, target = bench.topic("timed"), bench.topic("out")
    limits = [str(BATCH), str(BATCH_SECONDS)]
    with _running(["benchmarks.passing", library, bench.servers, source, target, *limits]):
        return _latencies(bench, source, [target], rate)


@contextmanager
def _running(command: list[str]) -> Iterator[None]:
    """A process of its own, as long as it is measured."""
    process = subprocess.Popen([sys.executable, "-m", *command], stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def _latencies(bench: Bench, source: str, outputs: list[str], rate: float) -> dict[float, float]:
    """Quantiles in milliseconds, of the last two thirds."""
    reader = Consumer(
        {
            "bootstrap.servers": bench.servers,
            "group.id": "bench",
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": 5,
        }
    )
    reader.assign([TopicPartition(t, p, 0) for t in outputs for p in range(bench.partitions)])
    found: list[float] = []
    count = int(rate * SECONDS)
    warm = count // 3

    def produce() -> None:
        started = time.perf_counter()
        for number in range(count):
            while time.perf_counter() - started < number / rate:
                bench.producer.poll(0.001)
            bench.produce(source, number, bench.lines[number % len(bench.lines)])
        bench.producer.flush()

    # The process starts up first: one record through it shows that it is there.
    bench.produce(source, 0, bench.lines[0])
    bench.producer.flush()
    while not reader.consume(1, 0.5):
        pass
    maker = threading.Thread(target=produce)
    maker.start()
    deadline = time.monotonic() + 3 * SECONDS
    while len(found) < count and time.monotonic() < deadline:
        come = reader.consume(1000, 0.01)
        now = time.time() * 1000
        found += [now - message.timestamp()[1] for message in come]
    maker.join()
    reader.close()
    steady = np.array(found[warm:])
    return {share: float(np.percentile(steady, share)) for share in SHARES}
