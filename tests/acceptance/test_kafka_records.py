"""Records as they are: keys, headers, times, odd values, all compressions, large outputs."""

import json
import time
from contextlib import closing

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType

from tests.support.command import TOPICS, events
from tests.support.kafka_service import run_until, settle

CODECS = ("gzip", "snappy", "lz4", "zstd")
NOW = int(time.time() * 1000) - 60_000


@pytest.fixture
def topics(kafka_broker):
    source, *sinks = kafka_broker.create_topics("in", *TOPICS, partitions=4)
    return source, dict(zip(TOPICS, sinks, strict=True))


def run_to_the_end(world, broker, source, sinks, count):
    def answered():
        return sum(mark.offset for mark in broker.committed_offsets(source).values()) >= count

    run_until(world, answered)
    found = broker.read_committed(*sinks.values())
    return {topic: found[name] for topic, name in sinks.items()}


def strangers():
    """Records that no producer of ours would write, and what becomes of each."""
    good = events(1)[0].encode()
    return [
        ({"value": None, "key": b"gone"}, "dead_letter"),
        ({"value": b"", "key": b"empty"}, "dead_letter"),
        ({"value": good, "key": b""}, None),
        ({"value": good, "headers": [("a", b"\x00\xff"), ("a", b"again")]}, None),
        ({"value": good, "key": b"old", "timestamp_ms": 0}, None),
        ({"value": b"\xff\xfe", "key": b"\xff"}, "dead_letter"),
    ]


def test_keys_headers_times_and_odd_values_pass(fitted, kafka_broker, topics):
    source, sinks = topics
    sent = [
        {"partition": 0, "timestamp_ms": NOW + i} | made for i, (made, _) in enumerate(strangers())
    ]
    kafka_broker.produce(source, *sent)
    settle(fitted, kafka_broker, source, sinks)
    found = run_to_the_end(fitted, kafka_broker, source, sinks, len(sent))
    by_offset = {
        int(json.loads(record.value)["id"].split("/")[2]): (topic, record)
        for topic, records in found.items()
        for record in records
    }
    assert sorted(by_offset) == list(range(len(sent)))
    for offset, (made, expected) in enumerate(strangers()):
        topic, record = by_offset[offset]
        assert (topic == "dead_letter") == (expected == "dead_letter")
        assert record.key == made.get("key")
        assert record.timestamp == made.get("timestamp_ms", NOW + offset)
        ours = [header for header in record.headers if not header[0].startswith("detectd-")]
        assert ours == made.get("headers", [])
    tombstone = json.loads(by_offset[0][1].value)
    assert (tombstone["raw"], tombstone["raw_encoding"]) == (None, "none")


def test_every_compression_is_read_and_written(fitted, kafka_broker, topics):
    source, sinks = topics
    lines = events(400)
    for n, codec in enumerate(CODECS):
        writer = kafka_broker.client(KafkaProducer, compression_type=codec, linger_ms=50)
        with closing(writer):
            for line in lines[n * 100 : (n + 1) * 100]:
                writer.send(source, value=line.encode(), partition=n)
    settle(fitted, kafka_broker, source, sinks, kafka={"compression": "zstd"})
    found = run_to_the_end(fitted, kafka_broker, source, sinks, len(lines))
    seen = [json.loads(r.value)["event"]["n"] for records in found.values() for r in records]
    assert sorted(seen) == list(range(400))
    assert not found["dead_letter"]


@pytest.mark.parametrize("library", ["kafka-python", "confluent"])
def test_original_values_pass_byte_for_byte_with_the_verdict_in_headers(
    fitted, kafka_broker, topics, library
):
    source, sinks = topics
    lines = [f" {line} ".encode() for line in events(300, poison=0.02)]
    kafka_broker.produce(
        source, *({"value": v, "key": b"same", "partition": i % 4} for i, v in enumerate(lines))
    )
    changes = {"client": library, "preserve_partition": True}
    settle(fitted, kafka_broker, source, sinks, kafka=changes, output={"value": "original"})
    found = run_to_the_end(fitted, kafka_broker, source, sinks, len(lines))
    values = [r.value for topic in TOPICS[:3] for r in found[topic]]
    assert sorted(values) == sorted(line for line in lines if b"poison" not in line)
    for topic in TOPICS[:3]:
        last = {}
        for record in found[topic]:
            headers = dict(record.headers)
            name, partition, offset = headers["detectd-id"].decode().split("/")
            assert (name, int(partition)) == (source, record.partition)
            assert int(offset) > last.get(partition, -1)
            last[partition] = int(offset)
            assert headers["detectd-verdict"].decode() == topic
            assert 0.5 <= float(headers["detectd-confidence"]) <= 1
            assert ("detectd-reason" in headers) == (topic == "abstain")
    assert {json.loads(r.value)["raw"].strip() for r in found["dead_letter"]} == {"poison"}


