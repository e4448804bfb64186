"""The command between the topics of a real broker."""

import json
from collections import Counter
from contextlib import closing

import pytest
from kafka import KafkaAdminClient

from tests.support.command import TOPICS, events
from tests.support.kafka_service import kafka_keys, run_until

COUNT = 3000


@pytest.fixture
def topics(kafka_broker):
    """The names of one input and four output topics, all new."""
    source, *sinks = kafka_broker.create_topics("in", *TOPICS, partitions=2)
    return source, dict(zip(TOPICS, sinks, strict=True))


def test_topics_in_four_topics_out_and_offsets_committed(fitted, kafka_broker, topics):
    source, sinks = topics
    lines = events(COUNT, poison=0.01)
    kafka_broker.produce(
        source,
        *(
            {"value": line.encode(), "key": b"k%d" % (i % 7), "headers": [("i", b"%d" % i)]}
            for i, line in enumerate(lines)
        ),
    )
    fitted.write(
        source={"kind": "kafka", "path": None, "topics": [source], "batch_seconds": 0.2},
        sink={"kind": "kafka", "directory": None},
        topics=sinks,
        kafka=kafka_keys(kafka_broker, source),
    )

    def committed():
        offsets = kafka_broker.committed_offsets(source)
        return sum(mark.offset for mark in offsets.values())

    run_until(fitted, lambda: committed() == COUNT)
    assert committed() == COUNT
    found = kafka_broker.read_committed(*sinks.values())
    records = {topic: found[name] for topic, name in sinks.items()}
    assert sum(map(len, records.values())) == COUNT
    seen = Counter(dict(r.headers)["i"] for held in records.values() for r in held)
    assert set(seen.values()) == {1}
    for topic in TOPICS[:3]:
        for record in records[topic]:
            body, headers = json.loads(record.value), dict(record.headers)
            assert body["verdict"] == topic == headers["detectd-verdict"].decode()
            assert float(headers["detectd-score"]) == body["score"]
            assert record.key == b"k%d" % (int(headers["i"]) % 7)
            assert body["event"] == json.loads(lines[int(headers["i"])])
    assert {json.loads(r.value)["raw"] for r in records["dead_letter"]} == {"poison"}


def test_a_topic_ends_in_files_exactly_once_over_restarts(fitted, kafka_broker, topics):
    source, _ = topics
    kafka_broker.produce(source, *(line.encode() for line in events(COUNT)))
    fitted.write(
        source={"kind": "kafka", "path": None, "topics": [source], "batch_records": 300},
        kafka=kafka_keys(kafka_broker, source),
    )

    run_until(fitted, lambda: fitted.answered() >= 500)
    run_until(fitted, lambda: fitted.answered() >= COUNT)
    ids = Counter(r["id"] for held in fitted.outputs().values() for r in held)
    assert len(ids) == COUNT
    assert set(ids.values()) == {1}


def test_a_file_ends_in_topics_exactly_once_over_restarts(fitted, kafka_broker, topics):
    _, sinks = topics
    fitted.lines(fitted.events, events(COUNT))
    name = sinks["normal"]
    fitted.write(
        sink={"kind": "kafka", "directory": None}, topics=sinks,
        kafka=kafka_keys(kafka_broker, name) | {"transactional_id": name},
    )  # fmt: skip
    for _ in range(2):
        done = fitted.run("run")
        assert done.returncode == 0, done.stderr
    # As the brokers do by themselves a week after the last commit.
    with closing(kafka_broker.client(KafkaAdminClient)) as admin:
        admin.delete_groups([f"{name}.position"])
    done = fitted.run("run")
    assert done.returncode == 0, done.stderr
    assert "sink.position_restored" in done.stderr
    found = kafka_broker.read_committed(*sinks.values())
    assert sum(map(len, found.values())) == COUNT


def test_missing_topics_and_a_dead_broker_are_one_line(fitted, kafka_broker, topics):
    source, sinks = topics
    fitted.write(
        source={"kind": "kafka", "path": None, "topics": ["nothing-here"]},
        sink={"kind": "kafka", "directory": None},
        topics=sinks,
        kafka=kafka_keys(kafka_broker, source),
    )
    done = fitted.run("run")
    assert done.returncode == 78
    assert "nothing-here" in done.stderr.splitlines()[-1]
