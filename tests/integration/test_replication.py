"""Models on a compacted topic: one host publishes, the others answer with the same bytes."""

from __future__ import annotations

import errno
import hashlib
import json
import time
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import wraps
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import structlog
from kafka import KafkaAdminClient, KafkaProducer

from detectd.errors import ConfigError
from detectd.filesystem import atomic_files
from detectd.kafka.topics import NewTopicConfig
from detectd.models import archive, training
from detectd.models.model import Recipe
from detectd.models.replication import Feed, publish, require
from detectd.models.store import Store
from tests.support.kafka_clients import sink_client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from detectd.kafka import KafkaClient
    from tests.support.broker import Broker

SECONDS = 20.0


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "ours")


def model_in(store: Store, seed: int) -> str:
    rows = np.random.default_rng(seed).normal(size=(400, 3))
    recipe = Recipe("HBOS", 0.05, seed, {}, "holdout", 0.5, 5)
    made = datetime(2026, 3, 1, tzinfo=UTC).replace(second=seed % 60)
    model = training.train(rows, recipe, ("a", "b", "c"), made)
    store.save(model)
    store.activate(model.version)
    return model.version


def models_topic(broker: Broker, client: KafkaClient) -> str:
    topic = f"{client.group_id}.models"
    require(client, topic, NewTopicConfig())
    return topic


@contextmanager
def fed(client: KafkaClient, topic: str, directory: Path) -> Iterator[Store]:
    there = Store(directory)
    there.make()
    feed = Feed(client, topic, there)
    feed.start(SECONDS)
    try:
        yield there
    finally:
        feed.stop()


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_another_host_gets_the_same_bytes_at_once_and_as_they_come(
    kafka_broker: Broker, store: Store, tmp_path: Path
) -> None:
    client = sink_client(kafka_broker)
    topic = models_topic(kafka_broker, client)
    first = model_in(store, 1)
    publish(client, topic, store, first, None)
    with fed(client, topic, tmp_path / "theirs") as theirs:
        assert theirs.active() == first
        assert archive.pack(theirs, first) == archive.pack(store, first)
        ours, got = store.load(first).model, theirs.load(first).model
        rows = np.random.default_rng(9).normal(size=(50, 3))
        scores = [each.detector.decision_function(rows) for each in (ours, got)]
        assert (scores[0] == scores[1]).all()
        second = model_in(store, 2)
        publish(client, topic, store, second, None)
        until(lambda: theirs.active() == second)
        # Going back here is not undone by reading the same announcement again.
        assert theirs.rollback() == first
    with fed(client, topic, tmp_path / "theirs") as theirs:
        assert theirs.active() == first


def test_a_third_model_takes_the_first_one_s_place_on_the_topic(
    kafka_broker: Broker, store: Store, tmp_path: Path
) -> None:
    client = sink_client(kafka_broker)
    topic = models_topic(kafka_broker, client)
    versions = [model_in(store, seed) for seed in (1, 2, 3)]
    for version in versions:
        publish(client, topic, store, version, None)
    (records,) = kafka_broker.read_committed(topic).values()
    state: dict[bytes, Any] = {record.key: record.value for record in records}
    there = {key.split(b"/")[0].decode() for key, value in state.items() if value and b"/" in key}
    assert there == set(versions[1:])
    with fed(client, topic, tmp_path / "theirs") as theirs:
        assert theirs.active() == versions[-1]


def announce(broker: Broker, topic: str, value: bytes) -> None:
    broker.produce(topic, {"key": b"active", "value": value})


