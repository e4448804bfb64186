"""What was lost of the source is told on the alerts topic: once, whatever dies when."""

import json
from contextlib import closing

import pytest
from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition

from tests.support.command import TOPICS, events
from tests.support.kafka_service import committed, produce, service, settle, stop, times_logged
from tests.support.kafka_topics import delete_records
from tests.support.live import running
from tests.support.waiting import until


@pytest.fixture
def between(fitted, kafka_broker):
    """A configuration between new topics, with one for alerts."""
    names = (*TOPICS, "alerts")
    source, *sinks = kafka_broker.create_topics("in", *names, partitions=4)
    fitted.source, fitted.sinks = source, dict(zip(names, sinks, strict=True))
    settle(fitted, kafka_broker, source, fitted.sinks, kafka={"static_membership": True})
    return fitted


def test_of_a_topic_it_is_told_once_though_killed_before_and_after_its_commit(
    between, kafka_broker
):
    def alerts():
        records = kafka_broker.read_committed(between.sinks["alerts"])[between.sinks["alerts"]]
        return [(record.key, json.loads(record.value)) for record in records]

    produce(kafka_broker, between, 80)
    read_before = {
        TopicPartition(between.source, n): OffsetAndMetadata(10, "", -1) for n in range(4)
    }
    with closing(kafka_broker.client(KafkaConsumer, group_id=between.source)) as reader:
        reader.commit(read_before)
    delete_records(kafka_broker, between.source, 17, partition=2)
    # The first batch is complete long after it was found; the block ends with SIGKILL.
    between.write(source={"batch_seconds": 30})
    with service(between) as process:
        until(lambda: times_logged(process, "source.gap"))
        assert alerts() == []
    between.write(source={"batch_seconds": 0.2})
    with service(between) as process:
        until(lambda: committed(kafka_broker, between) == 80)
    produce(kafka_broker, between, 4)
    with service(between) as process:
        until(lambda: committed(kafka_broker, between) == 84)
        stop(process)
        assert not times_logged(process, "source.gap")
    ((key, told),) = alerts()
    name = f"{between.source}/2"
    assert key == name.encode()
    assert told["id"].startswith("gap/")
    assert (told["kind"], told["partition"]) == ("gap", name)
    assert (told["from"], told["to"], told["records"]) == (10, 17, 7)


def test_of_a_file_it_is_told_with_the_first_records_after_it(fitted):
    fitted.write(topics={"alerts": "alerts"})
    with running(fitted) as live:
        live.feed(events(20))
    path = fitted.out / "alerts.jsonl"
    assert path.read_bytes() == b""
    with fitted.events.open("a") as file:
        file.write("{}\n")  # It is never read,
    fitted.events.unlink()  # and nothing has a copy.
    for seed in (1, 2):
        with running(fitted) as live:
            for part in (events(5, seed=seed), events(5, seed=10 + seed)):
                live.feed(part)
    (told,) = map(json.loads, path.read_text().splitlines())
    name = fitted.events.name
    assert (told["kind"], told["file"], told["line"]) == ("gap", name, 20)
    assert (told["partition"], told["records"], told["severity"]) == (None, None, "critical")
    assert sum(map(len, fitted.outputs().values())) == 40
