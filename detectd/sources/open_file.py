"""One open file of a source: it stays readable when it is renamed or removed."""

from __future__ import annotations

import contextlib
import math
import os
import stat
import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

from detectd.errors import ConfigError
from detectd.filesystem.compressed_names import SUFFIXES
from detectd.filesystem.safe_walk import of_the_kernel
from detectd.nearest import missing
from detectd.sources.compression import DamagedError, Unpacked
from detectd.sources.file_identity import LONGEST, Identity, Trace, sha256

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from detectd.filesystem.safe_walk import Walk

KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def kind(status: os.stat_result) -> str | None:
    """Return the type of a path that is not a regular file; None if it is one."""
    if of_the_kernel(status):
        return "made by the kernel as it is read"
    return KINDS.get(stat.S_IFMT(status.st_mode))


class OpenFile:
    """A regular file, open for reading. `original` is whether its writer may still write to it.

    `generation` counts the files of the source. `end` is how far this one was read when the next
    was begun. `cut` is whether its content is gone. `moved` is whether the source's path has
    another file now, and `quiet_since` when this one was last seen to grow or to be moved; `at_end`
    whether the last read returned nothing.

    Raise FileNotFoundError for anything but a regular file, without opening it.
    """

    def __init__(self, walk: Walk, place: Path, *, original: bool = True) -> None:
        if wrong := kind(walk.status):
            raise FileNotFoundError(None, f"is {wrong}", str(place))
        descriptor = walk.open(os.O_RDONLY | os.O_NONBLOCK)
        self.file: IO[bytes] = os.fdopen(descriptor, "rb", buffering=0)
        self.place = walk.place
        self.named = place
        self.packed = place.suffix in SUFFIXES
        self.key = (walk.status.st_dev, walk.status.st_ino)
        self.opened_at = time.time_ns()
        try:
            self._unpacked = Unpacked(self.file, place) if self.packed else None
        except BaseException:
            self.file.close()
            raise
        self.original = original and not self.packed
        self.quiet_since = -math.inf
        self.generation = 0
        self.end = 0
        self.cut = False
        self.moved = False
        self.at_end = False

    @property
    def kind(self) -> str:
        """Return its compression, by its name."""
        return {".gz": "gzip", ".bz2": "bzip2"}.get(self.named.suffix, self.named.suffix[1:])

    def status(self) -> os.stat_result:
        """Return its current status."""
        return os.fstat(self.file.fileno())

    def size(self) -> int:
        """Return its size in bytes, compressed if it is."""
        return self.status().st_size

    def is_empty(self) -> bool:
        """Return whether it is empty. A damaged file is not."""
        try:
            return not self.size() or (self.packed and not self._pieces(1, 0)[0])
        except DamagedError:
            return False

    def read(self, size: int) -> bytes:
        """Return the next bytes, none at the end. Raise OSError and DamagedError."""
        return self._unpacked.read(size) if self._unpacked else self.file.read(size)

    def packed_at(self) -> int:
        """Return how many bytes of the compressed file have been read."""
        return os.lseek(self.file.fileno(), 0, os.SEEK_CUR)

    def go_to(self, offset: int) -> Trace:
        """Seek to `offset`; return the trace of the first bytes and of those before it."""
        head, tail = self._pieces(LONGEST, offset)
        if self._unpacked:
            self._unpacked.seek(offset)
        else:
            self.file.seek(offset)
        return Trace(head, tail, offset)

    def matches(self, past: Identity, offset: int) -> bool:
        """Return whether its content matches that identity up to `offset`."""
        if not self.packed and self.size() < offset:
            return False
        try:
            with self._content() as content:
                head = content.read_at(0, past.head_size)
                if sha256(head) != past.head:
                    return False
                start = offset - past.tail_size
                tail = content.read_at(start, past.tail_size)
                return content.reaches(offset) and sha256(tail) == past.tail
        except DamagedError:
            return False

    def agrees_with(self, other: OpenFile, *, at_least: int) -> bool:
        """Return whether one file begins with the content of the other, and that is long enough."""
        try:
            with self._content() as one, other._content() as two:
                heads = one.read_at(0, LONGEST), two.read_at(0, LONGEST)
                common = min(map(len, heads))
                if not common or heads[0][:common] != heads[1][:common]:
                    return False
                sizes = one.size(), two.size()
                end = min(sizes)
                if end < at_least and sizes[0] != sizes[1]:
                    return False
                start = max(0, end - LONGEST)
                return one.read_at(start, end - start) == two.read_at(start, end - start)
        except DamagedError:
            return False

    def identity(self, offset: int, trace: Trace | None = None) -> Identity:
        """Return the identity of the file of which `offset` bytes have been read.

        With a `trace` of more than that, it works even if the file has been truncated meanwhile.
        """
        if trace is None:
            head, tail = self._pieces(min(LONGEST, offset), offset)
        else:
            head, tail = trace.head, trace.tail(offset)
        modified = self.status().st_mtime_ns
        if not head:  # Nothing else is known: what is written from now on has not been read.
            modified = max(modified, self.opened_at)
        return Identity(*self.key, len(head), sha256(head), len(tail), sha256(tail), modified)

    def is_intact(self, trace: Trace) -> bool:
        """Return whether the uncompressed file still has the content that was read."""
        descriptor, last = self.file.fileno(), trace.last()
        return (
            os.pread(descriptor, len(trace.head), 0) == trace.head
            and os.pread(descriptor, len(last), trace.end - len(last)) == last
            and self.size() >= max(trace.end, len(trace.head))
        )

    def close(self) -> None:
        """Release the file. May be called twice."""
        self.file.close()

    def _pieces(self, head: int, offset: int) -> tuple[bytes, bytes]:
        """Return the first `head` bytes, and up to `LONGEST` bytes before `offset`."""
        start = max(0, offset - LONGEST)
        with self._content() as content:
            return content.read_at(0, head), content.read_at(start, offset - start)

    @contextlib.contextmanager
    def _content(self) -> Iterator[Content]:
        """Open the content for reads at any offset, while sequential reading continues."""
        if not self.packed:
            yield Content(self.file, None)
            return
        with open(f"/proc/self/fd/{self.file.fileno()}", "rb", buffering=0) as again:  # noqa: PTH123
            yield Content(again, Unpacked(again, self.named))


