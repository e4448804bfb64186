"""Four files in a directory as a sink: `normal.jsonl`, `anomaly.jsonl`, and so on.

The checkpoint beside them holds the position of the last commit and how long each output was
then. What a crash has left beyond those lengths is cut off at the next start, so the outputs and
the position always belong together.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections import defaultdict
from typing import TYPE_CHECKING

from detectd import durable
from detectd.errors import ConfigError, DetectdError
from detectd.records import OUTCOMES, Topic
from detectd.sinks import Sink, checkpoint
from detectd.sinks.checkpoint import Checkpoint

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from detectd.records import Outgoing, Position


class FileSink(Sink):
    """Appends to the outputs under `directory`. One process at a time.

    `last` is the last finished commit, known after `open`.
    """

    def __init__(
        self, directory: Path, topics: Collection[Topic] = OUTCOMES, *, fsync: bool = True
    ) -> None:
        self.directory = directory
        self._topics = topics
        self._fsync = fsync
        self._lock = -1
        self._files: dict[Topic, int] = {}
        self.last = Checkpoint()

    def open(self) -> Position | None:
        """See `Sink`. Raises ConfigError where the directory cannot be used as it is."""
        try:
            self.directory.mkdir(mode=0o750, parents=True, exist_ok=True)
            self._take_lock()
            before = self._checkpoint()
            lengths = dict(before.lengths)  # of outputs that are no longer wanted, too
            for topic in self._topics:
                self._files[topic] = os.open(
                    self._path(topic), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640
                )
                lengths[topic] = self._cut_back(topic, before.lengths.get(topic, 0))
            # Before the first output: a crash in the first commit must find a checkpoint too, and
            # in it that an output which was moved away has begun anew.
            replayed = min(before.replayed, lengths[Topic.DEAD_LETTER])
            self.last = Checkpoint(before.position, lengths, replayed)
            checkpoint.write(self.directory, self.last, sync=self._fsync)
            durable.sync_directory(self.directory)
        except OSError as refused:
            raise ConfigError(
                f"sink.directory: {self.directory} cannot be used: {refused.strerror}"
            ) from None
        return self.last.position

    def commit(self, outgoing: Sequence[Outgoing], position: Position) -> None:
        """See `Sink`. Values hold no line breaks."""
        if outgoing or position != self.last.position:
            self._commit(outgoing, position, self.last.replayed)

    def close(self) -> None:
        """See `Sink`."""
        for descriptor in (*self._files.values(), self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._files, self._lock = {}, -1

    def _commit(
        self, outgoing: Sequence[Outgoing], position: Position | None, replayed: int
    ) -> None:
        content: defaultdict[Topic, list[bytes]] = defaultdict(list)
        for out in outgoing:
            content[out.topic].append(out.value)
        try:
            # 1. The records behind those of the last commit; nobody counts on them yet.
            lengths = self.last.lengths | {
                topic: self._append(topic, _lines(values)) for topic, values in content.items()
            }
            # 2. The checkpoint, when they are on the disk: from here on they count, and the source
            #    goes on behind them.
            committed = Checkpoint(position, lengths, replayed)
            written = [self._files[topic] for topic in content]
            checkpoint.write(self.directory, committed, sync=self._fsync, after=written)
        except OSError as failed:
            self._undo()
            raise DetectdError(
                f"{self.directory}: cannot be written: {failed.strerror}; the outputs stay at the "
                "last commit; free space and run again"
            ) from None
        self.last = committed

    def _path(self, topic: Topic) -> Path:
        return self.directory / f"{topic}.jsonl"

    def _take_lock(self) -> None:
        self._lock = os.open(self.directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._lock, 20, 0).decode().strip() or "unknown"
            raise DetectdError(
                f"sink.directory: {self.directory} is in use by process {holder}; "
                "stop it, or name another"
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, b"%d\n" % os.getpid(), 0)

    def _checkpoint(self) -> Checkpoint:
        found = checkpoint.read(self.directory)
        if found is not None:
            return found
        there = [topic for topic in self._topics if self._path(topic).exists()]
        if any(self._path(topic).stat().st_size for topic in there):
            raise ConfigError(
                f"sink.directory: {self.directory} holds outputs without a checkpoint, which "
                "would be overwritten; move them away or name another"
            )
        return Checkpoint()

    def _cut_back(self, topic: Topic, length: int) -> int:
        """Undo what came after the last commit. An output that was moved away begins anew."""
        size = os.fstat(self._files[topic]).st_size
        if 0 < size < length:
            raise ConfigError(
                f"sink.directory: {self._path(topic)} has {size} bytes, the checkpoint counts "
                f"{length}; put it back, or move the directory away"
            )
        length = min(size, length)
        os.ftruncate(self._files[topic], length)
        return length

    def _undo(self) -> None:
        """Cut off what a failed commit has left, by the checkpoint that is there now.

        Where the disk does not even allow that, the next `open` does it.
        """
        with contextlib.suppress(OSError, ConfigError):
            lengths = self._checkpoint().lengths
            for topic in self._topics:
                self._cut_back(topic, lengths.get(topic, 0))

    def _append(self, topic: Topic, content: bytes) -> int:
        """Write behind the last commit, and tell the new length."""
        rest, end = memoryview(content), self.last.lengths[topic]
        while rest:
            written = os.pwrite(self._files[topic], rest, end)
            rest, end = rest[written:], end + written
        return end


class ReplaySink(FileSink):
    """The same files, while dead letters are answered once more: the source stays where it is.

    A position's `replayed` counts the bytes of the dead letters that have been answered.
    """

    def commit(self, outgoing: Sequence[Outgoing], position: Position) -> None:
        """See `Sink`."""
        self._commit(outgoing, self.last.position, position.source["replayed"])


def _lines(values: list[bytes]) -> bytes:
    lines = b"\n".join([*values, b""])
    assert lines.count(b"\n") == len(values), "a value has a line break"
    return lines
