"""The Kafka sink, alone and behind the Kafka source, against a real broker."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from kafka.errors import KafkaError
from kafka.structs import ConsumerGroupMetadata

from detectd.errors import BrokerUnavailableError, ConfigError, DetectdError, PartitionsRevokedError
from detectd.kafka import KafkaClient, Membership, confluent_client, kafka_python_client
from detectd.pipeline.records import OUTCOMES, Outgoing, Position, Topic
from detectd.sinks.kafka import KafkaSink
from detectd.sources.kafka import KafkaSource
from tests.support.kafka_clients import (
    NORMAL,
    echo,
    file_position,
    living,
    opened,
    sink_client,
)
from tests.support.kafka_topics import add_partitions, four_topics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from detectd.pipeline.records import Record
    from tests.support.broker import Broker

SECONDS = 20.0


def test_a_commit_writes_each_topic_with_key_headers_and_timestamp(
    kafka_broker: Broker, library: str
) -> None:
    topics = four_topics(kafka_broker)
    headers = (("trace", b"\x00"), ("detectd-verdict", b"normal"), ("trace", b"again"))
    full = Outgoing(Topic.NORMAL, b"{}", key=b"k", headers=headers, timestamp_ms=1234)
    others = [Outgoing(topic, topic.encode()) for topic in OUTCOMES if topic is not Topic.NORMAL]
    with opened(sink_client(kafka_broker, library), topics) as (sink, position):
        assert position is None
        sink.commit([full, *others], file_position(4))
    written = kafka_broker.read_committed(*topics.values())
    ((record),) = written[topics[Topic.NORMAL]]
    assert (record.value, record.key, record.timestamp) == (b"{}", b"k", 1234)
    assert tuple(record.headers) == headers
    for out in others:
        assert [each.value for each in written[topics[out.topic]]] == [out.value]


def test_any_position_rides_in_the_transaction_and_comes_back(
    kafka_broker: Broker, library: str
) -> None:
    topics, client = four_topics(kafka_broker), sink_client(kafka_broker, library)
    with opened(client, topics) as (sink, _):
        for line in range(1, 4):
            sink.commit([NORMAL], file_position(line))
    with opened(client, topics) as (sink, position):
        assert position == file_position(3)
        sink.commit([NORMAL], file_position(4))
    with opened(client, topics) as (_, position):
        assert position == file_position(4)


def test_a_commit_without_records_moves_the_position(kafka_broker: Broker) -> None:
    topics, client = four_topics(kafka_broker), sink_client(kafka_broker)
    with opened(client, topics) as (sink, _):
        sink.commit([], file_position(7))
    with opened(client, topics) as (_, position):
        assert position == file_position(7)


def test_another_transactional_id_has_a_position_of_its_own(kafka_broker: Broker) -> None:
    topics = four_topics(kafka_broker)
    with opened(sink_client(kafka_broker), topics) as (sink, _):
        sink.commit([NORMAL], file_position(1))
    with opened(sink_client(kafka_broker), topics) as (_, position):
        assert position is None


def test_a_failure_between_records_and_position_leaves_neither(
    kafka_broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics, client = four_topics(kafka_broker), sink_client(kafka_broker)

    def fail(*_: object) -> None:
        raise KafkaError("struck by lightning")

    with opened(client, topics) as (sink, _):
        sink.commit([Outgoing(Topic.NORMAL, b"first")], file_position(1))
        monkeypatch.setattr(sink._producer._producer, "send_offsets_to_transaction", fail)
        with pytest.raises(DetectdError, match="lightning") as told:
            sink.commit([Outgoing(Topic.NORMAL, b"second")], file_position(2))
        assert "\n" not in str(told.value)
        # Readers do not wait for what was aborted.
        kafka_broker.produce(topics[Topic.NORMAL], b"another's")
        written = kafka_broker.read_committed(topics[Topic.NORMAL])
    assert [r.value for r in written[topics[Topic.NORMAL]]] == [b"first", b"another's"]
    with opened(client, topics) as (_, position):
        assert position == file_position(1)


KILLED = """
import sys, time
from detectd.pipeline.records import OUTCOMES, Outgoing, Position, Topic
from detectd.sinks.kafka import KafkaSink
from detectd.kafka import KafkaClient