class Content:
    """The content of a file, at any offset; a compressed one is best read forwards."""

    def __init__(self, file: IO[bytes], unpacked: Unpacked | None) -> None:
        self._file = file
        self._unpacked = unpacked

    def read_at(self, start: int, size: int) -> bytes:
        """Return `size` bytes from `start`, fewer if it ends before."""
        if self._unpacked is None:
            return os.pread(self._file.fileno(), size, start)
        if not size:
            return b""
        self._unpacked.seek(start)
        return self._unpacked.read(size)

    def size(self) -> int:
        """Return its length."""
        if self._unpacked is None:
            return os.fstat(self._file.fileno()).st_size
        self._unpacked.seek(sys.maxsize)
        return self._unpacked.at

    def reaches(self, offset: int) -> bool:
        """Return whether it is at least as long."""
        if self._unpacked is None:
            return os.fstat(self._file.fileno()).st_size >= offset
        if self._unpacked.at < offset:
            self._unpacked.seek(offset)
        return self._unpacked.at >= offset


def require_apart(path: Path, rotated: Iterable[str], outputs: Path) -> None:
    """Raise ConfigError if the source would read what the sink writes in `outputs`."""
    real = Path(os.path.realpath(outputs))
    for key, place in (("path", path), *(("rotated", Path(glob)) for glob in rotated)):
        # the directory of a link, and its target
        for there in (Path(os.path.realpath(place.parent)) / place.name, place.resolve()):
            if real in there.parents:
                raise ConfigError(
                    f"source.{key}: {place} lies in sink.directory, {outputs}, where the outputs "
                    "are; name another file or another directory"
                )
    with contextlib.suppress(OSError):
        status = path.stat()
        for output in outputs.iterdir():
            if os.path.samestat(status, output.stat()):
                raise ConfigError(
                    f"source.path: {path} is the output {output} under another name; "
                    "name another file"
                )


def require_regular(path: Path, *, missing_ok: bool) -> None:
    """Raise ConfigError, or OSError, if records cannot be read from `path`."""
    try:
        status = path.stat()
    except FileNotFoundError:
        if missing_ok:
            return
        raise ConfigError(f"source.path: {missing(path, 'name a file with records')}") from None
    if other := kind(status):
        raise ConfigError(
            f"source.path: {path} is {other}, not a file; name a regular file"
            + (
                ', or pipe the records into the command with source.kind = "stdin"'
                if other in ("a named pipe", "a device", "a socket")
                else " with records"
            )
        )
    if not status.st_size and not missing_ok:
        raise ConfigError(f"source.path: {path} is empty; name a file with records")
