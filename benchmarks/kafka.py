"""`make bench-kafka`: the service between Kafka topics, against passing the records through.

Each ratio is between neighbouring runs in this process, on one broker and the same records. Rates
are what recovers lag: the input is there before a run begins.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import sys
import tempfile
import threading
import time
import uuid
import warnings
from contextlib import closing
from functools import partial
from operator import attrgetter
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import structlog
from confluent_kafka import Producer
from kafka import KafkaAdminClient

from benchmarks import kafka_latency
from benchmarks.passing import Cost, pass_through
from detectd.commands.demo_fleet import FEATURES, HOSTS, write_fleet
from detectd.commands.fit import fit_file
from detectd.service.loop import Service
from detectd.settings.loader import settle
from detectd.signals import Stop
from detectd.telemetry.progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Callable

    Row = dict[str, Any]

TESTS = Path(__file__).parent.parent / "tests" / "kafka"
EVENTS = 60_000
PARTITIONS = 4
REPEATS = 5
BATCH, BATCH_SECONDS = 2_000, 0.1
TARGET = 0.85
LIBRARIES = ("kafka-python", "confluent")
DETECTORS = ("HBOS", "IForest")
TOPICS = ("normal", "anomaly", "abstain", "dead_letter")


class Bench:
    """One broker, one input, and a model for each detector."""

    partitions = PARTITIONS

    def __init__(self, servers: str, home: Path) -> None:
        self.servers = servers
        self.home = home
        write_fleet(home / "fit.jsonl", 1, 0, 5_000)
        write_fleet(home / "stream.jsonl", 1, 5_000, EVENTS)
        self.lines = (home / "stream.jsonl").read_bytes().splitlines()
        self.source = self.topic("in")
        self.producer = Producer({"bootstrap.servers": servers, "linger.ms": 50})
        for number, line in enumerate(self.lines):
            self.produce(self.source, number, line)
        self.producer.flush()
        for detector in DETECTORS:
            with progress_bar("fit") as advance:
                fit_file(home / "fit.jsonl", self.settings(detector), advance)

    def topic(self, name: str) -> str:
        """A new topic."""
        topic = f"{name}-{uuid.uuid4().hex[:8]}"
        with closing(KafkaAdminClient(bootstrap_servers=self.servers)) as admin:
            admin.create_topics({topic: {"num_partitions": PARTITIONS}}, wait_for_metadata=True)
        return topic

    def produce(self, topic: str, number: int, line: bytes) -> None:
        """Hand over one event, keyed by its host."""
        key = b"host-%02d" % (number % HOSTS)
        self.producer.produce(topic, line, key=key, partition=number % PARTITIONS)
        if number % 1000 == 0:
            self.producer.poll(0)

    def written(
        self, detector: str, library: str = "kafka-python", **source: Any
    ) -> dict[str, Any]:
        """The tables of a configuration, with some keys of its source."""
        outputs = {topic: self.topic(topic) for topic in TOPICS}
        return {
            "source": {"kind": "kafka", "topics": [self.source], "batch_records": BATCH}
            | {"batch_seconds": BATCH_SECONDS}
            | source,
            "sink": {"kind": "kafka"},
            "topics": outputs,
            "kafka": {
                "bootstrap_servers": [self.servers],
                "client": library,
                "group_id": outputs["normal"],
            },
            "event": {"features": list(FEATURES)},
            "detector": {"name": detector, "contamination": 0.02},
            "models": {"directory": str(self.home / detector)},
            "server": {"listen": ""},
        }

    def settings(self, detector: str, library: str = "kafka-python") -> Any:
        """The settings that these tables are."""
        return settle(self.written(detector, library), "bench")

    def serve(self, detector: str, library: str) -> Cost:
        """What a record costs the service, after its first thousand."""
        stop = Stop()
        service = Service(self.settings(detector, library), stop)
        seen: list[tuple[float, float, int]] = []

        def watch() -> None:
            while not seen or seen[-1][2] < EVENTS:
                done = service.summary.topics.total()
                if done >= 1000 and (not seen or done > seen[-1][2]):
                    seen.append((time.perf_counter(), time.process_time(), done))
                time.sleep(0.002)
            stop.request()

        watcher = threading.Thread(target=watch)
        watcher.start()
        service.run()
        watcher.join()
        (begun, idle, first), (ended, busy, last) = seen[0], seen[-1]
        return Cost((ended - begun) / (last - first), (busy - idle) / (last - first))

    def passing(self, library: str) -> Cost:
        """What it costs the plain loop."""
        out = self.topic("out")
        return pass_through(library, self.servers, self.source, out, BATCH, BATCH_SECONDS, EVENTS)


def throughput(bench: Bench) -> list[Row]:
    """The service against passing through, by both clients; all take turns."""
    runs: dict[tuple[str, str], Callable[[], Cost]] = {
        ("pass-through", library): partial(bench.passing, library) for library in LIBRARIES
    }
    for detector, library in itertools.product(DETECTORS, LIBRARIES):
        runs[detector, library] = partial(bench.serve, detector, library)
    found: dict[tuple[str, str], list[Cost]] = {name: [] for name in runs}
    for _ in range(REPEATS):
        for name, run in runs.items():
            found[name].append(run())
    return [_row(what, library, found) for what, library in runs]


def _row(what: str, library: str, found: dict[tuple[str, str], list[Cost]]) -> Row:
    """Medians over the rounds, of the rates and of each round's ratios."""
    ours, plain, fastest = (
        found[key]
        for key in ((what, library), ("pass-through", library), ("pass-through", "confluent"))
    )
    clock, processor = attrgetter("clock"), attrgetter("processor")

    def against(others: list[Cost], of: Callable[[Cost], float]) -> float:
        return median(of(b) / of(a) for a, b in zip(ours, others, strict=True))

    return {
        "what": f"Kafka to Kafka, {what}, {library}",
        "against": f"passing through, {library}",
        "ratio": against(plain, clock),
        "target": None if what == "pass-through" else TARGET,
        "ours_us_an_event": 1e6 * median(map(clock, ours)),
        "processor_us_an_event": 1e6 * median(map(processor, ours)),
        "of_processor_time": against(plain, processor),
        "of_pass_through_confluent": against(fastest, clock),
    }


def main() -> None:
    """Measure, print the rows, and leave them as JSON in build/."""
    warnings.simplefilter("ignore")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    sys.path.insert(0, str(TESTS))
    from tests.support import broker

    with tempfile.TemporaryDirectory() as home, broker.running(Path(home) / "kafka") as there:
        bench = Bench(",".join(there.servers), Path(home))
        rows = throughput(bench)
        _tell(rows)
        for library in LIBRARIES:
            timed = kafka_latency.rows(bench, _rate(rows, library) / 2, library, "HBOS")
            _tell(timed)
            rows += timed
    target = Path("build/bench-kafka.json")
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    print(f"also in {target}, with {os.cpu_count()} cores", file=sys.stderr)


def _rate(rows: list[Row], library: str) -> float:
    """Events a second of the service with HBOS."""
    (cost,) = (row["ours_us_an_event"] for row in rows if row["what"].endswith(f"HBOS, {library}"))
    return 1e6 / float(cost)


def _tell(rows: list[Row]) -> None:
    for row in rows:
        figures = {key: value for key, value in row.items() if isinstance(value, float)}
        print(row["what"], "against", row["against"], flush=True)
        print("   ", ", ".join(f"{key} {value:.3g}" for key, value in figures.items()), flush=True)


if __name__ == "__main__":
    main()
