"""A real Kafka for the tests: fetched once with Maven, started in seconds, stopped by its pid."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
import time
import uuid
import xml.etree.ElementTree as ET
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import RetriableError

from tests.support.node import HOST, START_SECONDS, STOP_SECONDS, Node, await_listening
from tests.support.node_files import PLAIN, make, ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

POM = Path(__file__).with_name("pom.xml")
READ_SECONDS = 20.0


class UnavailableError(Exception):
    """There is no Kafka here to test with; the message says how to get one."""


@dataclass(frozen=True)
class Broker:
    """A running Kafka, and what tests do with one.

    `nodes` are its brokers if this process started them, `pids` their processes if it was one of
    this test run; `options` is what its clients need to get in. `guarded` has where its other
    listeners are, `kept` the clients that are used again.
    """

    servers: tuple[str, ...]
    nodes: tuple[Node, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    pids: tuple[int, ...] = ()
    guarded: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    kept: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    def behind(self, guard: str, options: Mapping[str, Any]) -> Broker:
        """The same brokers, by another listener and with what its clients need to get in."""
        return replace(self, servers=self.guarded[guard], options=options, kept={})

    def create_topics(self, *names: str, partitions: int = 1) -> list[str]:
        """Create a topic for each name, made unique, and wait until each has its leaders."""
        topics = [f"{name}-{uuid.uuid4().hex[:8]}" for name in names]
        wanted = {topic: {"num_partitions": partitions} for topic in topics}
        admin = self._keep(KafkaAdminClient)
        admin.create_topics(wanted)
        admin.wait_for_topics(topics)
        return topics

    def produce(self, topic: str, *records: bytes | Mapping[str, Any]) -> None:
        """Write records: a value each, or the arguments of `KafkaProducer.send`."""
        # A topic may be another one of the same name by now: no sequence numbers go on from there.
        # A first look at a topic takes a tenth of a second, whatever client it is.
        in_order = {"enable_idempotence": False, "max_in_flight_requests_per_connection": 1}
        producer = self._keep(KafkaProducer, acks="all", **in_order)
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
        admin = self._keep(KafkaAdminClient)
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

    def _keep(self, kind: Callable[..., Any], **options: object) -> Any:
        """A client that is made once: what tests look at again and again costs a tenth then."""
        if kind not in self.kept:
            # Brokers may have been away since the last look.
            self.kept[kind] = self.client(kind, reconnect_backoff_max_ms=200, **options)
            atexit.register(self.close)
        return self.kept[kind]

    def close(self) -> None:
        """Close the clients that are kept."""
        while self.kept:
            self.kept.popitem()[1].close()


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
    properties: Mapping[str, object] | None = None,
) -> Iterator[Broker]:
    """Start brokers as `start` does, and kill them at the end."""
    started: list[Node] = []
    try:
        with closing(start(jars, directory, started, nodes, properties)) as broker:
            yield broker
    finally:
        _kill(started)


def start(
    jars: Path,
    directory: Path,
    started: list[Node],
    nodes: int = 1,
    properties: Mapping[str, object] | None = None,
    guards: Mapping[str, str] | None = None,
) -> Broker:
    """Start `nodes` brokers, each its own controller too, and add them to `started`.

    `properties` may set anything else. `guards` are more listeners and what they speak; see
    `Broker.behind`.
    """
    protocols = PLAIN | dict(guards or {})
    listeners = ports(protocols, nodes)
    for number in range(1, nodes + 1):
        home = directory / f"node-{number}"
        started.append(make(jars, home, number, listeners, protocols, properties))
    pids = tuple(node.process.pid for node in started)
    guarded = {name: tuple(f"{HOST}:{those[name]}" for those in listeners) for name in guards or {}}
    servers = tuple(node.server for node in started)
    broker = Broker(servers, tuple(started), pids=pids, guarded=guarded)
    await_listening(started)
    _await_each_other(broker)
    return broker


def _version() -> str:
    version = ET.parse(POM).findtext("{*}properties/{*}kafka.version")
    assert version
    return version


def _await_each_other(broker: Broker) -> None:
    """Return when every node knows of all the others."""
    deadline = time.monotonic() + START_SECONDS
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
