"""One output file, which other programs may rename, remove or truncate at any moment."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from detectd.errors import ConfigError
from detectd.filesystem import owners, umask
from detectd.filesystem.safe_walk import Walk
from detectd.sinks.checkpoint import Mark

if TYPE_CHECKING:
    from pathlib import Path

# In append mode, so that an external truncation leaves no hole of zero bytes.
FLAGS = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK
MODE = 0o640


class Output:
    """An open file with `length` committed bytes, identified by its `mark`."""

    def __init__(self, path: Path) -> None:
        """Open or create `path`. Raise OSError, or ConfigError if it is not a regular file."""
        self.path = path
        self.descriptor = _opened(path)
        status = os.fstat(self.descriptor)
        self._file = (status.st_dev, status.st_ino)
        self._begin = -1
        self._settle_at(status.st_size)

    @property
    def size(self) -> int:
        """Return the bytes in the file, committed or not."""
        return os.fstat(self.descriptor).st_size

    def change(self) -> str | None:
        """Return how the file was changed externally since the last commit; None if it was not."""
        try:
            status = os.stat(self.path)  # noqa: PTH116 - at each commit, and Path.stat is slower
        except FileNotFoundError:
            return "it was renamed or removed"
        if (status.st_dev, status.st_ino) != self._file:
            return "another file has taken its place"
        if status.st_size < self.length:
            return "it was truncated"
        if status.st_size > self.length:
            return "another process has written to it"
        return None

    def append(self, content: bytes) -> tuple[int, Mark]:
        """Append after the last commit. Return the new length and mark; see `settle`."""
        rest = memoryview(b"\n" + content if self._torn else content)
        while rest:
            written = os.write(self.descriptor, rest)
            rest = rest[written:]
            if self._begin < 0:
                self._begin = os.lseek(self.descriptor, 0, os.SEEK_CUR) - written
        return os.lseek(self.descriptor, 0, os.SEEK_CUR), Mark.of(self._file[1], content)

    def settle(self, length: int, mark: Mark) -> None:
        """Mark the appended bytes as committed."""
        self.length, self.mark, self._torn, self._begin = length, mark, False, -1

    def cut_back(self, length: int) -> None:
        """Truncate the file to `length` bytes."""
        os.ftruncate(self.descriptor, length)
        self._settle_at(length)

    def undo(self) -> None:
        """Truncate what was appended since the last commit."""
        if self._begin >= 0:
            os.ftruncate(self.descriptor, min(self._begin, self.size))
            self._begin = -1

    def close(self) -> None:
        """Release the file. May be called twice."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def _settle_at(self, length: int) -> None:
        tail = os.pread(self.descriptor, Mark.LONGEST, max(0, length - Mark.LONGEST))
        self.settle(length, Mark.of(self._file[1], tail))
        # The file ends in a partial line: begin a new one.
        self._torn = tail[-1:] not in {b"", b"\n"}


def _opened(path: Path) -> int:
    """Open or create an output. Refuse a symlink of another user."""
    while True:
        try:
            descriptor = os.open(path, FLAGS | os.O_CREAT | os.O_EXCL, MODE)
        except FileExistsError:
            try:
                return _opened_again(path)
            except FileNotFoundError:  # it has just been renamed
                if path.is_symlink():
                    raise
        else:
            umask.share(descriptor, MODE)
            return descriptor


def _opened_again(path: Path) -> int:
    with Walk(path) as walk:
        if not all(link.status.st_uid in owners.trusted() for link in walk.links):
            raise ConfigError(
                f"sink.directory: {path} is a symbolic link owned by another user; remove it"
            ) from None
        if not stat.S_ISREG(walk.status.st_mode):
            raise ConfigError(
                f"sink.directory: {path} is not a regular file; move it away"
            ) from None
        return walk.open(FLAGS)