servers, group, transactional_id, step, *names = sys.argv[1:]
client = KafkaClient(servers.split(","), group_id=group, transactional_id=transactional_id)
sink = KafkaSink(client, dict(zip(OUTCOMES, names)))
sink.open()
sink.commit([Outgoing(Topic.NORMAL, b"first")], Position({"line": 1}))

def halt(*_):
    print("halted", flush=True)
    time.sleep(600)

setattr(sink._producer._producer, step, halt)
sink.commit([Outgoing(Topic.NORMAL, b"second")], Position({"line": 2}))
"""


@pytest.mark.parametrize("step", ["flush", "send_offsets_to_transaction", "commit_transaction"])
def test_a_process_killed_before_its_commit_leaves_nothing_of_it(
    kafka_broker: Broker, step: str
) -> None:
    topics, client = four_topics(kafka_broker), sink_client(kafka_broker)
    identity = [",".join(client.bootstrap_servers), client.group_id, str(client.transactional_id)]
    command = [sys.executable, "-c", KILLED, *identity, step, *topics.values()]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"halted\n"
        process.kill()
    with opened(client, topics) as (sink, position):
        assert position == Position({"line": 1})
        sink.commit([Outgoing(Topic.NORMAL, b"second again")], Position({"line": 2}))
    written = kafka_broker.read_committed(topics[Topic.NORMAL])
    assert [r.value for r in written[topics[Topic.NORMAL]]] == [b"first", b"second again"]


def test_whoever_opens_later_fences_the_one_before(kafka_broker: Broker, library: str) -> None:
    topics, client = four_topics(kafka_broker), sink_client(kafka_broker, library)
    with opened(client, topics) as (zombie, _):
        zombie.commit([Outgoing(Topic.NORMAL, b"first")], file_position(1))
        with opened(client, topics) as (successor, position):
            assert position == file_position(1)
            with pytest.raises(DetectdError, match="another process with this transactional id"):
                zombie.commit([Outgoing(Topic.NORMAL, b"zombie's")], file_position(2))
            successor.commit([Outgoing(Topic.NORMAL, b"second")], file_position(2))
    written = kafka_broker.read_committed(topics[Topic.NORMAL])
    assert [record.value for record in written[topics[Topic.NORMAL]]] == [b"first", b"second"]


def test_equal_keys_share_a_partition_and_the_keyless_keep_their_own(
    kafka_broker: Broker, library: str
) -> None:
    topics = four_topics(kafka_broker, partitions=3)
    keyed = [Outgoing(Topic.NORMAL, b"%d" % n, key=b"%d" % (n % 7)) for n in range(70)]
    bare = [Outgoing(Topic.ANOMALY, b"%d" % n, partition=n % 5) for n in range(50)]
    with opened(sink_client(kafka_broker, library), topics) as (sink, _):
        sink.commit([*keyed, *bare], file_position(1))
    written = kafka_broker.read_committed(*topics.values())
    places = {(record.key, record.partition) for record in written[topics[Topic.NORMAL]]}
    assert len(places) == 7
    assert len({partition for _, partition in places}) > 1
    for record in written[topics[Topic.ANOMALY]]:
        assert record.partition == int(record.value) % 5 % 3
    for name in (topics[Topic.NORMAL], topics[Topic.ANOMALY]):
        for partition in range(3):
            values = [int(r.value) for r in written[name] if r.partition == partition]
            assert values == sorted(values)


@pytest.mark.parametrize("stamp", [-5, 2**53, None])
def test_a_timestamp_that_brokers_refuse_does_not_stop_the_stream(
    kafka_broker: Broker, stamp: int | None
) -> None:
    topics = four_topics(kafka_broker)
    with opened(sink_client(kafka_broker), topics) as (sink, _):
        sink.commit([Outgoing(Topic.NORMAL, b"", timestamp_ms=stamp)], file_position(1))
    ((record),) = kafka_broker.read_committed(topics[Topic.NORMAL])[topics[Topic.NORMAL]]
    assert abs(record.timestamp - time.time() * 1000) < 60_000


def test_an_output_too_large_for_its_topic_says_what_to_raise(kafka_broker: Broker) -> None:
    topics = four_topics(kafka_broker)
    with opened(sink_client(kafka_broker), topics) as (sink, _):
        huge = Outgoing(Topic.NORMAL, os.urandom(2 * 1024 * 1024))
        with pytest.raises(DetectdError, match=r"raise max\.message\.bytes"):
            sink.commit([NORMAL, huge], file_position(1))
    assert kafka_broker.read_committed(topics[Topic.NORMAL])[topics[Topic.NORMAL]] == []


def test_missing_topics_are_named_with_their_keys(kafka_broker: Broker) -> None:
    topics = four_topics(kafka_broker) | {Topic.ANOMALY: "nowhere"}
    sink = KafkaSink(sink_client(kafka_broker), topics)
    with pytest.raises(ConfigError, match=r"^topics: anomaly = 'nowhere': no such topic"):
        sink.open()
    sink.close()


@pytest.mark.parametrize(
    "transport", [kafka_python_client, confluent_client], ids=lambda each: each.__name__
)
def test_what_was_taken_back_does_not_come_with_the_next_transaction(
    kafka_broker: Broker, transport: Any
) -> None:
    (events,) = kafka_broker.create_topics("events", partitions=2)
    client = sink_client(kafka_broker)
    producer = transport.Producer(client, client.transactional_id, 1_000_000)
    with closing(producer):
        producer.take_over()
        producer.begin()
        producer.add_offsets({(events, 1): (500, "")}, client.group_id, None)
        producer.abort()
        # Refused, since nobody with this name is in the group: taken back as well.
        producer.begin()
        if transport is kafka_python_client:
            gone = ConsumerGroupMetadata(client.group_id, 7, "gone")
            with pytest.raises(PartitionsRevokedError):
                producer.add_offsets({(events, 1): (600, "")}, client.group_id, gone)
        producer.abort()
        producer.begin()
        producer.add_offsets({(events, 0): (10, "")}, client.group_id, None)
        producer.commit()
    offsets = kafka_broker.committed_offsets(client.group_id)
    assert {place.partition: mark.offset for place, mark in offsets.items()} == {0: 10}


# Kafka to Kafka


@contextmanager
def started(client: KafkaClient, topic: str, position: Position | None) -> Iterator[KafkaSource]:
    with closing(KafkaSource(client, [topic], acknowledges=False)) as source:
        source.start(position.source if position else None)
        yield source


def test_kafka_to_kafka_commits_the_group_s_offsets_with_the_records(
    kafka_broker: Broker, library: str
) -> None:
    (events,) = kafka_broker.create_topics("events", partitions=2)
    topics, client = four_topics(kafka_broker), sink_client(kafka_broker, library)
    kafka_broker.produce(events, *({"value": b"%d" % n, "partition": n % 2} for n in range(50)))
    answered = 0
    while answered < 50:
        # Every commit by another process than the one before.
        with opened(client, topics) as (sink, last), started(client, events, last) as source:
            assert last is None or last.state == {"answered": answered}
            records: list[Record] = []
            deadline = time.monotonic() + SECONDS
            while not records:
                batch = source.read(20, wait=0.2)
                records = batch.records
                assert time.monotonic() < deadline
            answered += len(records)
            sink.commit(echo(records), Position(batch.position, {"answered": answered}))
            source.acknowledge(batch.position)
    written = kafka_broker.read_committed(topics[Topic.NORMAL])[topics[Topic.NORMAL]]
    assert sorted(int(record.value) for record in written) == list(range(50))
    offsets = kafka_broker.committed_offsets(client.group_id)
    assert {place: offset.offset for place, offset in offsets.items()} == {
        (events, 0): 25,
        (events, 1): 25,
    }


def test_the_newest_commit_of_the_transactional_id_counts(
    kafka_broker: Broker, library: str
) -> None:
    (events,) = kafka_broker.create_topics("events")
    topics, client = four_topics(kafka_broker), sink_client(kafka_broker, library)
    kafka_broker.produce(events, b"0", b"1")
    with opened(client, topics) as (sink, _):
        sink.commit([NORMAL], file_position(1))
    with opened(client, topics) as (sink, last), started(client, events, None) as source:
        assert last == file_position(1)
        batch = source.read(1, wait=SECONDS)
        sink.commit(echo(batch.records), Position(batch.position, {"answered": 1}))
    with opened(client, topics) as (sink, last):
        assert last == Position({"group": client.group_id}, {"answered": 1})
        sink.commit([NORMAL], file_position(2))
    with opened(client, topics) as (_, last):
        assert last == file_position(2)
    with opened(replace(client, transactional_id="another"), topics) as (_, last):
        assert last is None


def test_an_uncommitted_batch_is_read_again(kafka_broker: Broker) -> None:
    (events,) = kafka_broker.create_topics("events")
    topics, client = four_topics(kafka_broker), sink_client(kafka_broker)
    kafka_broker.produce(events, b"0", b"1", b"2")
    for _ in range(2):
        with opened(client, topics) as (_, last), started(client, events, last) as source:
            assert len(source.read(3, wait=SECONDS).records) == 3


def test_an_idle_kafka_source_costs_no_transaction(kafka_broker: Broker) -> None:
    (events,) = kafka_broker.create_topics("events")
    topics, client = four_topics(kafka_broker), sink_client(kafka_broker)
    with opened(client, topics) as (sink, last), started(client, events, last) as source:
        for _ in range(3):
            sink.commit([], Position(source.read(10, wait=0.3).position))
        assert kafka_broker.committed_offsets(client.group_id) == {}
        kafka_broker.produce(events, b"0")
        batch = source.read(1, wait=SECONDS)
        sink.commit(echo(batch.records), Position(batch.position))
        before = ends(kafka_broker, client)
        for _ in range(3):
            sink.commit([], Position(source.read(10, wait=0.1).position))
        assert ends(kafka_broker, client) == before


def ends(broker: Broker, client: KafkaClient) -> dict[Any, Any]:
    """The group's offsets with their metadata, which number the commits."""
    return broker.committed_offsets(client.group_id)


