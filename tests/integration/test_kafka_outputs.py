"""The last outputs on Kafka, between the markers of transactions and over all partitions."""

from __future__ import annotations

import time

import pytest

from detectd.errors import ConfigError
from detectd.pipeline.records import Outgoing, Position, Topic
from detectd.signals import Stop
from detectd.sinks.kafka_reader import KafkaOutputs
from tests.support.kafka_clients import opened, sink_client
from tests.support.kafka_topics import four_topics

ANOMALY = Topic.ANOMALY
# Of today: brokers delete what is older than a week by its own timestamp.
BEGIN_MS = int(time.time() * 1000) - 3_600_000


def value(n: int) -> bytes:
    return b'{"n":%d}' % n


@pytest.fixture
def outputs(kafka_broker):
    """Forty anomalies a minute apart, a transaction each, over three partitions."""
    client, topics = sink_client(kafka_broker), four_topics(kafka_broker, partitions=3)
    with opened(client, topics) as (sink, _):
        for n in range(40):
            key, moment = b"k%d" % (n % 5), BEGIN_MS + 60_000 * n
            out = Outgoing(ANOMALY, value(n), key, timestamp_ms=moment)
            sink.commit([out], Position({"line": n}))
    return KafkaOutputs(sink_client(kafka_broker), topics, preserve_partition=False)


def test_the_last_are_the_latest_of_all_partitions(outputs):
    for count in (1, 7, 40, 100):
        found = [record.value for record in outputs.last(ANOMALY, count)]
        assert found == [value(n) for n in range(40)][-count:]
    assert outputs.last(Topic.ABSTAIN, 5) == []


def test_since_a_time_leaves_out_only_what_is_older(outputs):
    found = {r.value for batch in outputs.all(ANOMALY, BEGIN_MS + 60_000 * 30) for r in batch}
    assert found >= {value(n) for n in range(30, 40)}
    assert len(found) < 40  # Markers have the time of their commit, so more than the ten are there.
    assert sum(len(batch) for batch in outputs.all(ANOMALY)) == 40
    assert list(outputs.all(ANOMALY, BEGIN_MS + 24 * 3_600_000)) == []


def test_following_begins_with_the_last(outputs):
    first = next(outputs.follow(ANOMALY, Stop(), 3))
    assert [record.value for record in first] == [value(n) for n in (37, 38, 39)]


def test_far_more_markers_than_records_hide_none(kafka_broker):
    client, topics = sink_client(kafka_broker), four_topics(kafka_broker)
    with opened(client, topics) as (sink, _):
        sink.commit([Outgoing(ANOMALY, value(n)) for n in range(300)], Position({"line": 0}))
        for n in range(300, 310):
            sink.commit([Outgoing(ANOMALY, value(n))], Position({"line": n}))
    found = KafkaOutputs(sink_client(kafka_broker), topics, preserve_partition=False)
    last = found.last(ANOMALY, 200)
    assert [record.value for record in last] == [value(n) for n in range(110, 310)]


def test_a_topic_that_is_not_there_is_named(kafka_broker):
    outputs = KafkaOutputs(
        sink_client(kafka_broker), {ANOMALY: "there-is-no-such-topic"}, preserve_partition=False
    )
    with pytest.raises(ConfigError, match=r"topics\.anomaly: there is no topic"):
        outputs.last(ANOMALY, 1)
