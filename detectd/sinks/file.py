"""Four files in a directory as a sink: `normal.jsonl`, `anomaly.jsonl`, and so on.

The checkpoint beside them holds the position of the last commit and the length of each output.
Anything beyond those lengths after a crash is truncated at the next start, so the outputs and the
position always belong together.

The outputs may be rotated at any time: each commit detects a renamed, removed or truncated file,
and continues in the one at its path. An uncommitted rest in a file that was renamed since is
truncated, too.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import structlog

from detectd.errors import ConfigError, DetectdError
from detectd.filesystem import atomic_files, private_directories
from detectd.filesystem.os_errors import Kind, explained, meaning
from detectd.pipeline.records import OUTCOMES, Topic
from detectd.sinks import Sink, checkpoint, moved_output
from detectd.sinks.checkpoint import Checkpoint
from detectd.sinks.output_file import Output

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from detectd.pipeline.records import KeyRecord, Outgoing, Position

log = structlog.get_logger()


class FileSink(Sink):
    """Append to the outputs under `directory`. One process at a time.

    `last` is the last finished commit, known after `open`.
    """

    def __init__(
        self,
        directory: Path,
        topics: Collection[Topic] = OUTCOMES,
        *,
        fsync: bool = True,
        check_owners: bool = True,
    ) -> None:
        self.directory = directory
        self._topics = topics
        self._fsync = fsync
        self._check_owners = check_owners
        self._lock = -1
        self._outputs: dict[Topic, Output] = {}
        self.last = Checkpoint()

    def open(self) -> Position | None:
        """See `Sink`. Raise ConfigError if the directory cannot be used."""
        try:
            private_directories.make(
                "sink.directory",
                self.directory,
                0o750,
                shared=True,
                check_owners=self._check_owners,
            )
            self._take_lock()
            self.last = self._checkpoint()
            for topic in self._topics:
                self._outputs[topic] = Output(self._path(topic))
                self._recover(topic)
            # Before the first output, so that a crash in the first commit finds a checkpoint, and
            # in it that a moved output continues in another file.
            checkpoint.write(self.directory, self.last, sync=self._fsync)
            atomic_files.sync_directory(self.directory)
        except OSError as failed:
            where = failed.filename or self.directory
            raise explained(failed, f"sink.directory: {where} cannot be used") from None
        return self.last.position

    def commit(
        self,
        outgoing: Sequence[Outgoing],
        position: Position,
        keys: Sequence[KeyRecord] = (),  # noqa: ARG002 - they are in files of their own
    ) -> None:
        """See `Sink`. Values hold no line breaks."""
        if outgoing or position != self.last.position:
            self._commit(outgoing, position, self.last.replayed)

    def close(self) -> None:
        """See `Sink`."""
        for output in self._outputs.values():
            output.close()
        if self._lock >= 0:
            os.close(self._lock)
        self._outputs, self._lock = {}, -1

    def _commit(
        self, outgoing: Sequence[Outgoing], position: Position | None, replayed: int
    ) -> None:
        content: defaultdict[Topic, list[bytes]] = defaultdict(list)
        for out in outgoing:
            content[out.topic].append(out.value)
        try:
            # 1. Identify the files at the outputs' paths, before anything is written to them.
            self._follow_rotations()
            # 2. Append the records; they are not committed yet.
            added = {
                topic: self._outputs[topic].append(_lines(values))
                for topic, values in content.items()
            }
            # 3. Write the checkpoint once they are on disk: this commits them with the position.
            committed = replace(
                self.last.replayed_to(replayed),
                position=position,
                lengths=self.last.lengths | {topic: length for topic, (length, _) in added.items()},
                marks=self.last.marks | {topic: mark for topic, (_, mark) in added.items()},
            )
            written = [self._outputs[topic].descriptor for topic in content]
            checkpoint.write(self.directory, committed, sync=self._fsync, after=written)
        except OSError as failed:
            self._undo()
            ours = meaning(failed).kind is Kind.OPERATOR and failed.filename
            raise explained(failed, f"{ours or self.directory}: cannot be written") from None
        for topic, (length, mark) in added.items():
            self._outputs[topic].settle(length, mark)
        self.last = committed

    def _follow_rotations(self) -> None:
        """Switch to the files at the outputs' paths if they differ from those of the last commit.

        Raise OSError.
        """
        before = self.last
        for topic, output in self._outputs.items():
            reason = output.change()
            if reason is None:
                continue
            self._outputs[topic] = Output(output.path)
            output.close()
            self._go_on(topic, reason)
        if self.last is not before:
            checkpoint.write(self.directory, self.last, sync=self._fsync)

    def _recover(self, topic: Topic) -> None:
        """Undo what was written after the last commit, in the file that received it."""
        output = self._outputs[topic]
        length, mark = self.last.lengths.get(topic, 0), self.last.marks.get(topic)
        known = output.size >= length if mark is None else mark.fits(output.descriptor, length)
        if known:
            output.cut_back(length)
            lengths = self.last.lengths | {topic: length}
            marks = self.last.marks | {topic: output.mark}
            self.last = replace(self.last, lengths=lengths, marks=marks)
            return
        if 0 < output.size < length and (mark is None or mark.inode == output.mark.inode):
            raise ConfigError(
                f"sink.directory: {output.path} has {output.size} bytes, the checkpoint counts "
                f"{length}; put it back, or move the directory away"
            )
        places = moved_output.find(output.path, length, mark) if mark else ()
        cut = {str(place): moved_output.cut_back(place, length) for place in places}
        self._go_on(topic, "it was rotated while the service was down", former=cut)

    def _go_on(self, topic: Topic, reason: str, **details: Any) -> None:
        """Append to the file now at the output's path."""
        output, before = self._outputs[topic], self.last
        self.last = before.going_on_in(topic, output.length, output.mark)
        log.info(
            "output.rotated",
            path=str(output.path),
            reason=reason,
            was_bytes=before.lengths.get(topic, 0),
            bytes=output.length,
            **details,
        )
        for lost in set(before.former) - set(self.last.former):
            log.warning(
                "dead_letters.forgotten",
                bytes=lost.length,
                reason="more of their files were rotated than are remembered",
                hint="replay dead letters sooner, or rotate them less often",
            )

    def _path(self, topic: Topic) -> Path:
        return self.directory / f"{topic}.jsonl"

    def _take_lock(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._lock = os.open(self.directory / ".lock", flags, 0o600)
        # A user who can read the file could hold a lock on it.
        os.fchmod(self._lock, 0o600)
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

    def _undo(self) -> None:
        """Truncate the rest of a failed commit, unless the checkpoint on disk includes it.

        If that fails, too, the next `open` does it.
        """
        with contextlib.suppress(OSError, DetectdError):
            there = checkpoint.read(self.directory)
            if there and there.marks == self.last.marks:
                for output in self._outputs.values():
                    output.undo()


class ReplaySink(FileSink):
    """A sink for replaying dead letters to the same files: the source's position is unchanged.

    A position's `replayed` counts the bytes of replayed dead letters.
    """

    def commit(
        self,
        outgoing: Sequence[Outgoing],
        position: Position,
        keys: Sequence[KeyRecord] = (),  # noqa: ARG002
    ) -> None:
        """See `Sink`."""
        self._commit(outgoing, self.last.position, position.source["replayed"])


def _lines(values: list[bytes]) -> bytes:
    lines = b"\n".join([*values, b""])
    assert lines.count(b"\n") == len(values), "a value has a line break"
    return lines
