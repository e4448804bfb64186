"""Readers of the files of one source, and the CSV header that one passes on to the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from detectd.sources.file_reader import BLOCK, FileReader
from detectd.sources.header import kept_header
from detectd.sources.holes import NUL
from detectd.sources.losses import name_of
from detectd.sources.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from detectd.sources.header import CsvFormat, Header
    from detectd.sources.losses import LossLog
    from detectd.sources.open_file import OpenFile

log = structlog.get_logger()


@dataclass(frozen=True)
class FileFormat:
    """The format of a file's records; `rows` is whether it is CSV."""

    rows: bool
    csv: CsvFormat
    max_record_bytes: int


class FileReaders:
    """Create a `FileReader` for each file at `path`."""

    def __init__(
        self, path: Path, how: FileFormat, losses: LossLog, clock: Callable[[], float]
    ) -> None:
        self._path = path
        self._how = how
        self._losses = losses
        self._clock = clock
        self._former: Header | None = None

    def remember(self, header: dict[str, Any] | None) -> None:
        """Use the header of a position as that of the file before; None if it has none."""
        self._former = kept_header(header, self._how.csv)

    def reader(self, file: OpenFile | None, offset: int, line: int, generation: int) -> FileReader:
        """Return a reader of `file` from `offset` on, after that many lines."""
        how = self._how
        if file and offset and how.rows and not file.cut and self._former is None:
            self._former = self._header(file)
        reader = Reader(
            name_of(self._path, generation),
            how.max_record_bytes,
            rows=how.rows,
            csv=how.csv,
            offset=offset,
            line=line,
            header=self._former,
        )
        return FileReader(file, reader, self._losses, json=not how.rows, clock=self._clock)

    def note_header(self, reading: FileReader) -> None:
        """Store the header for the next file, and log a remark on it once."""
        self._former = reading.header
        if remark := reading.take_remark():
            log.warning("source.header", path=str(self._path), reason=remark)

    def _header(self, file: OpenFile) -> Header:
        """Return the header at the beginning of a file, if a position does not include it."""
        how = self._how
        reader = Reader(self._path.name, how.max_record_bytes, rows=True, csv=how.csv)
        file.go_to(0)
        while reader.looks_for_its_header and (block := file.read(BLOCK)):
            reader.feed(block if reader.ahead else block.lstrip(NUL))
        reader.finish()
        assert reader.header, "a position behind its header has a header"
        return reader.header
