"""Looking into topics, and answering the dead letters among them."""

import json
import threading
import time
from collections import Counter
from contextlib import closing

import pytest
from kafka import KafkaAdminClient

from detectd import wiring
from detectd.commands.dead_letters import replay_all
from detectd.errors import DetectdError
from detectd.pipeline import dead_letters
from detectd.pipeline.records import Topic
from detectd.service.loop import Service
from detectd.settings.loader import load
from detectd.signals import Stop
from tests.support.command import TOPICS, events
from tests.support.kafka_service import kafka_keys

COUNT = 400

# Of today: brokers delete what is older than a week by its own timestamp.
BEGIN_MS = int(time.time() * 1000) - 3_600_000


def damaged():
    """Events of which a quarter have text for b, and a quarter are no JSON at all."""
    lines = [json.loads(line) for line in events(COUNT)]
    for i in range(1, COUNT, 4):
        lines[i]["b"] = str(lines[i]["b"])
    lines = [json.dumps(line).encode() for line in lines]
    lines[2::4] = [b"\xff poison"] * (COUNT // 4)
    return lines


@pytest.fixture
def library():
    return "kafka-python"


@pytest.fixture
def ailing(fitted, kafka_broker, library):
    """A world between topics whose run has left 200 dead letters among 400 records."""
    source, *sinks = kafka_broker.create_topics("in", *TOPICS, partitions=2)
    kafka_broker.produce(
        source,
        *(
            {
                "value": line,
                "key": b"k%d" % (i % 7),
                "headers": [("i", b"%d" % i)],
                "timestamp_ms": BEGIN_MS + i,
            }
            for i, line in enumerate(damaged())
        ),
    )
    fitted.write(
        source={"kind": "kafka", "path": None, "topics": [source], "batch_seconds": 0.2},
        sink={"kind": "kafka", "directory": None},
        topics=dict(zip(TOPICS, sinks, strict=True)),
        kafka=kafka_keys(kafka_broker, source) | {"client": library},
        server={"listen": ""},
        log={"level": "error"},
    )

    stop = Stop()
    service = threading.Thread(target=Service(load(fitted.path), stop).run)
    service.start()
    deadline = time.monotonic() + 60
    while sum(mark.offset for mark in kafka_broker.committed_offsets(source).values()) < COUNT:
        assert time.monotonic() < deadline
        stop.wait(0.1)
    stop.request()
    service.join()
    return fitted


def records(world, broker):
    found = broker.read_committed(*world.config["topics"].values())
    return {topic: found[name] for topic, name in world.config["topics"].items()}


def numbers(held):
    """How often each event is there, by the header that its producer gave it."""
    return Counter(int(dict(record.headers)["i"]) for record in held)


def listed(world, **which):
    batches = wiring.outputs(load(world.path)).dead_letters(**which)
    letters = [dead_letters.read(found) for batch in batches for found in batch.records]
    return {group.stage: group.count for group in dead_letters.grouped(letters)}


@pytest.mark.parametrize("library", ["kafka-python", "confluent"])
def test_each_dead_letter_is_answered_once_with_all_that_its_record_had(ailing, kafka_broker):
    source = ailing.config["source"]["topics"][0]
    read_before = kafka_broker.committed_offsets(source)
    found = json.loads(ailing.run("dead-letters", "list", "--format", "json").stdout)
    assert {(g["stage"], g["count"]) for g in found["groups"]} == {
        ("decode", 100),
        ("features", 100),
    }
    ailing.write(event={"numeric_strings": True})
    done = ailing.run("dead-letters", "replay")
    assert done.returncode == 0, done.stderr
    assert "200 dead letters replayed" in done.stdout
    held = records(ailing, kafka_broker)
    died = numbers(held.pop("dead_letter"))
    assert (len(died), died.total()) == (200, 300)
    answered = numbers([record for each in held.values() for record in each])
    assert (len(answered), set(answered.values())) == (300, {1})
    for record in (record for each in held.values() for record in each):
        number = int(dict(record.headers)["i"])
        assert record.key == b"k%d" % (number % 7)
        assert record.timestamp == BEGIN_MS + number
        assert ("detectd-replayed" in dict(record.headers)) == (number % 4 == 1)
        assert json.loads(record.value)["id"].startswith(f"{source}/")
    assert kafka_broker.committed_offsets(source) == read_before
    assert len(kafka_broker.read_committed(source)[source]) == COUNT
    assert listed(ailing, replayed=False) == {"decode": 100}
    assert listed(ailing, replayed=True) == {"decode": 200, "features": 100}


def test_a_replay_that_is_cut_off_goes_on_and_answers_nothing_twice(
    ailing, kafka_broker, monkeypatch
):
    ailing.write(event={"numeric_strings": True})
    settings = load(ailing.path)
    transport = wiring.kafka_client(settings, beside="x").transport
    commit, commits = transport.Producer.commit, []

    def cut_off(producer):
        commits.append(producer)
        if len(commits) == 2:
            raise DetectdError("a power cut")
        commit(producer)

    monkeypatch.setattr(transport.Producer, "commit", cut_off)
    with pytest.raises(DetectdError, match="power cut"):
        replay_all(settings, Stop())
    left = sum(listed(ailing, replayed=False).values())
    assert 0 < left < 300
    assert replay_all(settings, Stop()).topics.total() == left
    again = listed(ailing, replayed=False)
    with closing(kafka_broker.client(KafkaAdminClient)) as admin:
        admin.delete_groups([wiring.kafka_client(settings, beside="dead-letters").group_id])
    assert listed(ailing, replayed=False) == again == {"decode": 100}
    held = records(ailing, kafka_broker)
    del held["dead_letter"]
    answered = numbers([record for each in held.values() for record in each])
    assert (len(answered), set(answered.values())) == (300, {1})


def test_tap_sees_what_is_committed_from_now_on_and_joins_no_group(ailing, kafka_broker):
    ailing.write(event={"numeric_strings": True})
    settings, stop, seen = load(ailing.path), Stop(), []
    looking = threading.Event()

    def look():
        for found in wiring.outputs(settings).follow(Topic.DEAD_LETTER, stop):
            seen.extend(found)

    onlooker = threading.Thread(target=look)
    onlooker.start()
    deadline = time.monotonic() + 60
    replays = 0
    while not seen and time.monotonic() < deadline:
        replays += replay_all(settings, Stop()).topics["dead_letter"]
        looking.wait(0.3)
    stop.request()
    onlooker.join()
    assert 0 < len(seen) <= replays
    assert all(record.value.startswith(b'{"id":') for record in seen)
