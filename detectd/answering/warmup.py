"""The training rows that `run` collects while it has no model, kept across crashes.

The rows lie in a file; how many of them count is part of each commit, so a restart goes on with
exactly the events that have been answered.

Rows that cannot carry a model are no reason to stop: as many again are collected, then twice as
many, and then the collection begins again with new rows.
"""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

import numpy as np

from detectd.errors import DetectdError
from detectd.os_failures import explained

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


class Busy(DetectdError):  # noqa: N818 - the directory is
    """Another process is collecting rows in the directory."""


# Trainings of the same rows and more that fail before new rows are collected: at most four times
# the first number of rows are kept.
MOST_FAILED = 3


class Warmup:
    """Collects `wanted` rows of `width` features in `directory`.

    `failed` counts the trainings that these rows could not carry.
    """

    def __init__(self, directory: Path, width: int, wanted: int) -> None:
        self.path = directory / "warmup.rows"
        self.width = width
        self.collected = 0
        self.failed = 0
        self._first = wanted
        while (file := self._locked(directory)) is None:
            pass
        self._file = file

    def _locked(self, directory: Path) -> int | None:
        """The file, locked; None if whoever held it has removed it meanwhile."""
        try:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as refused:
            raise explained(refused, f"models.directory: {directory} cannot be written") from None
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

    def resume(self, collected: int, failed: int = 0) -> bool:
        """Go on after the first `collected` rows; False where they are no longer there."""
        self.failed = min(failed, MOST_FAILED - 1)
        collected = min(collected, self.wanted)
        size = collected * self.width * 8
        there = os.fstat(self._file).st_size >= size
        self.collected = collected if there else 0
        os.ftruncate(self._file, size if there else 0)
        return there

    @property
    def wanted(self) -> int:
        """How many rows the next training takes."""
        return self._first << self.failed

    def want_more(self) -> None:
        """Collect more rows, since these cannot carry a model; or all of them anew."""
        self.failed += 1
        if self.failed == MOST_FAILED:
            self.failed = self.collected = 0

    @property
    def remaining(self) -> int:
        """How many rows are still wanted."""
        return self.wanted - self.collected

    def add(self, rows: NDArray[np.float64]) -> None:
        """Append rows (k, width), on the disk before the commit that counts them."""
        content = memoryview(rows.tobytes())
        offset = self.collected * self.width * 8
        try:
            while content:
                written = os.pwrite(self._file, content, offset)
                content, offset = content[written:], offset + written
            os.fsync(self._file)
        except OSError as failed:
            raise explained(failed, f"models.directory: {self.path} cannot be written") from None
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
