"""Read the files of the file sink, up to the lengths committed in its checkpoint."""

from __future__ import annotations

import contextlib
import itertools
import os
from pathlib import Path
from typing import IO, TYPE_CHECKING

import structlog

from detectd.errors import DetectdError
from detectd.filesystem.os_errors import explained
from detectd.pipeline.records import Record, Topic
from detectd.sinks import checkpoint, moved_output, output_history
from detectd.sinks.checkpoint import MovedOutput
from detectd.sinks.file import ReplaySink
from detectd.sources import Batch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from detectd.signals import Stop
    from detectd.sinks import Sink
    from detectd.sinks.checkpoint import Checkpoint, Mark

log = structlog.get_logger()

POLL_SECONDS = 0.2
BLOCK = 1 << 20


class FileOutputs:
    """The outputs under `directory`; see `detectd.sinks`."""

    def __init__(self, directory: Path, *, fsync: bool = True, check_owners: bool = True) -> None:
        self.directory = directory
        self._fsync = fsync
        self._check_owners = check_owners

    def follow(self, topic: Topic, stop: Stop, last: int = 0) -> Iterator[list[Record]]:
        """Yield the `last` existing records, then newly committed ones, until `stop`.

        Raise DetectdError before the first run.
        """
        committed = self._committed()
        yield self._last(topic, last, committed)
        shown, known = committed.lengths.get(topic, 0), committed.marks.get(topic)
        file: IO[bytes] | None = None
        try:
            while not stop.requested:
                committed = self._committed()
                length, mark = committed.lengths.get(topic, 0), committed.marks.get(topic)
                if file and mark and mark.inode != os.fstat(file.fileno()).st_ino:
                    # Rotated: everything left in the former file is committed.
                    yield from _records(file, topic, shown, os.fstat(file.fileno()).st_size)
                    file.close()
                    file, shown = None, 0
                if length < shown or (file and known and not known.fits(file.fileno(), shown)):
                    shown = 0  # it was truncated
                file = file or self._current(topic, mark)
                # A shorter file was just truncated, and the service has not noticed yet.
                if file and os.fstat(file.fileno()).st_size >= length:
                    yield from _records(file, topic, shown, length)
                    shown, known = length, mark
                stop.wait(POLL_SECONDS)
        finally:
            if file:
                file.close()

    def last(self, topic: Topic, count: int) -> list[Record]:
        """Return the last `count` existing records, in order. Raises as `follow`."""
        return self._last(topic, count, self._committed())

    def all(self, topic: Topic, since_ms: int | None = None) -> Iterator[list[Record]]:  # noqa: ARG002
        """Yield all existing records, rotated files first. `since_ms` has no effect: an output's
        events may be in any order of time. Raises as `follow`."""
        committed = self._committed()
        for place in reversed(output_history.rotated(self._path(topic))):
            yield from output_history.everything(place)
        with self._current_until(topic, committed) as (file, end):
            if file:
                yield from _records(file, topic, 0, end)

    def _last(self, topic: Topic, count: int, committed: Checkpoint) -> list[Record]:
        if not count:
            return []
        found: list[Record] = []
        with self._current_until(topic, committed) as (file, end):
            if file:
                begin = output_history.begin_of_last(file, count, end)
                found = [*itertools.chain.from_iterable(_records(file, topic, begin, end))]
        for place in output_history.rotated(self._path(topic)):
            if len(found) >= count:
                break
            found = [*output_history.last(place, count - len(found)), *found]
        return found

    @contextlib.contextmanager
    def _current_until(
        self, topic: Topic, committed: Checkpoint
    ) -> Iterator[tuple[IO[bytes] | None, int]]:
        """Yield the file that the checkpoint names, and its committed length.

        It is None if it has been rotated since: then it is among the rotated files.
        """
        file = self._current(topic, committed.marks.get(topic))
        if file is None:
            yield None, 0
            return
        with file:
            size = os.fstat(file.fileno()).st_size
            yield file, min(committed.lengths.get(topic, 0), size)

    def dead_letters(self, *, replayed: bool) -> Iterator[Batch]:
        """Yield all dead letters, or those since the last replay. Raises as `follow`.

        Those that wait for a replay are also found in rotated files.
        """
        last = self._committed()
        first = 0 if replayed else last.replayed
        length, mark = last.lengths.get(Topic.DEAD_LETTER, 0), last.marks.get(Topic.DEAD_LETTER)
        for each in (*last.former, MovedOutput(last.rotated, length, mark)):
            begin = max(0, first - each.start)
            if begin < each.length:
                yield from self._dead_letters(each, begin)

    def _dead_letters(self, piece: MovedOutput, begin: int) -> Iterator[Batch]:
        path = self.directory / f"{Topic.DEAD_LETTER}.jsonl"
        place = self._place(path, piece)
        if place is None:
            log.warning(
                "dead_letters.gone",
                bytes=piece.length - begin,
                reason=f"they were rotated away, and no file beside {path} holds them",
                hint="put the rotated file back to replay them",
            )
            return
        try:
            with moved_output.open_former(place) as file:
                for place_of, lines in _blocks(file, place, begin, piece.length):
                    end = place_of + sum(map(len, lines))
                    yield Batch(
                        _as_records(place.name, place_of, lines), {"replayed": piece.start + end}
                    )
        except OSError as failed:
            raise explained(failed, f"{place}: cannot be read") from None

    def replay_sink(self) -> Sink:
        """Return the sink for a replay, not opened; the service must be stopped."""
        return ReplaySink(self.directory, fsync=self._fsync, check_owners=self._check_owners)

    def _committed(self) -> Checkpoint:
        last = checkpoint.read(self.directory)
        if last is None:
            raise DetectdError(
                f"sink.directory: {self.directory} holds no outputs yet; `detectd run` writes them"
            )
        return last

    def _place(self, path: Path, piece: MovedOutput) -> Path | None:
        """Return the file with the dead letters; None if they are gone."""
        if piece.mark is None:  # An earlier version wrote the checkpoint.
            return path
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            if piece.mark.fits(file.fileno(), piece.length):
                return path
        return next(moved_output.find(path, piece.length, piece.mark), None)

    def _path(self, topic: Topic) -> Path:
        return self.directory / f"{topic}.jsonl"

    def _current(self, topic: Topic, mark: Mark | None) -> IO[bytes] | None:
        """Return the file that the checkpoint names; None if another one is at its path."""
        path = self._path(topic)
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return None
        except OSError as failed:
            raise explained(failed, f"{path}: cannot be read") from None
        if mark and mark.inode != os.fstat(file.fileno()).st_ino:
            file.close()
            return None
        return file


def _records(file: IO[bytes], topic: Topic, begin: int, end: int) -> Iterator[list[Record]]:
    path = Path(f"{topic}.jsonl")
    for place, lines in _blocks(file, path, begin, end):
        yield _as_records(path.name, place, lines)


def _blocks(file: IO[bytes], path: Path, begin: int, end: int) -> Iterator[tuple[int, list[bytes]]]:
    """Yield the lines between two offsets, a block at a time, and each block's offset."""
    file.seek(begin)
    while begin < end:
        lines = file.readlines(min(BLOCK, end - begin))
        size = sum(map(len, lines))
        while (
            size > end - begin
        ):  # If the lines end exactly at the end, one line beyond it was read.
            size -= len(lines.pop())
        if not lines:
            raise DetectdError(
                f"{path} ends before the checkpoint does; put it back, or run again if it was "
                "rotated at this moment"
            )
        yield begin, lines
        begin += size


def _as_records(name: str, place: int, lines: list[bytes]) -> list[Record]:
    places = itertools.accumulate(map(len, lines[:-1]), initial=place)
    return [
        Record(f"{name}@{at}", line.rstrip(b"\n")) for at, line in zip(places, lines, strict=True)
    ]
