"""The file sink's record of its last commit, in `checkpoint.json` beside the outputs.

An output is appended to only while the checkpoint names its file. So if two files had the same name
because one was rotated away, uncommitted bytes are in the one named here.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from detectd.errors import ConfigError
from detectd.filesystem import atomic_files
from detectd.filesystem.os_errors import explained
from detectd.pipeline.records import Position, Topic

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NAME = "checkpoint.json"

# The most rotated files that a checkpoint lists.
MOST_FORMER = 100


@dataclass(frozen=True, slots=True)
class Mark:
    """The identity of a file: its inode, and a hash of the last `size` bytes committed to it.

    Inodes are reused and change with a copy; the bytes distinguish both.
    """

    LONGEST: ClassVar[int] = 128

    inode: int
    size: int
    digest: str

    @classmethod
    def of(cls, inode: int, tail: bytes) -> Mark:
        """Return the mark of a file that ends with `tail`."""
        tail = tail[-cls.LONGEST :]
        return cls(inode, len(tail), _digest(tail))

    def fits(self, descriptor: int, length: int) -> bool:
        """Return whether an open file is the marked one, which had `length` bytes."""
        status = os.fstat(descriptor)
        if not length:
            return status.st_ino == self.inode
        if status.st_size < length:
            return False
        return self.fits_bytes(os.pread(descriptor, self.size, length - self.size))

    def fits_bytes(self, tail: bytes) -> bool:
        """Return whether the last committed bytes were these."""
        return _digest(tail) == self.digest


@dataclass(frozen=True, slots=True)
class MovedOutput:
    """Dead letters in a file that was rotated before they were replayed.

    They are the `length` bytes from the `start`-th dead byte on.
    """

    start: int
    length: int
    mark: Mark | None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The last commit. Bytes of an output beyond its length are not committed.

    Bytes of dead letters are counted from the first one ever: `replayed` of them have been
    replayed, `rotated` are in files before the current one, and `former` lists the parts of those
    files that wait for a replay. An output has no mark if an earlier version wrote the checkpoint.
    """

    position: Position | None = None
    lengths: dict[Topic, int] = field(default_factory=dict)
    replayed: int = 0
    marks: dict[Topic, Mark] = field(default_factory=dict)
    rotated: int = 0
    former: tuple[MovedOutput, ...] = ()

    def going_on_in(self, topic: Topic, length: int, mark: Mark) -> Checkpoint:
        """Return the checkpoint after an output switched to another file that has `length`
        bytes."""
        lengths, marks = self.lengths | {topic: length}, self.marks | {topic: mark}
        changed = replace(self, lengths=lengths, marks=marks)
        if topic is not Topic.DEAD_LETTER:
            return changed
        end = self.rotated + self.lengths.get(topic, 0)
        past, replayed, former = self.marks.get(topic), self.replayed, self.former
        if replayed < end:
            if past is None:  # they cannot be found without a mark
                replayed = end
            else:
                former = (*former, MovedOutput(self.rotated, end - self.rotated, past))[
                    -MOST_FORMER:
                ]
        return replace(changed, rotated=end, replayed=replayed, former=former)

    def replayed_to(self, replayed: int) -> Checkpoint:
        """Return the checkpoint after that many bytes of dead letters have been replayed."""
        waiting = tuple(each for each in self.former if each.start + each.length > replayed)
        return replace(self, replayed=replayed, former=waiting)


def read(directory: Path) -> Checkpoint | None:
    """Return the last commit, None before the first. Raise ConfigError if it is damaged."""
    path = directory / NAME
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
        position = found["position"]
        return Checkpoint(
            Position(**position) if position else None,
            {Topic(name): int(n) for name, n in found["lengths"].items()},
            int(found.get("replayed", 0)),
            {Topic(name): Mark(**mark) for name, mark in found.get("marks", {}).items()},
            int(found.get("rotated", 0)),
            tuple(
                MovedOutput(each["start"], each["length"], Mark(**each["mark"]))
                for each in found.get("former", ())
            ),
        )
    except FileNotFoundError:
        return None
    except OSError as failed:
        raise explained(failed, f"sink.directory: {path} cannot be read") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigError(
            f"sink.directory: {path} is damaged; move the directory away or name another"
        ) from None


def write(
    directory: Path, checkpoint: Checkpoint, *, sync: bool, after: Sequence[int] = ()
) -> None:
    """Replace the checkpoint atomically.

    With `sync`, data written to the descriptors `after` is on disk before.
    """
    body = json.dumps(asdict(checkpoint)).encode() + b"\n"
    atomic_files.replace(directory / NAME, body, sync=sync, after=after)


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()
