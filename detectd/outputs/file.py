"""The files of the file sink, as far as its checkpoint says that they are committed."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from detectd.errors import DetectdError
from detectd.records import Record, Topic
from detectd.sinks import checkpoint
from detectd.sinks.file import ReplaySink
from detectd.sources import Batch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from detectd.signals import Stop
    from detectd.sinks import Sink
    from detectd.sinks.checkpoint import Checkpoint

POLL_SECONDS = 0.2
BLOCK = 1 << 20


class FileOutputs:
    """The outputs under `directory`; see `detectd.outputs`."""

    def __init__(self, directory: Path, *, fsync: bool = True) -> None:
        self.directory = directory
        self._fsync = fsync

    def follow(self, topic: Topic, stop: Stop, last: int = 0) -> Iterator[list[Record]]:
        """The `last` that are there, then what is committed from now on, until `stop`.

        Raises DetectdError before the first run.
        """
        shown = self._committed().lengths.get(topic, 0)
        yield self._last(topic, last, shown)
        while not stop.requested:
            length = self._committed().lengths.get(topic, 0)
            shown = min(shown, length)  # An output that was moved away begins anew.
            for batch in self._read(topic, shown, length):
                yield batch.records
            shown = length
            stop.wait(POLL_SECONDS)

    def last(self, topic: Topic, count: int) -> list[Record]:
        """The last `count` that are there, in their order. Raises as `follow`."""
        return self._last(topic, count, self._committed().lengths.get(topic, 0))

    def all(self, topic: Topic, since_ms: int | None = None) -> Iterator[list[Record]]:  # noqa: ARG002
        """All that are there. `since_ms` may leave out none: events come in any order of time."""
        for batch in self._read(topic, 0, self._committed().lengths.get(topic, 0)):
            yield batch.records

    def dead_letters(self, *, replayed: bool) -> Iterator[Batch]:
        """All that are there now, or those behind the last replay. Raises as `follow`."""
        last = self._committed()
        first = 0 if replayed else last.replayed
        return self._read(Topic.DEAD_LETTER, first, last.lengths.get(Topic.DEAD_LETTER, 0))

    def replay_sink(self) -> Sink:
        """The sink for a replay, not opened: the service must be stopped."""
        return ReplaySink(self.directory, fsync=self._fsync)

    def _committed(self) -> Checkpoint:
        last = checkpoint.read(self.directory)
        if last is None:
            raise DetectdError(
                f"sink.directory: {self.directory} holds no outputs yet; `detectd run` writes them"
            )
        return last

    def _last(self, topic: Topic, count: int, end: int) -> list[Record]:
        """The last `count` before a byte, read from there backwards."""
        begin = self._begin_of_last(topic, count, end) if count else end
        return [record for batch in self._read(topic, begin, end) for record in batch.records]

    def _begin_of_last(self, topic: Topic, count: int, end: int) -> int:
        """Where the last `count` lines before a byte begin."""
        path = self.directory / f"{topic}.jsonl"
        with self._opened(path) as file:
            place, wanted = end, count + 1  # the last line ends in a line feed, too
            while place:
                begin = max(0, place - BLOCK)
                file.seek(begin)
                block = file.read(place - begin)
                found = block.count(b"\n")
                if found >= wanted:
                    cut = len(block)
                    for _ in range(wanted):
                        cut = block.rindex(b"\n", 0, cut)
                    return begin + cut + 1
                wanted, place = wanted - found, begin
        return 0

    @contextmanager
    def _opened(self, path: Path) -> Iterator[BinaryIO]:
        try:
            with path.open("rb") as file:
                yield file
        except OSError as refused:
            raise DetectdError(f"{path}: cannot be read: {refused.strerror}") from None

    def _read(self, topic: Topic, begin: int, end: int) -> Iterator[Batch]:
        """The lines between two bytes, a block at a time."""
        path = self.directory / f"{topic}.jsonl"
        if begin >= end:
            return
        with self._opened(path) as file:
            file.seek(begin)
            while begin < end:
                lines = file.readlines(min(BLOCK, end - begin))
                if not lines:
                    raise DetectdError(
                        f"{path} ends before the checkpoint does; put it back, or move "
                        f"{self.directory} away"
                    )
                places = [begin]
                for line in lines:
                    places.append(places[-1] + len(line))
                begin = places.pop()
                records = [
                    Record(f"{path.name}@{place}", line.rstrip(b"\n"))
                    for place, line in zip(places, lines, strict=True)
                ]
                yield Batch(records, {"replayed": begin})
