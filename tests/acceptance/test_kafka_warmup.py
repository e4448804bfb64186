"""A warm-up over the partitions of a real broker, by the real command."""

import json
from collections import Counter

import numpy as np
import pytest

from detectd.models.store import Store
from tests.support.command import events, start

EACH = 6000


@pytest.fixture
def backlog(world, kafka_broker):
    """A topic of three partitions, of which the last is empty."""
    (topic,) = kafka_broker.create_topics("warm", partitions=3)
    for partition in (0, 1):
        told = [json.loads(line) | {"p": partition} for line in events(EACH, seed=partition)]
        records = [
            {"value": json.dumps(each).encode(), "partition": partition, "key": b"%d" % (i % 5)}
            for i, each in enumerate(told)
        ]
        kafka_broker.produce(topic, *records)
    world.write(
        source={"kind": "kafka", "path": None, "topics": [topic], "batch_seconds": 0.2},
        event={"features": ["a", "b", "p"]},
        training={"warmup": 2000},
        kafka={"bootstrap_servers": kafka_broker.servers, "group_id": topic, "client_id": topic},
        log={"format": "json"},
        server={"listen": ""},
    )
    return world


def until(world, *wanted):
    """The service until it has logged all that; gives what it logged."""
    said, left = [], set(wanted)
    with start("run", "--config", world.path) as service:
        try:
            while left:
                line = service.stderr.readline()
                assert line, said
                said.append(json.loads(line))
                left.discard(said[-1]["event"])
        finally:
            service.terminate()
            service.stderr.read()
        assert service.wait(timeout=60) == 0
    return said


def drawn(world):
    """How many rows of the model came from each partition."""
    store = Store(world.home / "models")
    return Counter(store.load(store.active()).model.rows[:, 2].astype(int).tolist())


@pytest.mark.parametrize("library", ["kafka-python", "confluent"])
def test_rows_come_evenly_from_the_partitions_that_have_some(backlog, library):
    backlog.write(kafka={"client": library})
    said = until(backlog, "training.started", "model.serving")
    (training,) = (each for each in said if each["event"] == "training.started")
    assert (training["rows"], training["partitions"], training["keys"]) == (2000, 2, 5)
    assert drawn(backlog) == {0: 1000, 1: 1000}


def test_a_restart_in_the_middle_keeps_what_was_drawn(backlog):
    backlog.write(source={"batch_records": 200})
    until(backlog, "warmup.progress")
    said = until(backlog, "warmup.started", "training.started", "model.serving")
    started = next(each for each in said if each["event"] == "warmup.started")
    assert 0 < started["collected"] < 2000
    assert drawn(backlog) == {0: 1000, 1: 1000}


def test_one_partition_with_records_is_enough(backlog, kafka_broker):
    (topic,) = kafka_broker.create_topics("one", partitions=3)
    kafka_broker.produce(topic, *({"value": v.encode(), "partition": 1} for v in events(2500)))
    backlog.write(
        source={"topics": [topic]},
        event={"features": ["a", "b"]},
        kafka={"group_id": topic, "client_id": topic},
    )
    said = until(backlog, "training.started", "model.serving")
    (training,) = (each for each in said if each["event"] == "training.started")
    assert (training["rows"], training["partitions"], training["keys"]) == (2000, 1, 0)


def test_a_span_goes_by_the_times_of_the_records(backlog, kafka_broker):
    """Without `event.timestamp` these are Kafka's own."""
    (topic,) = kafka_broker.create_topics("span", partitions=3)
    minute, noon = 60_000, 1_772_366_400_000
    kafka_broker.produce(
        topic,
        *(
            {"value": v.encode(), "partition": i % 2, "timestamp_ms": noon + i * minute}
            for i, v in enumerate(events(2500))
        ),
    )
    backlog.write(
        source={"topics": [topic]},
        event={"features": ["a", "b"]},
        training={"warmup": "1d", "window": 1000},
        kafka={"group_id": topic, "client_id": topic},
    )
    said = until(backlog, "training.started", "model.serving")
    (training,) = (each for each in said if each["event"] == "training.started")
    assert (training["rows"], training["partitions"]) == (1000, 2)
    assert training["hours_covered"] >= 24
    store = Store(backlog.home / "models")
    assert np.isfinite(store.load(store.active()).model.rows).all()
