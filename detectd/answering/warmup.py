"""The training rows that `run` collects while it has no model, kept across crashes.

The rows lie in a file; how many of them count is part of each commit, so a restart goes on with
exactly the events that have been answered.
"""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

import numpy as np

from detectd.errors import ConfigError, DetectdError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


class Busy(DetectdError):  # noqa: N818 - the directory is
    """Another process is collecting rows in the directory."""


class Warmup:
    """Collects `wanted` rows of `width` features in `directory`."""

    def __init__(self, directory: Path, width: int, wanted: int) -> None:
        self.path = directory / "warmup.rows"
        self.width = width
        self.wanted = wanted
        self.collected = 0
        while (file := self._locked(directory)) is None:
            pass
        self._file = file

    def _locked(self, directory: Path) -> int | None:
        """The file, locked; None if whoever held it has removed it meanwhile."""
        try:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as refused:
            raise ConfigError(
                f"models.directory: {directory} cannot be written: {refused.strerror}"
            ) from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            raise Busy(
                f"{directory}: another detectd is collecting training rows here; wait until it has "
                "its model, or set another models.directory"
            ) from None
        try:
            there = os.path.samestat(os.fstat(file), self.path.stat())
        except FileNotFoundError:
            there = False
        if there:
            return file
        os.close(file)
        return None

    def resume(self, collected: int) -> bool:
        """Go on after the first `collected` rows; False where they are no longer there."""
        size = collected * self.width * 8
        there = os.fstat(self._file).st_size >= size
        self.collected = collected if there else 0
        os.ftruncate(self._file, size if there else 0)
        return there

    @property
    def remaining(self) -> int:
        """How many rows are still wanted."""
        return self.wanted - self.collected

    def add(self, rows: NDArray[np.float64]) -> None:
        """Append rows (k, width), on the disk before the commit that counts them."""
        content = memoryview(rows.tobytes())
        offset = self.collected * self.width * 8
        while content:
            written = os.pwrite(self._file, content, offset)
            content, offset = content[written:], offset + written
        os.fsync(self._file)
        self.collected += len(rows)

    def rows(self) -> NDArray[np.float64]:
        """All rows so far (collected, width)."""
        rows = np.fromfile(self.path, dtype=np.float64, count=self.collected * self.width)
        return rows.reshape(-1, self.width)

    def done(self) -> None:
        """The model is stored; the rows are in it."""
        self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Let go of the file. May be called twice."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