def test_a_member_that_lost_its_partitions_cannot_commit(
    kafka_broker: Broker, library: str
) -> None:
    (events,) = kafka_broker.create_topics("events", partitions=2)
    topics, client = four_topics(kafka_broker), sink_client(kafka_broker, library)
    kafka_broker.produce(events, *({"value": b"x", "partition": n % 2} for n in range(10)))
    other = replace(client, membership=Membership())
    with opened(client, topics) as (sink, last), started(client, events, last) as slow:
        old = slow.read(10, wait=SECONDS)
        member = client.membership.member
        assert len(old.records) == 10
        with living(other, events, acknowledges=False) as theirs:
            # The slow one polls, but its batch is still being answered.
            while not theirs:
                with suppress(PartitionsRevokedError):
                    slow.read(10, wait=0.1)
            client.membership.member = member
            with pytest.raises(
                PartitionsRevokedError, match="the group went on without this process"
            ):
                sink.commit(echo(old.records), Position(old.position))
            # The sink is none the worse for it.
            sink.commit([NORMAL], file_position(1))
    written = kafka_broker.read_committed(topics[Topic.NORMAL])[topics[Topic.NORMAL]]
    assert [record.value for record in written] == [b"normal"]
    assert kafka_broker.committed_offsets(client.group_id) == {}


def test_outputs_that_are_given_partitions_are_opened_again(kafka_broker: Broker) -> None:
    topics, client = four_topics(kafka_broker), sink_client(kafka_broker)
    out = Outgoing(Topic.NORMAL, b"normal", partition=1)
    with closing(KafkaSink(client, topics, preserve_partition=True)) as sink:
        sink.open()
        with pytest.raises(ConfigError, match="has 1 partitions, and a record came"):
            sink.commit([out], file_position(1))
        add_partitions(kafka_broker, topics[Topic.NORMAL], 2)
        with pytest.raises(BrokerUnavailableError, match="more partitions"):
            sink.commit([out], file_position(1))
    with closing(KafkaSink(client, topics, preserve_partition=True)) as sink:
        sink.open()
        sink.commit([out], file_position(1))
    (record,) = kafka_broker.read_committed(topics[Topic.NORMAL])[topics[Topic.NORMAL]]
    assert record.partition == 1
