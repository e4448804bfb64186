"""The brokers forget the offsets of a group in time; the sink's own copy does not."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from detectd.errors import DetectdError
from detectd.pipeline.records import Outgoing, Position, Topic
from detectd.sinks.kafka import KafkaSink
from detectd.sources.kafka import KafkaSource
from tests.support.kafka_clients import NORMAL, echo, file_position, read, sink_client
from tests.support.kafka_topics import create_again, delete_records, fill, four_topics

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from detectd.kafka import KafkaClient
    from tests.support.broker import Broker


def forget(broker: Broker, *groups: str) -> None:
    """What the brokers do by themselves a week after the last commit."""
    with closing(broker.client(KafkaAdminClient)) as admin:
        admin.delete_groups(list(groups))


def sink_of(client: KafkaClient, topics: Mapping[Topic, str], home: Path) -> KafkaSink:
    return KafkaSink(client, topics, state_directory=home)


def output(number: int, topic: Topic = Topic.NORMAL) -> Outgoing:
    return Outgoing(topic, b'{"id": %d}' % number, key=b"k", headers=(("i", b"%d" % number),))


def written(home: Path) -> dict[str, Any]:
    (path,) = home.glob("position-*.json")
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


def position_after_forgetting(
    broker: Broker, client: KafkaClient, topics: Mapping[Topic, str], home: Path
) -> Position | None:
    forget(broker, f"{client.transactional_id}.position")
    with closing(sink_of(client, topics, home)) as sink:
        return sink.open()


def test_a_forgotten_position_is_found_again(
    kafka_broker: Broker, library: str, tmp_path: Path
) -> None:
    topics, client = four_topics(kafka_broker), sink_client(kafka_broker, library)
    with closing(sink_of(client, topics, tmp_path)) as sink:
        assert sink.open() is None
        for line in (1, 2, 3):
            sink.commit([output(line)], file_position(line))
    for _ in range(2):
        with structlog.testing.capture_logs() as lines:
            found = position_after_forgetting(kafka_broker, client, topics, tmp_path)
        assert found == file_position(3)
        assert "sink.position_restored" in [line["event"] for line in lines]
    with closing(sink_of(client, topics, tmp_path)) as sink:
        sink.open()
        sink.commit([output(4)], file_position(4))
    with closing(KafkaSink(client, topics)) as sink:
        assert sink.open() == file_position(4)


@pytest.mark.parametrize("topic", [Topic.NORMAL, Topic.DEAD_LETTER])
def test_a_pending_commit_counts_if_its_outputs_are_there(
    kafka_broker: Broker, library: str, tmp_path: Path, topic: Topic
) -> None:
    topics, client = four_topics(kafka_broker, 3), sink_client(kafka_broker, library)
    sink = sink_of(client, topics, tmp_path)
    sink.open()
    sink.commit([output(1)], file_position(1))
    sink.commit([output(2), output(3, topic)], file_position(2))
    sink._producer.close()  # as a process that is killed: nothing more is written
    assert written(tmp_path)["pending"]["commit"] == 2
    found = position_after_forgetting(kafka_broker, client, topics, tmp_path)
    assert found == file_position(2)


def test_a_pending_commit_does_not_count_if_its_outputs_are_not_there(
    kafka_broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics, client = four_topics(kafka_broker), sink_client(kafka_broker)
    sink = sink_of(client, topics, tmp_path)
    sink.open()
    sink.commit([output(1)], file_position(1))

    def fail() -> None:
        raise KafkaError("struck by lightning")

    monkeypatch.setattr(sink._producer._producer, "commit_transaction", fail)
    with pytest.raises(DetectdError, match="lightning"):
        sink.commit([output(2)], file_position(2))
    sink.close()
    assert written(tmp_path)["pending"]["commit"] == 2
    found = position_after_forgetting(kafka_broker, client, topics, tmp_path)
    assert found == file_position(1)


def test_as_long_as_the_brokers_know_the_position_the_copy_does_not_count(
    kafka_broker: Broker, tmp_path: Path
) -> None:
    topics, client = four_topics(kafka_broker), sink_client(kafka_broker)
    with closing(sink_of(client, topics, tmp_path)) as sink:
        sink.open()
        sink.commit([output(1)], file_position(1))
    with closing(KafkaSink(client, topics)) as elsewhere:
        elsewhere.open()
        elsewhere.commit([output(2)], file_position(2))
    with closing(sink_of(client, topics, tmp_path)) as sink:
        assert sink.open() == file_position(2)
    assert position_after_forgetting(kafka_broker, client, topics, tmp_path) == file_position(2)


def test_in_a_silence_nothing_stays_pending(kafka_broker: Broker, tmp_path: Path) -> None:
    topics, client = four_topics(kafka_broker), sink_client(kafka_broker)
    with closing(sink_of(client, topics, tmp_path)) as sink:
        sink.open()
        sink.commit([NORMAL], file_position(1))
        assert written(tmp_path)["pending"]
        sink.commit([], file_position(1))
        assert written(tmp_path)["pending"] is None
        assert written(tmp_path)["committed"]["commit"] == 1


def test_of_other_outputs_nothing_is_remembered(kafka_broker: Broker, tmp_path: Path) -> None:
    topics, client = four_topics(kafka_broker), sink_client(kafka_broker)
    with closing(sink_of(client, topics, tmp_path)) as sink:
        sink.open()
        sink.commit([NORMAL], file_position(1))
    create_again(kafka_broker, topics[Topic.NORMAL])
    assert position_after_forgetting(kafka_broker, client, topics, tmp_path) is None


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff"])
def test_a_damaged_copy_counts_for_nothing(
    kafka_broker: Broker, tmp_path: Path, content: bytes
) -> None:
    topics, client = four_topics(kafka_broker), sink_client(kafka_broker)
    with closing(sink_of(client, topics, tmp_path)) as sink:
        sink.open()
        sink.commit([NORMAL], file_position(1))
    (path,) = tmp_path.glob("position-*.json")
    path.write_bytes(content)
    with structlog.testing.capture_logs() as lines:
        assert position_after_forgetting(kafka_broker, client, topics, tmp_path) is None
    assert "sink.position_unreadable" in [line["event"] for line in lines]


def test_a_copy_that_cannot_be_written_is_reported_once_and_stops_nothing(
    kafka_broker: Broker, tmp_path: Path
) -> None:
    topics, client = four_topics(kafka_broker), sink_client(kafka_broker)
    (tmp_path / "file").touch()
    with (
        structlog.testing.capture_logs() as lines,
        closing(sink_of(client, topics, tmp_path / "file")) as sink,
    ):
        sink.open()
        for line in (1, 2):
            sink.commit([NORMAL], file_position(line))
    assert [line["event"] for line in lines].count("sink.position_not_kept") == 1
    with closing(KafkaSink(client, topics)) as sink:
        assert sink.open() == file_position(2)


@pytest.mark.parametrize("reset", ["earliest", "latest"])
def test_the_offsets_of_a_group_that_was_forgotten_are_found_again(
    kafka_broker: Broker, library: str, tmp_path: Path, reset: str
) -> None:
    (events,) = kafka_broker.create_topics("events", partitions=2)
    topics, client = four_topics(kafka_broker), sink_client(kafka_broker, library)
    client = replace(client, auto_offset_reset=reset)
    for answered, gone in (([10, 10], 0), ([3, 2], 2)):
        with (
            closing(sink_of(client, topics, tmp_path)) as sink,
            closing(KafkaSource(client, [events], acknowledges=False)) as source,
        ):
            last = sink.open()
            beginning = {"group": "g", "offsets": {events: {"0": 0, "1": 0}}}
            source.start(last.source if last else beginning)
            if not gone:
                fill(kafka_broker, events, 0, 1)
            records, position = read(source, sum(answered))
            sink.commit(echo(records), Position(position))
            source.acknowledge(position)
            found = [(gap.partition, gap.records, gap.reset) for gap in source.gaps()]
            assert found == ([(f"{events}/1", gone, False)] if gone else [])
        forget(kafka_broker, client.group_id)
        if not gone:
            fill(kafka_broker, events, 0, count=3)
            fill(kafka_broker, events, 1, count=4)
            delete_records(kafka_broker, events, 12, partition=1)
