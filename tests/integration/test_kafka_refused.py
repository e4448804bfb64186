"""Records that a topic will never take, with a real broker and both clients."""

from __future__ import annotations

import os
import time
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from detectd.errors import ConfigError, UndeliverableError
from detectd.kafka.errors import FencedError
from detectd.kafka.headers import passed_on
from detectd.kafka.identity import Identity
from detectd.pipeline import memory_budget
from detectd.pipeline.records import Outgoing, Topic
from detectd.sources.kafka import KafkaSource
from tests.support.kafka_clients import file_position, opened, sink_client
from tests.support.kafka_topics import four_topics

if TYPE_CHECKING:
    from tests.support.broker import Broker


OLD = 86_400_000
WEEK = {"message.timestamp.before.max.ms": "604800000"}


def change(broker: Broker, topic: str, **configs: str) -> None:
    resource = ConfigResource(ConfigResourceType.TOPIC, topic, configs=configs)
    with closing(broker.client(KafkaAdminClient)) as admin:
        admin.alter_configs([resource])
    for _ in range(2):  # Brokers learn of a topic only when they have applied what came before.
        broker.create_topics("later")


def outputs(count: int, bad: set[int], **fault: Any) -> list[Outgoing]:
    """Keyed outputs of now, and those in `bad` with the fault."""
    good = {"key": b"k", "timestamp_ms": int(time.time() * 1000)}
    return [
        Outgoing(Topic.NORMAL, fault.get("value", b"%d" % n), **(good | fault_of(fault)))
        if n in bad
        else Outgoing(Topic.NORMAL, b"%d" % n, **good)
        for n in range(count)
    ]


def fault_of(fault: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fault.items() if name != "value"}


@pytest.mark.parametrize("bad", [{0}, {7, 8, 249}, set(range(250))], ids=["one", "some", "all"])
@pytest.mark.parametrize(
    ("configs", "fault", "told"),
    [
        (WEEK, {"timestamp_ms": OLD}, r"message\.timestamp\.before\.max\.ms"),
        ({"cleanup.policy": "compact"}, {"key": None}, "cleanup.policy = delete"),
    ],
    ids=["timestamp", "compacted"],
)
def test_the_refused_are_named_and_the_others_can_go_on(
    kafka_broker: Broker,
    library: str,
    configs: dict[str, str],
    fault: dict[str, Any],
    told: str,
    bad: set[int],
) -> None:
    topics = four_topics(kafka_broker)
    change(kafka_broker, topics[Topic.NORMAL], **configs)
    sent = outputs(250, bad, **fault)
    with opened(sink_client(kafka_broker, library), topics) as (sink, _):
        with pytest.raises(UndeliverableError, match=told) as refused:
            sink.commit(sent, file_position(1))
        assert refused.value.reasons.keys() == bad
        rest = [out for n, out in enumerate(sent) if n not in bad]
        # As the service does it: the refused go elsewhere, in their places.
        sink.commit([*rest, Outgoing(Topic.DEAD_LETTER, b"letter")], file_position(2))
    written = kafka_broker.read_committed(*topics.values())
    assert [r.value for r in written[topics[Topic.NORMAL]]] == [out.value for out in rest]
    assert len(written[topics[Topic.DEAD_LETTER]]) == 1


def test_a_limit_that_was_lowered_since_the_start_is_found(
    kafka_broker: Broker, library: str
) -> None:
    topics = four_topics(kafka_broker)
    with opened(sink_client(kafka_broker, library), topics) as (sink, _):
        change(kafka_broker, topics[Topic.NORMAL], **{"max.message.bytes": "20000"})
        sent = outputs(300, {17}, value=os.urandom(30_000))
        # The sound ones together are more than one batch may now be.
        sound = [
            Outgoing(Topic.NORMAL, os.urandom(300), key=b"k") if n != 17 else out
            for n, out in enumerate(sent)
        ]
        with pytest.raises(UndeliverableError, match=r"raise max\.message\.bytes") as refused:
            sink.commit(sound, file_position(1))
        assert refused.value.reasons.keys() == {17}
        assert sink.limits()[Topic.NORMAL] < 20_000
        del sound[17]
        sink.commit(sound, file_position(2))
    written = kafka_broker.read_committed(topics[Topic.NORMAL])[topics[Topic.NORMAL]]
    assert [record.value for record in written] == [out.value for out in sound]


def test_offset_metadata_that_the_brokers_refuse_is_the_operator_s(
    kafka_broker: Broker, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "detectd.sinks.commit_metadata.LIMIT", 10**6
    )  # As if the brokers' were smaller.
    topics = four_topics(kafka_broker)
    position = replace(file_position(1), state={"much": "x" * 5_000})
    told = pytest.raises(ConfigError, match=r"offset\.metadata\.max\.bytes")
    with opened(sink_client(kafka_broker, library), topics) as (sink, _), told:
        sink.commit([Outgoing(Topic.NORMAL, b"{}")], position)