@pytest.mark.parametrize("harm", ["flipped", "missing", "foreign", "no archive"])
def test_a_damaged_model_is_refused_and_the_active_one_stays(
    kafka_broker: Broker, store: Store, tmp_path: Path, harm: str
) -> None:
    client = sink_client(kafka_broker)
    topic = models_topic(kafka_broker, client)
    good = model_in(store, 1)
    publish(client, topic, store, good, None)
    with fed(client, topic, tmp_path / "theirs") as theirs:
        if harm == "flipped":
            kafka_broker.produce(topic, {"key": b"v/0", "value": b"damaged"})
            announce(kafka_broker, topic, b'{"version": "v", "pieces": 1, "sha256": "0"}')
        elif harm == "missing":
            announce(kafka_broker, topic, b'{"version": "v", "pieces": 3, "sha256": "0"}')
        elif harm == "foreign":
            kafka_broker.produce(topic, {"key": b"?", "value": b"\xff"})
            announce(kafka_broker, topic, b"not JSON")
        else:
            digest = "5e2bf57d3f40c4b6df69daf1936cb766f832374b4fc0259a7cbff06e2f70f269"
            kafka_broker.produce(topic, {"key": b"v/0", "value": b"no"})
            announce(
                kafka_broker,
                topic,
                json.dumps({"version": "v", "pieces": 1, "sha256": digest}).encode(),
            )
        better = model_in(store, 2)
        publish(client, topic, store, better, None)
        until(lambda: theirs.active() == better)
        assert set(theirs.versions()) == {good, better}


def test_a_publication_that_is_not_committed_is_not_seen(
    kafka_broker: Broker, store: Store, tmp_path: Path
) -> None:
    client = sink_client(kafka_broker)
    topic = models_topic(kafka_broker, client)
    version = model_in(store, 1)
    writer = kafka_broker.client(KafkaProducer, transactional_id=f"{topic}-writer")
    with closing(writer), fed(client, topic, tmp_path / "theirs") as theirs:
        writer.init_transactions()
        writer.begin_transaction()
        writer.send(topic, key=b"active", value=b"{}").get(SECONDS)
        writer.abort_transaction()
        publish(client, topic, store, version, None)
        until(lambda: theirs.active() == version)


def test_a_topic_that_would_forget_models_is_refused(kafka_broker: Broker) -> None:
    client = sink_client(kafka_broker)
    (plain,) = kafka_broker.create_topics("models")
    with pytest.raises(ConfigError, match=r"cleanup\.policy=delete"):
        require(client, plain, None)
    (wide,) = kafka_broker.create_topics("models", partitions=2)
    with pytest.raises(ConfigError, match="has 2 partitions"):
        require(client, wide, None)
    with pytest.raises(ConfigError, match="no such topic"):
        require(client, "nowhere", None)


def test_an_archive_writes_nothing_outside_of_its_model(store: Store) -> None:
    version = model_in(store, 1)
    packed = archive.pack(store, version).replace(b"manifest.json", b"../anifest.js", 1)
    other = Store(store.directory.parent / "theirs")
    with pytest.raises(ConfigError, match="damaged"):
        archive.unpack(other, version, packed)
    assert other.versions() == []


def test_models_of_two_topics_share_a_store(
    kafka_broker: Broker, store: Store, tmp_path: Path
) -> None:
    clients = [sink_client(kafka_broker), sink_client(kafka_broker)]
    topics = [models_topic(kafka_broker, client) for client in clients]
    versions = [model_in(store, seed) for seed in (1, 2, 3)]
    for version in versions[:2]:
        publish(clients[0], topics[0], store, version, None)
    publish(clients[1], topics[1], store, versions[2], None)  # at a lower offset
    for client, topic, version in zip(clients, topics, versions[1:], strict=True):
        with fed(client, topic, tmp_path / "theirs") as theirs:
            assert theirs.active() == version


def test_a_topic_that_was_created_again_brings_its_model(
    kafka_broker: Broker, store: Store, tmp_path: Path
) -> None:
    client = sink_client(kafka_broker)
    topic = models_topic(kafka_broker, client)
    versions = [model_in(store, seed) for seed in (1, 2, 3)]
    for version in versions[:2]:
        publish(client, topic, store, version, None)
    with fed(client, topic, tmp_path / "theirs") as theirs:
        assert theirs.active() == versions[1]
    with closing(kafka_broker.client(KafkaAdminClient)) as admin:
        admin.delete_topics([topic])
        until(lambda: not admin.describe_topics([topic])[0]["partitions"])
    require(client, topic, NewTopicConfig())
    publish(client, topic, store, versions[2], None)
    with fed(client, topic, tmp_path / "theirs") as theirs:
        assert theirs.active() == versions[2]


