"""What every sink must keep, whatever it writes to."""

import os
import threading

import pytest

from detectd.pipeline.records import OUTCOMES, Outgoing, Position, Topic
from detectd.sinks.file import FileSink
from detectd.sinks.stdout import StdoutSink


def outputs(start, count):
    topics = list(OUTCOMES)
    return [Outgoing(topics[n % 4], b'{"n":%d}' % n) for n in range(start, start + count)]


def position(n):
    return Position({"offset": n}, {"observed": {"normal": n}})


def expected(*groups):
    """The values that each topic must hold."""
    held = {topic: [] for topic in OUTCOMES}
    for group in groups:
        for out in group:
            held[out.topic].append(out.value)
    return held


class Directories:
    """The file sink. `remembers`: it tells the position of its last commit."""

    remembers = True

    def __init__(self, tmp_path, request):
        self.path = tmp_path / "out"

    def sink(self):
        return FileSink(self.path, fsync=False)

    def held(self):
        return {
            topic: (self.path / f"{topic}.jsonl").read_bytes().splitlines() for topic in OUTCOMES
        }


class Pipes:
    """Standard output: one stream, so its order is held and its topics are not."""

    remembers = False

    def __init__(self, tmp_path, request):
        reading, self.writing = os.pipe()
        self.content = b""
        self.reader = threading.Thread(target=self._read, args=(reading,))
        self.reader.start()

    def _read(self, descriptor):
        with os.fdopen(descriptor, "rb") as pipe:
            self.content = pipe.read()

    def sink(self):
        return StdoutSink(self.writing)

    def held(self):
        os.close(self.writing)
        self.reader.join()
        return self.content.splitlines()


class KafkaTopics:
    """Transactions, seen as a subscriber sees them."""

    remembers = True
    library = "kafka-python"

    def __init__(self, tmp_path, request):
        self.broker = request.getfixturevalue("kafka_broker")
        names = self.broker.create_topics(*(f"contract.{topic}" for topic in OUTCOMES))
        self.topics = dict(zip(OUTCOMES, names, strict=True))

    def sink(self):
        from detectd.kafka import KafkaClient
        from detectd.sinks.kafka import KafkaSink

        name = self.topics[Topic.NORMAL]
        client = KafkaClient(
            self.broker.servers,
            library=self.library,
            group_id=name,
            transactional_id=name,
            extra=self.broker.options,
        )
        return KafkaSink(client, self.topics)

    def held(self):
        found = self.broker.read_committed(*self.topics.values())
        return {topic: [r.value for r in found[name]] for topic, name in self.topics.items()}


class KafkaTopicsByConfluent(KafkaTopics):
    library = "confluent"


@pytest.fixture(
    params=[Directories, Pipes, KafkaTopics, KafkaTopicsByConfluent],
    ids=lambda adapter: adapter.__name__,
)
def world(request, tmp_path):
    return request.param(tmp_path, request)


def check(world, *groups):
    held = world.held()
    if isinstance(held, dict):
        assert held == expected(*groups)
    else:
        assert held == [out.value for group in groups for out in group]


def test_commits_are_held_in_order(world):
    sink = world.sink()
    assert sink.open() is None
    sink.commit(outputs(0, 9), position(9))
    sink.commit([], position(10))
    sink.commit(outputs(10, 3), position(13))
    sink.close()
    sink.close()
    check(world, outputs(0, 9), outputs(10, 3))


def test_a_successor_is_told_the_last_position_and_goes_on(world):
    first = world.sink()
    first.open()
    first.commit(outputs(0, 5), position(5))
    first.commit(outputs(5, 5), position(10))
    first.close()
    second = world.sink()
    assert second.open() == (position(10) if world.remembers else None)
    second.commit(outputs(10, 2), position(12))
    second.close()
    check(world, outputs(0, 10), outputs(10, 2))


def test_a_sink_that_never_opened_can_be_closed(world):
    world.sink().close()
    check(world) if isinstance(world, Pipes) else None