def test_two_processes_with_one_name_part_for_good(kafka_broker: Broker, library: str) -> None:
    """As containers with one host name and machine id are: neither sees the other's sockets."""
    topics = four_topics(kafka_broker)
    identity = Identity(f"test-{os.urandom(4).hex()}")
    first = sink_client(kafka_broker, library)
    name = f"{first.group_id}-{identity.name}"
    first = replace(first, identity=identity, transactional_id=name, group_instance_id=name)
    with opened(first, topics) as (sink, _), opened(first, topics) as (other, _):
        other.commit([Outgoing(Topic.NORMAL, b"other's")], file_position(1))
        with pytest.raises(FencedError) as fenced:
            sink.commit([Outgoing(Topic.NORMAL, b"lost")], file_position(1))
        assert fenced.value.rival
        second = first.renamed()
        assert second.identity
        assert second.identity.number == identity.number + 1
        assert second.transactional_id == f"{first.group_id}-{second.identity.name}"
        assert second.group_instance_id == second.transactional_id != name
        with opened(second, topics) as (renamed, _):
            for n in range(3):
                renamed.commit([Outgoing(Topic.NORMAL, b"%d" % n)], file_position(n))
                other.commit([Outgoing(Topic.NORMAL, b"other's %d" % n)], file_position(2 + n))
    # What runs on this host meanwhile takes neither number, and what is restarted its own.
    with closing_identity(Identity(identity._scope)) as third:
        assert third.number == identity.number + 2
    second.identity.release()
    with closing_identity(Identity(identity._scope)) as again:
        assert again.name == identity.name


class closing_identity:  # noqa: N801
    def __init__(self, identity: Identity) -> None:
        self.identity = identity

    def __enter__(self) -> Identity:
        return self.identity

    def __exit__(self, *_: object) -> None:
        self.identity.release()


class Name(str):
    """A header's name that is not UTF-8."""

    __slots__ = ()

    def encode(self, *_: Any, **__: Any) -> bytes:
        return b"caf\xe9"


@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_header_whose_name_is_not_utf8_costs_no_record(
    kafka_broker: Broker, library: str, place: int, compression: str | None
) -> None:
    (events,) = kafka_broker.create_topics("events")
    headers: list[tuple[str, bytes]] = [("trace", b"\x00"), ("detectd-verdict", b"normal")]
    odd = [*headers[:place], (Name("cafe"), b"1"), *headers[place:]]
    from kafka import KafkaProducer

    with closing(kafka_broker.client(KafkaProducer, compression_type=compression)) as producer:
        for n in range(20):
            producer.send(events, value=b"%d" % n, headers=odd if n == 7 else headers)
        producer.flush()
    source = KafkaSource(sink_client(kafka_broker, library), [events], acknowledges=True)
    with closing(source):
        source.start(None)
        records = source.read(20, wait=20).records
    assert [record.value for record in records] == [b"%d" % n for n in range(20)]
    assert records[6].headers == records[8].headers == (("trace", b"\x00"),)
    kept = (("caf\\xe9", b"1"), ("trace", b"\x00"))
    assert sorted(records[7].headers) == ([] if library == "confluent" else sorted(kept))


def test_the_headers_of_an_upstream_detectd_end_here() -> None:
    headers = [("detectd-verdict", b"normal"), ("trace", None), ("detectd-stage", b"decode")]
    assert passed_on(headers) == (("trace", b""),)


def test_of_a_record_with_too_many_headers_the_first_are_kept(
    kafka_broker: Broker, library: str
) -> None:
    (events,) = kafka_broker.create_topics("events")
    many = [
        ("detectd-verdict", b"normal"),
        *((f"{n}", b"") for n in range(90_000)),
    ]  # librdkafka reads 100,000 at most
    from kafka import KafkaProducer

    with closing(kafka_broker.client(KafkaProducer)) as producer:
        for n in range(3):
            producer.send(events, value=b"%d" % n, headers=many if n == 1 else many[:3])
        producer.flush()
    source = KafkaSource(sink_client(kafka_broker, library), [events], acknowledges=True)
    with closing(source):
        source.start(None)
        records = source.read(3, wait=20).records
    assert [len(record.headers) for record in records] == [2, memory_budget.HEADERS - 1, 2]
    assert [record.headers[-1][0] for record in records] == [
        "1",
        f"{memory_budget.HEADERS - 2}",
        "1",
    ]
    assert [record.dropped > 0 for record in records] == [False, True, False]