@pytest.mark.parametrize("failing", ["activate", "applied"])
def test_a_failure_that_passes_is_tried_again_and_reported_once(
    kafka_broker: Broker,
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    failing: str,
) -> None:
    client = sink_client(kafka_broker)
    topic = models_topic(kafka_broker, client)
    version = model_in(store, 1)
    publish(client, topic, store, version, None)
    left = 2

    def full(do: Callable[..., None]) -> Callable[..., None]:
        @wraps(do)
        def fail_at_first(*given: Any, **options: Any) -> None:
            nonlocal left
            if left:
                left -= 1
                raise OSError(errno.ENOSPC, "No space left on device")
            do(*given, **options)

        return fail_at_first

    if failing == "activate":
        monkeypatch.setattr(Store, "activate", full(Store.activate))
    else:
        monkeypatch.setattr(atomic_files, "replace", full(atomic_files.replace))
    there = tmp_path / "theirs"
    with structlog.testing.capture_logs() as lines, fed(client, topic, there) as theirs:
        until(lambda: left == 0 and theirs.active() == version)
    (interrupted,) = [line for line in lines if line["event"] == "models.feed_interrupted"]
    assert "No space left" in interrupted["reason"]


def test_a_version_is_a_name_and_no_path(
    kafka_broker: Broker, store: Store, tmp_path: Path
) -> None:
    versions = ["../elsewhere", "./../elsewhere", "/tmp/elsewhere", ".hidden", "a/b", "", "."]
    client = sink_client(kafka_broker)
    topic = models_topic(kafka_broker, client)
    good = model_in(store, 1)
    packed = archive.pack(store, good)
    digest = hashlib.sha256(packed).hexdigest()
    for version in versions:
        kafka_broker.produce(topic, {"key": f"{version}/0".encode(), "value": packed})
        announced = {"version": version, "pieces": 1, "sha256": digest}
        announce(kafka_broker, topic, json.dumps(announced).encode())
    publish(client, topic, store, good, None)
    before = {*tmp_path.rglob("*")}
    there = tmp_path / "in" / "theirs"
    with structlog.testing.capture_logs() as lines, fed(client, topic, there) as theirs:
        assert theirs.active() == good
    made = {*tmp_path.rglob("*")} - before
    assert {path for path in made if theirs.directory not in (path, *path.parents)} == {
        tmp_path / "in"
    }
    refused = [line for line in lines if line["event"] == "models.refused"]
    assert [line["model"] for line in refused if "model" in line] == versions


def test_odd_headers_and_records_of_others_do_not_stop_the_feed(
    kafka_broker: Broker, store: Store, tmp_path: Path
) -> None:
    """kafka-python fails on a header whose name is not UTF-8, and read it again for ever."""
    client = sink_client(kafka_broker)
    topic = models_topic(kafka_broker, client)
    record = {"key": b"v/0", "value": b"x"}
    with closing(kafka_broker.client(KafkaProducer)) as writer:
        writer.send(topic, headers=[(OddName("caf\xe9"), b"x"), ("", b"")], **record)
        writer.send(topic, key=b"active", value=None)
        writer.flush()
    deep = b'{"version": ' + b"[" * 5_000
    announce(kafka_broker, topic, deep)
    version = model_in(store, 1)
    publish(client, topic, store, version, None)
    with fed(client, topic, tmp_path / "theirs") as theirs:
        assert theirs.active() == version


class OddName(str):
    """A header's name that is encoded as Latin-1."""

    __slots__ = ()

    def encode(self, *_: Any) -> bytes:
        return super().encode("latin-1")
