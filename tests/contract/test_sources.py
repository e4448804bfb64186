"""What every source must keep, whatever it reads from."""

import gzip
import os
import time

import pytest

from detectd.sources import reader
from detectd.sources.file import FileSource
from detectd.sources.header import CsvFormat
from detectd.sources.stdin import StdinSource

LINES = [b'{"n": %d}' % n for n in range(23)]  # as many as `drain` waits for


class Files:
    """A file of JSON lines, and the base of the other adapters.

    `resumes`: it can be read again. `stops`: after how many batches that is tried, None for all.
    """

    resumes, stops = True, None
    name, row_format, head, follow = "events.jsonl", "json", b"", False

    def __init__(self, tmp_path, request):
        self.path = tmp_path / self.name
        self.path.write_bytes(self.pack(self.head + b"".join(line + b"\n" for line in LINES)))

    def pack(self, content):
        return content

    def source(self):
        return FileSource(
            self.path, row_format=self.row_format, follow=self.follow, max_record_bytes=1000
        )


class GzippedFiles(Files):
    name = "events.jsonl.gz"

    def pack(self, content):
        return gzip.compress(content)


class CsvFiles(Files):
    name, row_format, head = "events.csv", "csv", b"\xef\xbb\xbfevent\r\n"


class FollowedFiles(Files):
    follow = True


class Pipes:
    """Standard input: what has been read is gone."""

    resumes = False

    def __init__(self, tmp_path, request):
        self.ends = []
        request.addfinalizer(self.close)

    def close(self):
        for end in self.ends:
            os.close(end)

    def source(self):
        reading, writing = os.pipe()
        self.ends.append(reading)
        os.write(writing, b"".join(line + b"\n" for line in LINES))
        os.close(writing)
        return StdinSource(reading, row_format="json", max_record_bytes=1000)


class KafkaTopics:
    """One partition, so that there is one order. Joining a group takes a while."""

    resumes, stops = True, 4
    library = "kafka-python"

    def __init__(self, tmp_path, request):
        self.broker = request.getfixturevalue("kafka_broker")
        (self.topic,) = self.broker.create_topics("contract")
        self.broker.produce(self.topic, *LINES)

    def source(self):
        from detectd.kafka import KafkaClient
        from detectd.sources.kafka import KafkaSource

        client = KafkaClient(
            self.broker.servers,
            library=self.library,
            group_id=self.topic,
            extra=self.broker.options,
        )
        return KafkaSource(client, [self.topic], acknowledges=True)


class KafkaTopicsByConfluent(KafkaTopics):
    library = "confluent"


@pytest.fixture(
    params=[
        Files,
        GzippedFiles,
        CsvFiles,
        FollowedFiles,
        Pipes,
        KafkaTopics,
        KafkaTopicsByConfluent,
    ],
    ids=lambda adapter: adapter.__name__,
)
def world(request, tmp_path):
    return request.param(tmp_path, request)


def drain(source, limit=5, count=23):
    """Batches until `count` records have come, or the source has ended."""
    batches, got, deadline = [], 0, time.monotonic() + 60
    while got < count and time.monotonic() < deadline:
        batches.append(source.read(limit, 0.2))
        got += len(batches[-1].records)
        if batches[-1].ended:
            break
    return batches


def flat(batches):
    return [record for batch in batches for record in batch.records]


def test_every_record_comes_once_in_order_under_its_own_id(world):
    source = world.source()
    source.start(None)
    batches = drain(source)
    records = flat(batches)
    assert [record.value for record in records] == LINES
    assert len({record.id for record in records}) == len(LINES)
    assert all(len(batch.records) <= 5 for batch in batches)
    source.close()


@pytest.mark.parametrize("limit", [1, 4, 100])
def test_the_stream_goes_on_from_every_position(world, limit):
    if not world.resumes:
        pytest.skip("a pipe cannot be read again")
    source = world.source()
    source.start(None)
    batches = drain(source, limit)
    source.close()
    for stop in range(0, len(batches), max(1, len(batches) // (world.stops or len(batches)))):
        before = flat(batches[: stop + 1])
        again = world.source()
        again.start(batches[stop].position)
        after = flat(drain(again, 7, len(LINES) - len(before)))
        again.close()
        assert before + after == flat(batches)


def test_an_empty_read_has_a_position_and_an_end_stays_an_end(world):
    source = world.source()
    source.start(None)
    batches = drain(source)
    last = source.read(5, 0)
    assert last.records == []
    assert last.position == batches[-1].position
    source.close()


def test_acknowledged_or_not_close_may_be_called_twice(world):
    source = world.source()
    source.start(None)
    source.acknowledge(drain(source)[-1].position)
    progress = source.progress()
    assert progress is None or 0 <= progress <= 1
    source.close()
    source.close()


def test_a_source_that_never_started_can_be_closed(world):
    world.source().close()


def test_a_pipe_holds_what_comes_while_a_batch_is_answered():
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    StdinSource(reading, row_format="json", max_record_bytes=1000).start(None)
    assert os.write(writing, bytes(1 << 20)) == 1 << 20
    os.close(reading)
    os.close(writing)


def test_a_pipe_does_not_wait_for_a_quote_for_ever(monkeypatch):
    monkeypatch.setattr(reader, "QUOTE_SECONDS", 0.0)
    reading, writing = os.pipe()
    os.write(writing, b'a;b\n1;"2\n3;4\n')
    csv = CsvFormat(features=("a",))
    source = StdinSource(reading, row_format="csv", max_record_bytes=1000, csv=csv)
    source.start(None)
    batch = source.read(2, 0)
    assert [record.value for record in batch.records] == [b'1;"2', b"3;4"]
    assert not batch.ended
    os.close(writing)
    os.close(reading)
