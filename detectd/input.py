"""The file that `--input` names, read from its first record to its last."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from detectd import wiring
from detectd.errors import ConfigError, UsageError
from detectd.sources.file import FileSource

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from detectd.settings import Settings
    from detectd.sources import Batch


CHUNK = 10_000


class InputFile:
    """JSON lines or CSV, as the name or the configuration says. Close it.

    Raises UsageError where it cannot be read.
    """

    def __init__(self, path: Path, settings: Settings) -> None:
        self._source = FileSource(
            path,
            row_format=settings.source.row_format(path),
            follow=False,
            max_record_bytes=settings.source.max_record_bytes,
            csv=wiring.csv_format(settings),
        )
        with _told_of_the_argument():
            self._source.start(None)

    def read(self, limit: int = CHUNK) -> Batch:
        """The next records, at most `limit`."""
        with _told_of_the_argument():
            return self._source.read(limit, 0)

    def progress(self) -> float:
        """The share that has been read, in [0, 1]."""
        return self._source.progress() or 0.0

    def close(self) -> None:
        """Let go of the file."""
        self._source.close()


@contextmanager
def _told_of_the_argument() -> Iterator[None]:
    try:
        yield
    except ConfigError as refused:
        raise UsageError(str(refused).replace("source.path:", "--input", 1)) from None
