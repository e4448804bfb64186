"""A real Kafka for the tests: fetched once with Maven, started in seconds, stopped by its pid."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import tempfile
import time
import uuid
import xml.etree.ElementTree as ET
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import RetriableError

from tests.support.node import (
    HOST,
    START_SECONDS,
    STOP_SECONDS,
    Node,
    free_ports,
    java,
    listens,
    spawn,
    tail,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

POM = Path(__file__).with_name("pom.xml")
CLUSTER = base64.urlsafe_b64encode(b"detectd-tests-01")[:22].decode()
READ_SECONDS = 20.0


class UnavailableError(Exception):
    """There is no Kafka here to test with; the message says how to get one."""


@dataclass(frozen=True)
class Broker:
    """A running Kafka, and what tests do with one.

    `nodes` are its brokers if this process started them, `pids` their processes if it was one of
    this test run; `options` is what its clients need to get in.
    """

    servers: tuple[str, ...]
    nodes: tuple[Node, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    pids: tuple[int, ...] = ()

    def create_topics(self, *names: str, partitions: int = 1) -> list[str]:
        """Create a topic for each name, made unique, and wait until each has its leaders."""
        topics = [f"{name}-{uuid.uuid4().hex[:8]}" for name in names]
        wanted = {topic: {"num_partitions": partitions} for topic in topics}
        with closing(self.client(KafkaAdminClient)) as admin:
            admin.create_topics(wanted)
            admin.wait_for_topics(topics)
        return topics

    def produce(self, topic: str, *records: bytes | Mapping[str, Any]) -> None:
        """Write records: a value each, or the arguments of `KafkaProducer.send`."""
        with closing(self.client(KafkaProducer)) as producer:
            sent = [
                producer.send(topic, **({"value": record} if isinstance(record, bytes) else record))
                for record in records
            ]
            for future in sent:
                future.get(timeout=READ_SECONDS)

    def read_committed(self, *topics: str) -> dict[str, list[Any]]:
        """All that a reader of committed records sees now, per topic, by partition and offset."""
        found: dict[str, list[Any]] = {topic: [] for topic in topics}
        reader = self.client(
            KafkaConsumer,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )
        with closing(reader):
            places = [TopicPartition(t, p) for t in topics for p in reader.partitions_for_topic(t)]
            ends = reader.end_offsets(places)
            reader.assign(places)
            reader.seek_to_beginning()
            deadline = time.monotonic() + READ_SECONDS
            while any(reader.position(place) < end for place, end in ends.items()):
                assert time.monotonic() < deadline, f"could not read {topics} to their end"
                for place, records in reader.poll(timeout_ms=200).items():
                    found[place.topic] += records
        for records in found.values():
            records.sort(key=lambda record: (record.partition, record.offset))
        return found

    def committed_offsets(self, group: str) -> dict[TopicPartition, Any]:
        """The offsets of a group, each with its metadata."""
        deadline = time.monotonic() + READ_SECONDS
        with closing(self.client(KafkaAdminClient)) as admin:
            while True:
                try:
                    offsets: dict[TopicPartition, Any] = admin.list_group_offsets([group])[group]
                except RetriableError:
                    # The first question makes a new Kafka create the topic of the offsets.
                    assert time.monotonic() < deadline, f"no coordinator for {group}"
                    time.sleep(0.05)
                else:
                    return offsets

    def client(self, kind: Callable[..., Any], **options: object) -> Any:
        """A client of kafka-python for what is not offered here. Close it."""
        return kind(bootstrap_servers=list(self.servers), **self.options, **options)


@contextmanager
def running(directory: Path) -> Iterator[Broker]:
    """The Kafka that DETECTD_TEST_KAFKA names, or one of our own while the context lasts."""
    if given := named():
        yield given
        return
    with cluster(fetch(), directory) as broker:
        yield broker


def named() -> Broker | None:
    """The Kafka that DETECTD_TEST_KAFKA names, None if it names none."""
    address = os.environ.get("DETECTD_TEST_KAFKA")
    return Broker(tuple(address.split(","))) if address else None


def fetch() -> Path:
    """The directory with Kafka's jars, fetched at the first call and kept.

    Raises UnavailableError where Java or Maven is missing, or Maven cannot fetch.
    """
    if not shutil.which("java"):
        raise UnavailableError("no java: install a JRE, 17 or newer (apt install default-jre)")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "detectd-tests"
    jars = cache / f"kafka-{_version()}"
    if jars.is_dir():
        return jars
    if not shutil.which("mvn"):
        raise UnavailableError("no mvn to fetch Kafka with: install Maven (apt install maven)")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as temporary:
        fresh = Path(temporary) / "jars"
        command = ["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies"]
        command += ["-DincludeScope=runtime", f"-DoutputDirectory={fresh}"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise UnavailableError(f"mvn cannot fetch Kafka: {(done.stdout + done.stderr)[-2000:]}")
        try:
            fresh.rename(jars)
        except OSError:
            # Another run was quicker; its jars are the same.
            if not jars.is_dir():
                raise
    return jars


@contextmanager
def cluster(
    jars: Path,
    directory: Path,
    nodes: int = 1,
    protocol: str = "PLAINTEXT",
    properties: Mapping[str, object] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Iterator[Broker]:
    """Start brokers as `start` does, and kill them at the end."""
    started: list[Node] = []
    try:
        yield start(jars, directory, started, nodes, protocol, properties, options)
    finally:
        _kill(started)


def start(
    jars: Path,
    directory: Path,
    started: list[Node],
    nodes: int = 1,
    protocol: str = "PLAINTEXT",
    properties: Mapping[str, object] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Broker:
    """Start `nodes` brokers, each its own controller too, and add them to `started`.

    `protocol` is what clients speak, with what it takes on either side: `properties` of the
    brokers (which may set anything else as well) and `options` of the clients.
    """
    ports = free_ports(3 * nodes)
    listeners = list(zip(ports[:nodes], ports[nodes : 2 * nodes], ports[2 * nodes :], strict=True))
    for number in range(1, nodes + 1):
        home = directory / f"node-{number}"
        home.mkdir(parents=True)
        config = home / "server.properties"
        lines = _properties(number, listeners, home, protocol) | dict(properties or {})
        config.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
        storage = java(jars, "kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", config)
        spawn(storage, home).wait()
        command = java(jars, "kafka.Kafka", config)
        server = f"{HOST}:{listeners[number - 1][0]}"
        started.append(Node(server, home, command, spawn(command, home)))
    pids = tuple(node.process.pid for node in started)
    broker = Broker(tuple(node.server for node in started), tuple(started), options or {}, pids)
    _await_ready(broker)
    return broker


def _version() -> str:
    version = ET.parse(POM).findtext("{*}properties/{*}kafka.version")
    assert version
    return version


def _properties(
    number: int, listeners: list[tuple[int, int, int]], home: Path, protocol: str
) -> dict[str, object]:
    """The configuration of one node."""
    client, internal, controller = listeners[number - 1]
    replicas = min(3, len(listeners))
    return {
        "process.roles": "broker,controller",
        "node.id": number,
        "controller.quorum.voters": ",".join(
            f"{voter}@{HOST}:{port}" for voter, (_, _, port) in enumerate(listeners, 1)
        ),
        "listeners": f"CLIENT://{HOST}:{client},INTERNAL://{HOST}:{internal},"
        f"CONTROLLER://{HOST}:{controller}",
        "listener.security.protocol.map": f"CLIENT:{protocol},INTERNAL:PLAINTEXT,"
        "CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "INTERNAL",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": home / "data",
        "default.replication.factor": replicas,
        "auto.create.topics.enable": "false",
        "offsets.topic.replication.factor": replicas,
        "offsets.topic.num.partitions": 3,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": min(2, replicas),
        "transaction.state.log.num.partitions": 3,
        "group.initial.rebalance.delay.ms": 0,
        # Brokers look every ten seconds for transactions of the dead; tests can wait for less.
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000,
    }


def _await_ready(broker: Broker) -> None:
    """Return when every node answers and knows of all the others."""
    deadline = time.monotonic() + START_SECONDS
    while not all(map(listens, broker.servers)):
        if not all(node.running for node in broker.nodes) or time.monotonic() > deadline:
            logs = "".join(tail(node.home) for node in broker.nodes)
            raise RuntimeError(f"Kafka does not start:\n{logs}")
        time.sleep(0.05)
    with closing(broker.client(KafkaAdminClient)) as admin:
        while len(admin.describe_cluster()["brokers"]) < len(broker.nodes):
            assert time.monotonic() < deadline, "the brokers do not find each other"
            time.sleep(0.05)


def _kill(nodes: Sequence[Node]) -> None:
    # Nothing that the brokers hold is wanted any more, so there is no need to let them tidy up.
    for node in nodes:
        node.process.kill()
    for node in nodes:
        node.process.wait(STOP_SECONDS)
