"""The Kafka source against a real broker."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from kafka import KafkaProducer
from kafka.structs import MemberState

from detectd.errors import ConfigError, PartitionsRevokedError
from detectd.kafka import KafkaClient
from detectd.sources.kafka import KafkaSource
from tests.support.kafka_clients import another, living, read, source_client, started
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.support.broker import Broker

SECONDS = 20.0


def test_records_keep_value_key_headers_timestamp_and_place(
    kafka_broker: Broker, library: str
) -> None:
    (topic,) = kafka_broker.create_topics("kept")
    headers = [("trace", b"\x00\xff"), ("trace", b"again")]
    sent = {"value": b"{}", "key": b"k", "headers": headers, "timestamp_ms": 1234}
    kafka_broker.produce(topic, sent, {"value": None, "key": b"gone"}, b"\xff\x00")
    with started(source_client(kafka_broker, library), topic) as source:
        (full, tombstone, bare), position = read(source, 3)
    assert (full.value, full.key, full.timestamp_ms) == (b"{}", b"k", 1234)
    assert full.headers == tuple(headers)
    assert (full.id, full.partition) == (f"{topic}/0/0", 0)
    assert (tombstone.value, tombstone.key) == (None, b"gone")
    assert (bare.value, bare.key, bare.headers) == (b"\xff\x00", None, ())
    assert position["offsets"] == {topic: {"0": 3}}


def test_limit_bounds_a_batch_and_nothing_is_skipped(kafka_broker: Broker, library: str) -> None:
    (topic,) = kafka_broker.create_topics("limit", partitions=3)
    kafka_broker.produce(topic, *({"value": b"%d" % n, "partition": n % 3} for n in range(100)))
    with started(source_client(kafka_broker, library), topic) as source:
        sizes, seen = [], []
        while len(seen) < 100:
            batch = source.read(7, wait=0.5)
            sizes.append(len(batch.records))
            seen += batch.records
    assert max(sizes) == 7
    assert sorted(int(record.value or b"") for record in seen) == list(range(100))
    for partition in range(3):
        offsets = [int(r.id.rsplit("/")[-1]) for r in seen if r.partition == partition]
        assert offsets == sorted(offsets)


def test_a_batch_of_several_fetches_keeps_the_limit(kafka_broker: Broker) -> None:
    (topic,) = kafka_broker.create_topics("fetches")
    kafka_broker.produce(topic, *[b""] * 10)
    with started(source_client(kafka_broker), topic) as source:
        read(source, 7)
        kafka_broker.produce(topic, *[b""] * 10)
        assert len(source.read(7, wait=1).records) == 7
        assert len(source.read(7, wait=1).records) == 6


def test_a_position_holds_only_partitions_of_this_member(
    kafka_broker: Broker, library: str
) -> None:
    (topic,) = kafka_broker.create_topics("moved", partitions=2)
    kafka_broker.produce(topic, *({"value": b"", "partition": p} for p in range(2)))
    client = source_client(kafka_broker, library)
    with started(client, topic, acknowledges=False) as first:
        _, position = read(first, 2)
        assert position["offsets"] == {topic: {"0": 1, "1": 1}}
        first.acknowledge(position)
        with living(another(client), topic, acknowledges=False):
            until(lambda: not first.read(1, wait=0.1).records and len(first.partitions()) == 1)
            kafka_broker.produce(topic, *({"value": b"", "partition": p} for p in range(2)))
            _, position = read(first, 1)
    ((_, offset),) = position["offsets"][topic].items()
    assert offset == 2


def test_records_of_an_open_or_aborted_transaction_are_not_read(
    kafka_broker: Broker, library: str
) -> None:
    (topic,) = kafka_broker.create_topics("isolation")
    writer = kafka_broker.client(KafkaProducer, transactional_id=f"other-{topic}")
    with closing(writer), started(source_client(kafka_broker, library), topic) as source:
        writer.init_transactions()
        writer.begin_transaction()
        writer.send(topic, b"taken back").get(SECONDS)
        assert source.read(10, wait=0.5).records == []
        writer.abort_transaction()
        kafka_broker.produce(topic, b"kept")
        ((record,), _) = read(source, 1)
    assert record.value == b"kept"


def test_a_position_is_where_each_partition_goes_on(kafka_broker: Broker, library: str) -> None:
    (topic,) = kafka_broker.create_topics("resume", partitions=3)
    kafka_broker.produce(topic, *({"value": b"%d" % n, "partition": n // 10} for n in range(30)))
    client = source_client(kafka_broker, library)
    position = {"group": {"group_id": "x"}, "offsets": {topic: {"0": 4, "1": 9}}}
    with started(client, topic, position=position) as source:
        records, after = read(source, 17)
        values = sorted(int(record.value or b"") for record in records)
        assert values == [*range(4, 10), 19, *range(20, 30)]
        assert after["offsets"] == {topic: {"0": 10, "1": 10, "2": 10}}


def test_a_position_keeps_partitions_that_have_not_been_read_again(kafka_broker: Broker) -> None:
    (topic,) = kafka_broker.create_topics("silent", partitions=2)
    kafka_broker.produce(topic, *({"value": b"%d" % n, "partition": n // 5} for n in range(10)))
    position = {"group": {}, "offsets": {topic: {"0": 3, "1": 5}}}
    with started(source_client(kafka_broker), topic, position=position) as source:
        _, after = read(source, 2)
    assert after["offsets"] == {topic: {"0": 5, "1": 5}}


def test_without_a_position_the_offsets_of_the_group_hold(
    kafka_broker: Broker, library: str
) -> None:
    (topic,) = kafka_broker.create_topics("group")
    kafka_broker.produce(topic, b"0", b"1", b"2")
    client = source_client(kafka_broker, library)
    with started(client, topic) as source:
        assert source.begins()
        _, position = read(source, 2)
        source.acknowledge(position)
    with started(client, topic, position={"group": {"group_id": "x"}}) as source:
        assert not source.begins()  # a restart, or a member that comes later
        ((record,), _) = read(source, 1)
    assert record.value == b"2"
    ((offset),) = kafka_broker.committed_offsets(client.group_id).values()
    assert offset.offset == 2


def test_a_sink_that_commits_the_offsets_is_not_anticipated(kafka_broker: Broker) -> None:
    (topic,) = kafka_broker.create_topics("quiet")
    kafka_broker.produce(topic, b"0")
    client = source_client(kafka_broker)
    with started(client, topic, acknowledges=False) as source:
        _, position = read(source, 1)
        source.acknowledge(position)
    assert kafka_broker.committed_offsets(client.group_id) == {}


def test_latest_begins_with_what_comes_after_the_start(kafka_broker: Broker) -> None:
    (topic,) = kafka_broker.create_topics("latest")
    kafka_broker.produce(topic, b"old")
    with started(source_client(kafka_broker, auto_offset_reset="latest"), topic) as source:
        deadline = time.monotonic() + SECONDS
        for n in itertools.count():
            # The first of these that comes after the assignment is the first that is read.
            kafka_broker.produce(topic, b"new %d" % n)
            records = source.read(1, wait=0.2).records
            if records:
                break
            assert time.monotonic() < deadline
    assert (records[0].value or b"").startswith(b"new")


def test_two_members_share_the_partitions_without_loss(kafka_broker: Broker, library: str) -> None:
    (topic,) = kafka_broker.create_topics("shared", partitions=4)
    client = source_client(kafka_broker, library)
    produced = 0
    with started(client, topic) as first:
        mine: list[str] = []
        with living(another(client), topic) as theirs:
            # The second one joins when the first has begun. What is only told to the group may be
            # read again when a partition moves, so that only distinct records count.
            while len({name.split("/")[1] for name in theirs}) < 2 or (
                len({*mine, *theirs}) < produced
            ):
                if len(theirs) < 2:
                    kafka_broker.produce(topic, *({"value": b"", "partition": p} for p in range(4)))
                    produced += 4
                mine += take(first)
            # Neither tells the group an old offset of a partition that the other has read further.
            until(
                lambda: (
                    take(first) is not None
                    and offsets_of(kafka_broker, client) == [produced // 4] * 4
                )
            )
    assert len({*mine, *theirs}) == produced
    assert offsets_of(kafka_broker, client) == [produced // 4] * 4


def offsets_of(broker: Broker, client: KafkaClient) -> list[int]:
    return [told.offset for told in broker.committed_offsets(client.group_id).values()]


def test_partitions_that_leave_with_unanswered_records_take_them_along(
    kafka_broker: Broker, library: str
) -> None:
    (topic,) = kafka_broker.create_topics("taken", partitions=2)
    kafka_broker.produce(topic, *({"value": b"", "partition": p} for p in range(2)))
    client = source_client(kafka_broker, library)
    with started(client, topic) as first:
        read(first, 2)
        with living(another(client), topic) as theirs:
            with pytest.raises(PartitionsRevokedError, match=f"{topic}/. went to another member"):
                read(first, 10)
            # What has stayed is read again, and what has gone is not.
            first.rewind()
            mine: list[str] = []

            def all_are_read() -> bool:
                mine.extend(take(first))
                return len(mine + theirs) >= 2

            until(all_are_read)
    assert sorted(mine + theirs) == [f"{topic}/0/0", f"{topic}/1/0"]


def take(source: KafkaSource) -> list[str]:
    batch = source.read(100, wait=0.1)
    source.acknowledge(batch.position)
    return [record.id for record in batch.records]


def test_a_join_that_outlives_the_poll_that_began_it_is_seen_through(
    kafka_broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    (topic,) = kafka_broker.create_topics("in")
    kafka_broker.produce(topic, b"1")
    with started(source_client(kafka_broker), topic) as source:
        read(source, 1)
        coordinator = source._consumer._consumer._coordinator
        share_out = coordinator._perform_assignment

        def share_out_slowly(*members: Any) -> Any:
            time.sleep(0.5)
            return share_out(*members)

        monkeypatch.setattr(coordinator, "_perform_assignment", share_out_slowly)
        coordinator._assignment_snapshot = {}  # as if the topic had not been known then
        generation = coordinator._generation.generation_id
        until(
            lambda: source.read(1, wait=0.2) and coordinator._generation.generation_id > generation
        )
        until(lambda: source.read(1, wait=0.2) and coordinator.state == MemberState.STABLE)


def test_a_silent_broker_gives_an_empty_batch_in_time(kafka_broker: Broker) -> None:
    if not kafka_broker.pids:
        pytest.skip("only a broker of our own may be halted")
    (topic,) = kafka_broker.create_topics("halted")
    kafka_broker.produce(topic, b"0")
    with started(source_client(kafka_broker), topic) as source:
        read(source, 1)
        try:
            for pid in kafka_broker.pids:
                os.kill(pid, signal.SIGSTOP)
            began = time.monotonic()
            batch = source.read(10, wait=0.5)
            took = time.monotonic() - began
        finally:
            for pid in kafka_broker.pids:
                os.kill(pid, signal.SIGCONT)
        assert batch.records == []
        assert batch.position["offsets"] == {topic: {"0": 1}}
        assert 0.4 < took < 10  # the client's own patience is longer
        kafka_broker.produce(topic, b"1")
        ((record,), _) = read(source, 1)
        assert record.value == b"1"


def test_missing_topics_are_named(kafka_broker: Broker) -> None:
    (topic,) = kafka_broker.create_topics("there")
    source = KafkaSource(
        source_client(kafka_broker), [topic, "nowhere", "no/name"], acknowledges=True
    )
    with pytest.raises(ConfigError, match=r"^source\.topics: nowhere, no/name: no such topic"):
        source.start(None)
    source.close()


@pytest.mark.parametrize(
    "position", [{"line": 7}, {"group": {}, "offsets": {"elsewhere": {"0": 1}}}]
)
def test_the_position_of_another_source_is_refused(
    kafka_broker: Broker, position: dict[str, Any]
) -> None:
    (topic,) = kafka_broker.create_topics("stranger")
    source = KafkaSource(source_client(kafka_broker), [topic], acknowledges=True)
    with pytest.raises(ConfigError, match="another source"):
        source.start(position)


def test_brokers_that_do_not_answer_are_named_in_one_line() -> None:
    # In a process of its own: kafka-python leaves the sockets of failed connections open.
    code = """
from detectd.errors import DetectdError
from detectd.kafka import KafkaClient
from detectd.sources.kafka import KafkaSource
try:
    client = KafkaClient(["127.0.0.1:1"], patience=0.5)
    KafkaSource(client, ["events"], acknowledges=True).start(None)
except DetectdError as error:
    print(error.exit_code, error)
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20)
    (line,) = told.stdout.splitlines()
    assert line.startswith("1 kafka.bootstrap_servers: no answer from 127.0.0.1:1: Connection re")


def test_an_option_that_kafka_does_not_know_is_the_configuration_s_fault(
    kafka_broker: Broker,
) -> None:
    client = KafkaClient(kafka_broker.servers, extra={"colour": "red"})
    with pytest.raises(ConfigError, match="colour"):
        KafkaSource(client, ["events"], acknowledges=True).start(None)
