"""Where a campaign takes place: three brokers, six topics, one model, and configs over them."""

from __future__ import annotations

import signal
import threading
import time
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from tests.chaos.faults import BROKER_SESSION_SECONDS, SESSION_SECONDS
from tests.chaos.stream import FEATURES, Stream, encode
from tests.support.broker import cluster, fetch
from tests.support.command import TOPICS, World

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.support.broker import Broker, Node

NODES = 3
PARTITIONS = 8
TRAINING = 2000
WHOLE_SECONDS = 60.0
STUCK_SECONDS = 90.0
TICK = 0.2

# Wrong as soon as one event of a key is missed, or counted twice.
REMEMBERED = (
    {"of": "a", "fn": "mean", "window": 5},
    {"of": "b", "fn": "ewma", "half_life": 10, "surprise": True},
)

BROKERS = {
    "min.insync.replicas": 2,
    "broker.session.timeout.ms": int(BROKER_SESSION_SECONDS * 1000),
    "broker.heartbeat.interval.ms": 500,
}


def brokers(directory: Path) -> AbstractContextManager[Broker]:
    return cluster(fetch(), directory, NODES, properties=BROKERS)


@dataclass(frozen=True)
class Stage:
    """A config whose group answers `source` on the topics of `sinks` (by their key in `topics`)."""

    broker: Broker
    world: World
    source: str
    sinks: dict[str, str]

    @property
    def group(self) -> str:
        return self.sinks[TOPICS[0]]

    @property
    def names(self) -> dict[str, str]:
        return {name: topic for topic, name in self.sinks.items()}

    def understudy(self) -> Stage:
        """Another group over the same input and model, with outputs of its own."""
        home = self.world.home / "undisturbed"
        home.mkdir()
        stage = make(self.broker, home, self.source, self.world.home / "models")
        # No answer depends on which records share a batch, and large ones are quicker.
        stage.world.write(source={"batch_records": 5000})
        return stage


def make(broker: Broker, home: Path, source: str, models: Path) -> Stage:
    """Create the output topics and write the config."""
    names = broker.create_topics(*TOPICS, partitions=PARTITIONS)
    stage = Stage(broker, World(home), source, dict(zip(TOPICS, names, strict=True)))
    stage.world.write(
        source={"kind": "kafka", "path": None, "topics": [source], "batch_records": 500},
        sink={"kind": "kafka", "directory": None},
        topics=stage.sinks | {"keys": f"keys-{names[0]}"},
        event={"features": [*FEATURES, *REMEMBERED]},
        detector={"name": "IForest", "params": {"n_estimators": 20}},
        rejector={"T": 8.0},
        models={"directory": str(models)},
        server={"listen": ""},
        kafka={
            "bootstrap_servers": list(broker.servers),
            "group_id": stage.group,
            "create_topics": True,  # that of the keys, compacted
            "session_timeout_seconds": SESSION_SECONDS,
            "transaction_timeout_seconds": 10.0,
            "retry_seconds": 120.0,
        },
    )
    return stage


def fit(stage: Stage, seed: int) -> None:
    training = Stream(TRAINING, seed)
    lines = (encode(training.event(n)).decode() for n in range(TRAINING))
    path = stage.world.lines(stage.world.home / "training.jsonl", lines)
    done = stage.world.run("fit", "--input", path)
    assert done.returncode == 0, done.stderr


def backlog(stage: Stage) -> int:
    """How many records of the input the group has not answered yet."""
    with closing(stage.broker.client(KafkaConsumer)) as reader:
        places = [TopicPartition(stage.source, p) for p in range(PARTITIONS)]
        ends = reader.end_offsets(places)
    answered = stage.broker.committed_offsets(stage.group)
    return sum(end - (answered[p].offset if p in answered else 0) for p, end in ends.items())


def await_answers(stage: Stage, meanwhile: Callable[[], None]) -> None:
    """Return when everything is answered; TimeoutError where it does not become less."""
    least, deadline = None, time.monotonic() + STUCK_SECONDS
    while least != 0:
        meanwhile()
        left = backlog(stage)
        if least is None or left < least:
            least, deadline = left, time.monotonic() + STUCK_SECONDS
        elif time.monotonic() > deadline:
            raise TimeoutError(f"{left} records wait, and have waited for {STUCK_SECONDS:g} s")
        time.sleep(TICK)


def whole(broker: Broker) -> bool:
    """Whether every replica of every partition is in sync."""
    try:
        with closing(broker.client(KafkaAdminClient)) as admin:
            topics = admin.describe_topics()
    except KafkaError:
        return False
    return all(
        len(partition["isr_nodes"]) == len(partition["replica_nodes"])
        for topic in topics
        for partition in topic["partitions"]
    )


class Outage:
    """One broker goes, and comes back; over when it has caught up with the others."""

    def __init__(self, broker: Broker, node: Node, how: signal.Signals, seconds: float) -> None:
        self._done: Future[None] = Future()
        self._arguments = broker, node, how, seconds
        threading.Thread(target=self._run, name="outage", daemon=True).start()

    @property
    def over(self) -> bool:
        """Raises what went wrong."""
        return self._done.done() and self._done.result() is None

    def _run(self) -> None:
        broker, node, how, seconds = self._arguments
        try:
            node.stop(how)
            time.sleep(seconds)
            node.start()
            _await_whole(broker)
        except Exception as error:  # noqa: BLE001 - it is raised to whoever asks
            self._done.set_exception(error)
        else:
            self._done.set_result(None)


def _await_whole(broker: Broker) -> None:
    deadline = time.monotonic() + WHOLE_SECONDS
    while not whole(broker):
        if time.monotonic() > deadline:
            raise TimeoutError("the replicas do not catch up")
        time.sleep(TICK)