def test_an_output_too_large_for_its_topic_is_a_dead_letter(fitted, kafka_broker, topics):
    source, sinks = topics
    with closing(kafka_broker.client(KafkaAdminClient)) as admin:
        admin.alter_configs(
            [
                ConfigResource(ConfigResourceType.TOPIC, name, configs={"max.message.bytes": limit})
                for name, limit in zip(sinks.values(), (9000, 9000, 9000, 20_000), strict=True)
            ]
        )
    sizes = (10, 8_000, 12_000, 30_000)
    records = [json.dumps({"a": 0.1, "b": 0.1, "pad": "x" * size}).encode() for size in sizes]
    kafka_broker.produce(source, *({"value": value, "partition": 0} for value in records))
    settle(fitted, kafka_broker, source, sinks)
    found = run_to_the_end(fitted, kafka_broker, source, sinks, len(records))
    assert sum(len(found[topic]) for topic in TOPICS[:3]) == 2
    cut, bare = (json.loads(record.value) for record in found["dead_letter"])
    assert (cut["stage"], cut["raw"].encode()) == ("encode", records[2])
    assert "max.message.bytes" in cut["error"]
    assert (bare["id"], bare["raw"]) == (f"{source}/0/3", None)
    assert "still at the source" in bare["error"]


def test_at_least_once_leaves_the_offsets_with_the_group(fitted, kafka_broker, topics):
    source, sinks = topics
    lines = events(500)
    kafka_broker.produce(source, *(line.encode() for line in lines))
    settle(fitted, kafka_broker, source, sinks, kafka={"delivery": "at_least_once"})
    found = run_to_the_end(fitted, kafka_broker, source, sinks, len(lines))
    assert sum(map(len, found.values())) == len(lines)
    assert "at least once" in fitted.run("check").stdout


def test_topics_are_made_where_asked(fitted, kafka_broker):
    (name,) = kafka_broker.create_topics("made")
    sinks = {topic: f"{name}.{topic}" for topic in TOPICS}
    kafka_broker.produce(name, *(line.encode() for line in events(50)))
    settle(fitted, kafka_broker, name, sinks)
    refused = fitted.run("run")
    assert refused.returncode == 78
    assert all(f"{topic} = '{name}.{topic}'" in refused.stderr for topic in TOPICS)
    assert "kafka.create_topics = true" in refused.stderr
    settle(fitted, kafka_broker, name, sinks, kafka={"create_topics": True, "partitions": 3})
    found = run_to_the_end(fitted, kafka_broker, name, sinks, 50)
    assert sum(map(len, found.values())) == 50
    with closing(kafka_broker.client(KafkaAdminClient)) as admin:
        assert {len(t["partitions"]) for t in admin.describe_topics(list(sinks.values()))} == {3}


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_what_every_topic_refuses_is_answered_in_its_place(fitted, kafka_broker, topics, client):
    source, sinks = topics
    now, lines = int(time.time() * 1000), events(300)
    old = [n for n in range(300) if n % 50 == 7]
    kafka_broker.produce(
        source,
        *(
            {
                "value": line.encode(),
                "key": b"k",
                "timestamp_ms": 86_400_000 if n in old else now,
                "headers": [("detectd-verdict", b"upstream"), ("n", b"%d" % n)],
            }
            for n, line in enumerate(lines)
        ),
    )
    for name in sinks.values():
        limit = {"message.timestamp.before.max.ms": "604800000"}
        with closing(kafka_broker.client(KafkaAdminClient)) as admin:
            admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, configs=limit)])
    settle(fitted, kafka_broker, source, sinks, kafka={"client": client})
    checked = fitted.run("check", "--connect")
    assert "rejects events that are older than 7 days" in checked.stdout
    found = run_to_the_end(fitted, kafka_broker, source, sinks, 300)
    assert sum(map(len, found.values())) == 300
    letters = found["dead_letter"]
    assert [int(dict(letter.headers)["n"]) for letter in letters] == old
    for letter in letters:
        told = json.loads(letter.value)
        assert (told["stage"], told["timestamp"]) == ("deliver", 86_400_000)
        assert "before.max.ms" in told["error"]
        assert letter.timestamp >= now
    for record in found["normal"]:
        verdicts = [value for name, value in record.headers if name == "detectd-verdict"]
        assert verdicts == [b"normal"]
