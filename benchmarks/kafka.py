"""`make bench-kafka`: the service between Kafka topics, against passing the records through.

Each ratio is between runs of this process's lifetime, on one broker and the same records. Rates
are what recovers lag: the input is there before a run begins.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import warnings
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import structlog
from confluent_kafka import Consumer, Producer, TopicPartition
from kafka import KafkaAdminClient

from benchmarks.passing import pass_through
from detectd.fitting import fit_file
from detectd.loading import settle
from detectd.service import Service
from detectd.signals import Stop
from detectd.simulation import FEATURES, HOSTS, write_fleet
from detectd.telemetry.progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TESTS = Path(__file__).parent.parent / "tests" / "kafka"
EVENTS = 60_000
PARTITIONS = 4
REPEATS = 3
LATENCY_SECONDS = 12
DETECTORS = ("HBOS", "IForest")
TOPICS = ("normal", "anomaly", "abstain", "dead_letter")


class Bench:
    """One broker, one input, and a model for each detector."""

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
            "source": {"kind": "kafka", "topics": [self.source], "batch_seconds": 0.1} | source,
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

    def serve(self, detector: str, library: str) -> float:
        """Seconds a record of the service, after its first thousand."""
        stop = Stop()
        service = Service(self.settings(detector, library), stop)
        times: list[tuple[float, int]] = []

        def watch() -> None:
            while not times or times[-1][1] < EVENTS:
                done = service.summary.topics.total()
                if done >= 1000 and (not times or done > times[-1][1]):
                    times.append((time.perf_counter(), done))
                time.sleep(0.002)
            stop.request()

        watcher = threading.Thread(target=watch)
        watcher.start()
        service.run()
        watcher.join()
        (begun, first), (ended, last) = times[0], times[-1]
        return (ended - begun) / (last - first)

    def passing(self, library: str) -> float:
        """Seconds a record of the plain loop."""
        return pass_through(library, self.servers, self.source, self.topic("out"), EVENTS)


def medians(runs: dict[str, Callable[[], float]]) -> dict[str, float]:
    """Each run's median; the runs take turns, so that a slow minute strikes all of them."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(REPEATS):
        for name, run in runs.items():
            found[name].append(run())
    return {name: median(times) for name, times in found.items()}


def throughput(bench: Bench) -> list[dict[str, Any]]:
    """Records a second, passed through and served, by both clients."""
    libraries = ("kafka-python", "confluent")
    runs: dict[str, Callable[[], float]] = {
        f"pass-through by {library}": partial(bench.passing, library) for library in libraries
    }
    for library, detector in itertools.product(libraries, DETECTORS):
        serve = partial(bench.serve, detector, library)
        runs[f"detectd, {detector}, by {library}"] = serve
    found = medians(runs)
    rows = []
    for name, seconds in found.items():
        library = name.rsplit(" by ")[-1]
        rows.append(
            {
                "what": name,
                "records_a_second": 1 / seconds,
                "of_pass_through_same_client": found[f"pass-through by {library}"] / seconds,
                "of_pass_through_confluent": found["pass-through by confluent"] / seconds,
            }
        )
    return rows


@contextmanager
def running(command: list[str]) -> Iterator[None]:
    """A process of its own, as long as it is measured."""
    process = subprocess.Popen([sys.executable, "-m", *command], stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def latencies(bench: Bench, source: str, outputs: list[str], rate: float) -> dict[str, float]:
    """Milliseconds from producing to being readable as committed, at so many records a second."""
    reader = Consumer(
        {
            "bootstrap.servers": bench.servers,
            "group.id": "bench",
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": 5,
        }
    )
    reader.assign([TopicPartition(t, p, 0) for t in outputs for p in range(PARTITIONS)])
    found: list[float] = []
    count = int(rate * LATENCY_SECONDS)
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
    deadline = time.monotonic() + 3 * LATENCY_SECONDS
    while len(found) < count and time.monotonic() < deadline:
        come = reader.consume(1000, 0.01)
        now = time.time() * 1000
        found += [now - message.timestamp()[1] for message in come]
    maker.join()
    reader.close()
    steady = np.array(found[warm:])
    return {f"p{share}": float(np.percentile(steady, share)) for share in (50, 99)}


def latency(bench: Bench, rates: dict[str, float], library: str, detector: str) -> dict[str, Any]:
    """The service's latency and the plain loop's, both at half of what the service can do."""
    rate = rates[f"detectd, {detector}, by {library}"] / 2
    written = bench.written(detector, library, batch_seconds=0.02)
    written["source"]["topics"] = [bench.topic("timed")]
    path = bench.home / f"{library}.toml"
    path.write_text(
        "\n".join(
            f"[{section}]\n" + "\n".join(f"{k} = {json.dumps(v)}" for k, v in keys.items())
            for section, keys in written.items()
        )
    )
    with running(["detectd", "run", "--config", str(path)]):
        ours = latencies(
            bench, written["source"]["topics"][0], list(written["topics"].values()), rate
        )
    source, target = bench.topic("timed"), bench.topic("out")
    with running(["benchmarks.passing", library, bench.servers, source, target, "1000"]):
        theirs = latencies(bench, source, [target], rate)
    return {
        "what": f"latency, {detector}, by {library}, {rate:,.0f} records a second",
        "ours_ms": ours,
        "pass_through_ms": theirs,
        "ratio": {share: ours[share] / theirs[share] for share in ours},
    }


def main() -> None:
    """Measure, print two tables, and leave the same as JSON in build/."""
    warnings.simplefilter("ignore")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    sys.path.insert(0, str(TESTS))
    import broker

    with tempfile.TemporaryDirectory() as home, broker.running(Path(home) / "kafka") as there:
        bench = Bench(",".join(there.servers), Path(home))
        rows = throughput(bench)
        print(f"{'what':40}{'records/s':>12}{'of same client':>16}{'of confluent':>14}")
        for row in rows:
            print(
                f"{row['what']:40}{row['records_a_second']:>12,.0f}"
                f"{row['of_pass_through_same_client']:>16.2f}"
                f"{row['of_pass_through_confluent']:>14.2f}"
            )
        rates = {row["what"]: row["records_a_second"] for row in rows}
        timed = [latency(bench, rates, name, "HBOS") for name in ("kafka-python", "confluent")]
        for row in timed:
            ours, theirs = row["ours_ms"], row["pass_through_ms"]
            print(
                f"{row['what']}: p50 {ours['p50']:.1f} ms, p99 {ours['p99']:.1f} ms; passed "
                f"through {theirs['p50']:.1f} and {theirs['p99']:.1f}: "
                f"{row['ratio']['p50']:.2f} and {row['ratio']['p99']:.2f} times"
            )
    target = Path("build/bench-kafka.json")
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(rows + timed, indent=2) + "\n", encoding="utf-8")
    print(f"also in {target}, with {os.cpu_count()} cores", file=sys.stderr)


if __name__ == "__main__":
    main()
