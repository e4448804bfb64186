"""What the brokers no longer have, have again, or have in addition: nothing is passed over."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from detectd.errors import BrokerUnavailableError, ConfigError
from detectd.kafka import Membership
from detectd.sources import topic_ids
from detectd.sources.beginnings import beginning
from detectd.sources.kafka import KafkaSource
from tests.support.kafka_clients import another, read, source_client, started
from tests.support.kafka_topics import add_partitions, create_again, delete_records, fill
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from detectd.kafka import KafkaClient
    from detectd.pipeline.records import Gap, Record
    from detectd.sources import Batch
    from tests.support.broker import Broker


SECONDS = 20.0


def take(source: KafkaSource, count: int) -> list[str]:
    """Read and acknowledge `count` records; return their ids."""
    records, position = read(source, count)
    source.acknowledge(position)
    return [record.id for record in records]


def turn(source: KafkaSource) -> list[str]:
    """Read and acknowledge what is there; return the ids."""
    batch = source.read(10, wait=0.1)
    source.acknowledge(batch.position)
    return [record.id for record in batch.records]


@contextmanager
def again(
    client: KafkaClient,
    topic: str,
    offsets: dict[str, int] | None = None,
    *,
    acknowledges: bool = True,
) -> Iterator[Iterator[KafkaSource]]:
    """Give a source each time, and close the one before, as the service does when interrupted."""
    with ExitStack() as stack:

        def sources() -> Iterator[KafkaSource]:
            while True:
                stack.close()
                position = {"group": "g", "offsets": {topic: offsets}} if offsets else None
                yield stack.enter_context(
                    started(client, topic, position=position, acknowledges=acknowledges)
                )

        yield sources()


def with_gap(sources: Iterator[KafkaSource]) -> tuple[KafkaSource, Batch]:
    """Read until a batch has a gap, from the next source if one is interrupted."""
    batches = []

    def read_one() -> bool:
        batches.append(source.read(10, wait=0.1))
        return bool(batches[-1].gaps)

    source = next(sources)
    try:
        until(read_one)
    except BrokerUnavailableError:
        source = next(sources)
        until(read_one)
    return source, batches[-1]


def read_on(
    source: KafkaSource, sources: Iterator[KafkaSource], count: int
) -> tuple[KafkaSource, list[Record], dict[str, Any]]:
    """Read `count` records, from the next source if this one is interrupted."""
    try:
        return source, *read(source, count)
    except BrokerUnavailableError:
        source = next(sources)
        return source, *read(source, count)


@pytest.fixture
def log() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as lines:
        yield lines


def gaps_in(log: list[Any]) -> list[tuple[Any, ...]]:
    return [
        (line["partition"], line["from"], line["to"], line["count"])
        for line in log
        if line["event"] == "source.gap"
    ]


def emptied(broker: Broker, library: str) -> tuple[str, KafkaClient]:
    """A topic whose ten records are gone, four of them read; and the client that read them."""
    (topic,) = broker.create_topics("emptied")
    client = source_client(broker, library)
    fill(broker, topic, 0)
    with started(client, topic) as source:
        take(source, 4)
    delete_records(broker, topic, 10)
    return topic, client


def bounds(gaps: Iterable[Gap]) -> list[tuple[Any, ...]]:
    return [(gap.partition, gap.begin, gap.end, gap.records, gap.reset) for gap in gaps]


@pytest.mark.parametrize("reset", ["earliest", "latest"])
def test_records_that_retention_deleted_while_down_are_counted(
    kafka_broker: Broker, library: str, reset: str, log: list[Any]
) -> None:
    (topic,) = kafka_broker.create_topics("retained")
    client = source_client(kafka_broker, library, auto_offset_reset="earliest")
    fill(kafka_broker, topic, 0)
    with started(client, topic) as source:
        take(source, 4)
    delete_records(kafka_broker, topic, 7)
    client = replace(client, auto_offset_reset=reset, membership=Membership())
    with again(client, topic) as sources:
        source, records, position = read_on(next(sources), sources, 3)
        assert [record.id for record in records] == [f"{topic}/0/{n}" for n in (7, 8, 9)]
        source.acknowledge(position)
        assert bounds(source.gaps()) == [(f"{topic}/0", 4, 7, 3, False)]
        assert source.gaps() == []
    assert gaps_in(log) == [(f"{topic}/0", 4, 7, 3)]


def test_records_that_retention_deleted_before_a_slow_reader_are_counted(
    kafka_broker: Broker, library: str, log: list[Any]
) -> None:
    (topic,) = kafka_broker.create_topics("slow")
    client = source_client(kafka_broker, library)
    fill(kafka_broker, topic, 0)
    with again(client, topic, {"0": 0}) as sources:
        source = next(sources)
        take(source, 10)
        delete_records(kafka_broker, topic, 6)
        source._consumer.seek((topic, 0), 0)  # as if it had come no further
        source._next[topic, 0] = 0
        source, records, position = read_on(source, sources, 4)
        assert [record.id for record in records] == [f"{topic}/0/{n}" for n in range(6, 10)]
        assert source.gaps() == []  # It is not committed yet.
        source.acknowledge(position)
        assert bounds(source.gaps()) == [(f"{topic}/0", 0, 6, 6, False)]
    assert gaps_in(log) == [(f"{topic}/0", 0, 6, 6)]


def test_a_gap_is_committed_even_if_no_record_is_left(
    kafka_broker: Broker, library: str, log: list[Any]
) -> None:
    topic, client = emptied(kafka_broker, library)
    with again(client, topic) as sources:
        source = next(sources)
        try:
            until(lambda: turn(source) == [] and source.gaps())
        except BrokerUnavailableError:
            source = next(sources)
            until(lambda: turn(source) == [] and source.gaps())
    with started(client, topic) as source:
        fill(kafka_broker, topic, 0, count=1)
        assert take(source, 1) == [f"{topic}/0/10"]
        assert source.gaps() == []
    assert gaps_in(log) == [(f"{topic}/0", 4, 10, 6)]


@pytest.mark.parametrize("acknowledges", [True, False])
def test_a_gap_belongs_to_each_batch_until_one_is_committed(
    kafka_broker: Broker, library: str, acknowledges: bool
) -> None:
    topic, client = emptied(kafka_broker, library)
    found = []
    for _ in range(2):  # As if the first process had died before its commit.
        client = another(client)
        with again(client, topic, acknowledges=acknowledges) as sources:
            source, batch = with_gap(sources)
            source.rewind()
            found += [batch, source.read(10, wait=0.1)]
    (gap,) = found[0].gaps
    assert bounds([gap]) == [(f"{topic}/0", 4, 10, 6, False)]
    assert [list(batch.gaps) for batch in found] == [[gap]] * 4
    # No record came, and yet its position names the partition: the next process begins behind it.
    assert all(batch.position["offsets"] == {topic: {"0": 10}} for batch in found)
    assert not any(batch.records for batch in found)


@pytest.mark.parametrize("acknowledges", [True, False])
def test_a_partition_that_was_added_is_read_from_its_beginning(
    kafka_broker: Broker, library: str, acknowledges: bool
) -> None:
    (topic,) = kafka_broker.create_topics("grown")
    fill(kafka_broker, topic, 0)
    client = source_client(kafka_broker, library, auto_offset_reset="latest", metadata_age=0.5)
    with started(client, topic, acknowledges=acknowledges) as source:
        until(lambda: source.read(1, wait=0.1).position["offsets"] == {topic: {"0": 10}})
        add_partitions(kafka_broker, topic, 2)
        fill(kafka_broker, topic, 1, count=3)
        assert take(source, 3) == [f"{topic}/1/{n}" for n in range(3)]


def test_a_partition_that_was_added_while_down_is_read_from_its_beginning(
    kafka_broker: Broker, library: str, log: list[Any]
) -> None:
    (topic,) = kafka_broker.create_topics("grown")
    fill(kafka_broker, topic, 0)
    client = source_client(kafka_broker, library, auto_offset_reset="latest")
    with started(client, topic) as source:
        until(lambda: source.read(1, wait=0.1).position["offsets"])
        turn(source)
    add_partitions(kafka_broker, topic, 2)
    fill(kafka_broker, topic, 1, count=3)
    delete_records(kafka_broker, topic, 1, partition=1)
    with started(client, topic) as source:
        assert take(source, 2) == [f"{topic}/1/1", f"{topic}/1/2"]
    assert gaps_in(log) == [(f"{topic}/1", 0, 1, 1)]


def test_where_a_new_group_began_is_where_it_goes_on(kafka_broker: Broker, library: str) -> None:
    (topic,) = kafka_broker.create_topics("latest", partitions=2)
    fill(kafka_broker, topic, 0, 1)
    client = source_client(kafka_broker, library, auto_offset_reset="latest")
    with started(client, topic) as source:
        until(lambda: source.read(1, wait=0.1).position["offsets"] == {topic: {"0": 10, "1": 10}})
        fill(kafka_broker, topic, 0, count=1)
        assert take(source, 1) == [f"{topic}/0/10"]
    fill(kafka_broker, topic, 1, count=2)  # while it is down, to the partition that was silent
    with started(client, topic) as source:
        assert take(source, 2) == [f"{topic}/1/10", f"{topic}/1/11"]


@pytest.mark.parametrize("reset", ["earliest", "latest"])
@pytest.mark.parametrize("known", ["by its process", "by the outputs"])
def test_a_topic_that_was_created_again_is_read_from_its_beginning(
    kafka_broker: Broker, library: str, reset: str, known: str, log: list[Any]
) -> None:
    (topic,) = kafka_broker.create_topics("recreated")
    client = source_client(kafka_broker, library, auto_offset_reset=reset)
    fill(kafka_broker, topic, 0)
    with started(client, topic, position={"group": "g", "offsets": {topic: {"0": 0}}}) as source:
        _, position = read(source, 8)
        source.acknowledge(position)
    create_again(kafka_broker, topic)
    fill(kafka_broker, topic, 0, count=9)  # It has an offset 8 again.
    if known == "by the outputs":
        client = another(client)
    with started(client, topic, position=position) as source:
        assert take(source, 9) == [f"{topic}/0/{n}" for n in range(9)]
        assert bounds(source.gaps()) == [(f"{topic}/0", 8, 0, 0, True)]
    assert [line["topic"] for line in log if line["event"] == "source.topic_recreated"] == [topic]


def test_a_topic_that_is_created_again_in_mid_run_is_noticed(
    kafka_broker: Broker, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topic_ids, "CHECK_SECONDS", 0.2)
    (topic,) = kafka_broker.create_topics("recreated")
    client = source_client(kafka_broker, library, auto_offset_reset="latest", metadata_age=0.5)
    with started(client, topic, acknowledges=False) as source:
        until(lambda: source.read(1, wait=0.1).position)
        create_again(kafka_broker, topic)
        fill(kafka_broker, topic, 0, count=3)
        with pytest.raises(BrokerUnavailableError):
            until(lambda: source.read(1, wait=0.1) and False)
    with started(client, topic, acknowledges=False) as source:
        assert take(source, 3) == [f"{topic}/0/{n}" for n in range(3)]
        assert bounds(source.gaps()) == [(f"{topic}/0", 0, 0, 0, True)]


def test_a_topic_that_is_created_again_and_is_shorter_is_read_once(
    kafka_broker: Broker, library: str, log: list[Any]
) -> None:
    (topic,) = kafka_broker.create_topics("recreated")
    client = source_client(kafka_broker, library, metadata_age=0.5)
    fill(kafka_broker, topic, 0)
    with started(client, topic, position={"group": "g", "offsets": {topic: {"0": 0}}}) as source:
        records, position = read(source, 10)
        source.acknowledge(position)
        create_again(kafka_broker, topic)
        fill(kafka_broker, topic, 0, count=3)
        with pytest.raises(BrokerUnavailableError):
            until(lambda: source.read(1, wait=0.1).records)
    # An interruption before the next commit changes nothing.
    with started(client, topic, position=position):
        pass
    with started(client, topic, position=position) as source:
        records, position = read(source, 3)
        assert [record.id for record in records] == [f"{topic}/0/{n}" for n in range(3)]
        source.acknowledge(position)
        assert bounds(source.gaps()) == [(f"{topic}/0", 10, 0, 0, True)]
        source._ids.require_same()
    with started(client, topic, position=position) as source:
        fill(kafka_broker, topic, 0, count=1)
        assert take(source, 1) == [f"{topic}/0/3"]
        assert source.gaps() == []
    assert [line["topic"] for line in log if line["event"] == "source.topic_recreated"] == [topic]
    assert gaps_in(log) == []


def test_an_offset_beyond_the_end_goes_on_at_the_end(
    kafka_broker: Broker, library: str, log: list[Any]
) -> None:
    (topic,) = kafka_broker.create_topics("cut-back")
    client = source_client(kafka_broker, library)
    fill(kafka_broker, topic, 0, count=5)
    with again(client, topic, {"0": 8}) as sources:
        source = next(sources)
        try:
            until(lambda: source.read(1, wait=0.1).position["offsets"] == {topic: {"0": 5}})
        except BrokerUnavailableError:
            source = next(sources)
        until(lambda: source.read(1, wait=0.1).position["offsets"] == {topic: {"0": 5}})
        fill(kafka_broker, topic, 0, count=1)
        assert take(source, 1) == [f"{topic}/0/5"]
        assert bounds(source.gaps()) == [(f"{topic}/0", 8, 5, 0, True)]
    assert gaps_in(log) == [(f"{topic}/0", 8, 5, 0)]


@pytest.mark.parametrize(
    ("at", "options", "offset", "lost", "reset"),
    [
        (None, {"new_group": True}, 10, 0, False),
        (None, {"new_group": True, "latest": True}, 20, 0, False),
        (None, {"latest": True}, 10, 10, False),
        (3, {"latest": True}, 10, 7, False),
        (15, {"latest": True}, 15, 0, False),
        (10, {}, 10, 0, False),
        (20, {}, 20, 0, False),
        (21, {}, 20, 0, True),
        (21, {"parted": 12}, 12, 0, True),
        (15, {"parted": 12}, 12, 0, True),
        (15, {"parted": 4}, 15, 0, False),
        (21, {"recreated": True}, 10, 10, True),
        (15, {"recreated": True}, 10, 10, True),
        (None, {"recreated": True}, 10, 10, True),
    ],
)
def test_where_a_partition_begins(
    at: int | None, options: dict[str, Any], offset: int, lost: int, reset: bool
) -> None:
    begin = beginning(at, 10, 20, **{"new_group": False, "latest": False} | options)
    assert (begin.offset, begin.lost, begin.reset) == (offset, lost, reset)
    assert bool(begin.reason) == bool(lost or reset)


def lonely(client: KafkaClient, topic: str) -> KafkaSource:
    return KafkaSource(client, [topic], acknowledges=True, alone=True)


def test_a_group_that_has_to_be_ours_alone_is_waited_for_and_then_refused(
    kafka_broker: Broker, library: str
) -> None:
    (topic,) = kafka_broker.create_topics("alone")
    client = source_client(kafka_broker, library, session_timeout=6.0)
    fill(kafka_broker, topic, 0, count=1)
    with closing(lonely(client, topic)) as first:
        first.start(None)
        take(first, 1)
        other = another(client)
        second = lonely(other, topic)
        with pytest.raises(BrokerUnavailableError, match=r"another member \(detectd at .*waiting"):
            second.start(None)
        assert other.membership.crowded
        other.membership.crowded -= 12.0  # A session later it is still there.
        with pytest.raises(ConfigError, match=r"^kafka\.group_id: 'readers-.* another member"):
            second.start(None)
    with closing(lonely(other, topic)) as third:
        third.start(None)
        assert other.membership.crowded is None


def test_of_two_that_join_at_the_same_time_one_stays(
    kafka_broker: Broker, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (topic,) = kafka_broker.create_topics("alone", partitions=2)
    fill(kafka_broker, topic, 0, 1, count=1)
    client = source_client(kafka_broker, library)
    together = threading.Barrier(2)
    seen: list[str] = []

    def live(client: KafkaClient) -> None:
        with closing(lonely(client, topic)) as source:
            monkeypatch.setattr(source._guard, "await_empty", together.wait)
            source.start(None)
            while len(seen) < 2:
                seen.extend(turn(source))

    with ThreadPoolExecutor(2) as aside:
        lives = [aside.submit(live, each) for each in (client, another(client))]
    # The first may be done and gone before the second comes; then nobody has to go.
    refused = [end for life in lives if (end := life.exception()) is not None]
    assert all(isinstance(end, ConfigError) for end in refused)
    assert len(refused) <= 1
    assert sorted(seen) == [f"{topic}/0/0", f"{topic}/1/0"]
