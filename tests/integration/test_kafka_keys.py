"""The topic with the state of keys, on a real broker: in the transaction, and read back whole."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from kafka import KafkaAdminClient

from detectd.errors import BrokerUnavailableError, ConfigError, PartitionsRevokedError
from detectd.kafka import KafkaClient, Membership
from detectd.kafka.topics import NewTopicConfig, config
from detectd.pipeline.records import KeyRecord, Outgoing, Position, Topic
from detectd.sinks import kafka_keys
from detectd.sinks.kafka import KafkaSink
from detectd.sinks.kafka_keys import KeysTopic
from detectd.sources.kafka import KafkaSource
from tests.support.kafka_clients import NORMAL, another, echo, living, read, sink_client, started
from tests.support.kafka_topics import add_partitions, four_topics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.broker import Broker

SECONDS = 20.0
ROW = 1000


def compacted(broker: Broker, partitions: int = 1, **settings: object) -> str:
    """Create a topic for the state of keys."""
    (name,) = broker.create_topics("keys", partitions=partitions)
    wanted = {"cleanup.policy": "compact"} | {k.replace("_", "."): v for k, v in settings.items()}
    configure(broker, name, wanted)
    return name


def configure(broker: Broker, topic: str, wanted: dict[str, Any]) -> None:
    from kafka.admin import ConfigResource, ConfigResourceType

    change = ConfigResource(ConfigResourceType.TOPIC, topic, configs=wanted)
    with closing(broker.client(KafkaAdminClient)) as admin:
        admin.alter_configs([change])


@contextmanager
def opened(
    client: KafkaClient, topics: dict[Topic, str], events: str, keys: str, **options: Any
) -> Iterator[KafkaSink]:
    topic = KeysTopic(client, keys, [events], ROW)
    with closing(KafkaSink(client, topics, keys=topic, **options)) as sink:
        sink.open()
        yield sink


def position(events: str, after: int, client: KafkaClient, partition: int = 0) -> Position:
    return Position({"group": client.group_id, "offsets": {events: {str(partition): after}}})


def kept(sink: KafkaSink, *partitions: int) -> dict[tuple[int, bytes], bytes | None]:
    """What a reader of these partitions ends with; None for what was deleted."""
    found = [each for part in sink.read_keys(partitions) for each in part.records]
    return {(each.partition, each.key): each.value for each in found}


def test_state_goes_with_the_outputs_and_comes_back(kafka_broker: Broker, library: str) -> None:
    (events,) = kafka_broker.create_topics("events", partitions=2)
    topics, keys = four_topics(kafka_broker), compacted(kafka_broker, 2)
    client = sink_client(kafka_broker, library)
    with opened(client, topics, events, keys) as sink:
        assert kept(sink, 0, 1) == {}
        first = [
            KeyRecord(0, b"a", b"1"),
            KeyRecord(0, b"b", b"\x00\xff"),
            KeyRecord(1, b"a", b"2"),
        ]
        sink.commit([NORMAL], position(events, 1, client), first)
        sink.commit([NORMAL], position(events, 2, client), [KeyRecord(0, b"a", None)])
        assert kept(sink, 0) == {(0, b"a"): None, (0, b"b"): b"\x00\xff"}
        assert kept(sink, 1, 0).keys() == {(0, b"a"), (0, b"b"), (1, b"a")}
    written = kafka_broker.read_committed(topics[Topic.NORMAL], keys)
    assert [record.value for record in written[topics[Topic.NORMAL]]] == [b"normal"] * 2
    assert len(written[keys]) == 4


def test_without_transactions_state_is_written_all_the_same(
    kafka_broker: Broker, library: str
) -> None:
    (events,) = kafka_broker.create_topics("events")
    topics, keys = four_topics(kafka_broker), compacted(kafka_broker)
    client = sink_client(kafka_broker, library)
    with opened(client, topics, events, keys, transactional=False) as sink:
        records = [KeyRecord(0, b"a", b"1"), KeyRecord(0, b"b", b"2"), KeyRecord(0, b"a", None)]
        sink.commit([NORMAL], position(events, 1, client), records)
        assert kept(sink, 0) == {(0, b"a"): None, (0, b"b"): b"2"}


def test_a_commit_that_fails_leaves_no_state(
    kafka_broker: Broker, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (events,) = kafka_broker.create_topics("events")
    topics, keys = four_topics(kafka_broker), compacted(kafka_broker)
    client = sink_client(kafka_broker, library)
    with opened(client, topics, events, keys) as sink:
        sink.commit([NORMAL], position(events, 1, client), [KeyRecord(0, b"a", b"1")])

        def fail(*_: object) -> None:
            raise BrokerUnavailableError("struck by lightning")

        with monkeypatch.context() as patched:
            patched.setattr(sink._producer, "add_offsets", fail)
            with pytest.raises(BrokerUnavailableError):
                sink.commit([NORMAL], position(events, 2, client), [KeyRecord(0, b"a", b"2")])
        assert kept(sink, 0) == {(0, b"a"): b"1"}


def test_a_reader_waits_for_the_end_of_a_commit_that_is_under_way(
    kafka_broker: Broker, library: str
) -> None:
    (events,) = kafka_broker.create_topics("events")
    topics, keys = four_topics(kafka_broker), compacted(kafka_broker)
    client, other = (sink_client(kafka_broker, library) for _ in range(2))
    with opened(client, topics, events, keys) as sink, opened(other, topics, events, keys) as late:
        late._producer.begin()
        late._producer.write([(KeyRecord(0, b"a", b"1"), keys, 0, None)])
        waits = threading.Event()

        def read_all() -> dict[bytes, bytes | None]:
            found = {}
            for part in sink.read_keys([0]):
                found |= {each.key: each.value for each in part.records}
                waits.set()
            return found

        with ThreadPoolExecutor(1) as aside:
            reading = aside.submit(read_all)
            assert waits.wait(SECONDS)
            assert not reading.done()
            late._producer.commit()
            assert reading.result(SECONDS) == {b"a": b"1"}


def test_a_transaction_that_does_not_end_is_waited_for_in_vain_but_not_for_ever(
    kafka_broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    (events,) = kafka_broker.create_topics("events")
    topics, keys = four_topics(kafka_broker), compacted(kafka_broker)
    client = replace(sink_client(kafka_broker), transaction_timeout=1.0)
    other = sink_client(kafka_broker)
    monkeypatch.setattr(kafka_keys, "GRACE_SECONDS", 0.5)
    with opened(client, topics, events, keys) as sink, opened(other, topics, events, keys) as late:
        late._producer.begin()
        late._producer.write([(KeyRecord(0, b"a", b"1"), keys, 0, None)])
        with pytest.raises(
            BrokerUnavailableError, match="a transaction of another process does not"
        ):
            kept(sink, 0)
        late._producer.abort()
        assert kept(sink, 0) == {}


def test_a_member_that_lost_its_partitions_leaves_no_state(
    kafka_broker: Broker, library: str
) -> None:
    (events,) = kafka_broker.create_topics("events", partitions=2)
    topics, keys = four_topics(kafka_broker), compacted(kafka_broker, 2)
    client = sink_client(kafka_broker, library)
    kafka_broker.produce(events, *({"value": b"x", "partition": n % 2} for n in range(10)))
    other = replace(client, membership=Membership())
    with (
        opened(client, topics, events, keys) as sink,
        closing(KafkaSource(client, [events], acknowledges=False)) as slow,
    ):
        slow.start(None)
        records, where = read(slow, 10)
        member = client.membership.member
        with living(other, events, acknowledges=False) as theirs:
            while not theirs:
                with suppress(PartitionsRevokedError):
                    slow.read(10, wait=0.1)
            client.membership.member = member
            with pytest.raises(PartitionsRevokedError):
                sink.commit(echo(records), Position(where), [KeyRecord(0, b"a", b"1")])
        assert kept(sink, 0, 1) == {}


def test_a_claim_is_another_one_each_time_a_partition_comes(
    kafka_broker: Broker, library: str
) -> None:
    (events,) = kafka_broker.create_topics("events", partitions=2)
    client = sink_client(kafka_broker, library)
    kafka_broker.produce(events, *({"value": b"x", "partition": n % 2} for n in range(10)))
    with started(client, events, acknowledges=False) as source:
        assert source.claims() == {}
        read(source, 10)
        alone = source.claims()
        assert alone.keys() == {f"{events}/0", f"{events}/1"}
        with living(another(client), events, acknowledges=False) as theirs:
            while not theirs:
                with suppress(PartitionsRevokedError):
                    source.read(10, wait=0.1)
            (ours,) = source.claims().items()
            assert ours in alone.items()
        while len(source.claims()) < 2:
            with suppress(PartitionsRevokedError):
                source.read(10, wait=0.1)
        again = source.claims()
        assert ours in again.items()
        (back,) = alone.keys() - {ours[0]}
        assert again[back] > max(alone.values())
    assert source.claims() == {}


def test_the_topic_is_made_compacted_with_the_input_s_partitions(kafka_broker: Broker) -> None:
    (events,) = kafka_broker.create_topics("events", partitions=3)
    client, keys = sink_client(kafka_broker), f"made-{events}"
    topics = four_topics(kafka_broker)
    with opened(client, topics, events, keys, creation=NewTopicConfig(partitions=1)) as sink:
        assert kept(sink, 0, 1, 2) == {}
    assert client.partitions([keys]) == {keys: 3}
    assert config(client, keys, "cleanup.policy") == "compact"


@pytest.mark.parametrize(
    ("partitions", "settings", "told"),
    [
        (2, {"cleanup_policy": "delete"}, "cleanup.policy = delete deletes keys"),
        (2, {"cleanup_policy": "compact,delete"}, "set it to compact"),
        (1, {}, "1 partitions, and the input has 2; add partitions"),
        (2, {"max_message_bytes": ROW - 1}, "the state of a key takes 1,000 bytes; raise it"),
    ],
)
def test_a_topic_that_would_lose_state_is_refused(
    kafka_broker: Broker, partitions: int, settings: dict[str, Any], told: str
) -> None:
    (events,) = kafka_broker.create_topics("events", partitions=2)
    topics, keys = four_topics(kafka_broker), compacted(kafka_broker, partitions, **settings)
    sink = opened(sink_client(kafka_broker), topics, events, keys)
    with pytest.raises(ConfigError, match=r"^topics\.keys: 'keys-") as refused, sink:
        pass
    assert told in str(refused.value)


def test_a_topic_that_is_missing_is_named(kafka_broker: Broker) -> None:
    (events,) = kafka_broker.create_topics("events")
    topics, client = four_topics(kafka_broker), sink_client(kafka_broker)
    missing = r"^topics: keys = 'nowhere': no such topic"
    with pytest.raises(ConfigError, match=missing), opened(client, topics, events, "nowhere"):
        pass


def test_a_partition_that_the_input_was_given_needs_one_here(kafka_broker: Broker) -> None:
    (events,) = kafka_broker.create_topics("events")
    topics, keys = four_topics(kafka_broker), compacted(kafka_broker)
    client = sink_client(kafka_broker)
    with opened(client, topics, events, keys) as sink:
        with pytest.raises(ConfigError, match="has 1 partitions, and a record came from partition"):
            kept(sink, 1)
        add_partitions(kafka_broker, keys, 2)
        assert kept(sink, 1) == {}


def test_a_row_that_the_topic_refuses_is_no_dead_letter(kafka_broker: Broker, library: str) -> None:
    (events,) = kafka_broker.create_topics("events")
    topics, keys = four_topics(kafka_broker), compacted(kafka_broker)
    client = sink_client(kafka_broker, library)
    with opened(client, topics, events, keys) as sink:
        configure(kafka_broker, keys, {"cleanup.policy": "compact", "max.message.bytes": 2000})
        large = [KeyRecord(0, b"a", bytes(range(256)) * 40)]
        with pytest.raises(ConfigError, match=r"^topics\.keys: .* rejects the state of a key"):
            sink.commit([Outgoing(Topic.NORMAL, b"1")], position(events, 1, client), large)
    assert kafka_broker.read_committed(topics[Topic.NORMAL])[topics[Topic.NORMAL]] == []
