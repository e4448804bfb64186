"""A file of JSON lines or CSV as a source: read to its end, or followed like `tail -F`."""

from __future__ import annotations

import gzip
import os
import stat
import time
import zlib
from typing import IO, TYPE_CHECKING, Any, Literal, cast

import structlog

from detectd.errors import ConfigError, DetectdError
from detectd.nearest import missing
from detectd.sources import BATCH_BYTES, Batch, Source
from detectd.sources.header import CsvFormat, Header, kept_header
from detectd.sources.identity import Identity, head_of, rotated_sibling
from detectd.sources.reader import Reader
from detectd.sources.rotation import successor

if TYPE_CHECKING:
    from pathlib import Path

    from detectd.records import Record

log = structlog.get_logger()

BLOCK = 1 << 18
POLL_SECONDS = 0.05
DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error)


class FileSource(Source):
    """Records of one file. `follow` waits for more at its end, through rotation and truncation.

    A record's id is `name:line`. After a rotation or truncation lines count from 1 again, and the
    ids tell the generations apart: `name#1:line`.
    """

    _reader: Reader
    _identity: Identity

    def __init__(
        self,
        path: Path,
        *,
        row_format: Literal["json", "csv"],
        follow: bool,
        max_record_bytes: int,
        csv: CsvFormat | None = None,
    ) -> None:
        self.path = path
        self.follow = follow
        self._rows = row_format == "csv"
        self._max_record_bytes = max_record_bytes
        self._csv = csv or CsvFormat()
        self._former: Header | None = None
        self._packed = path.suffix == ".gz"
        self._file: IO[bytes] | None = None
        self._generation = 0
        self._rotated = False
        self._waiting: str | None = None
        self._has_been = False
        self._absent: str | None = None
        self._acknowledged: dict[str, Any] | None = None

    def start(self, position: dict[str, Any] | None) -> None:
        """See `Source`. A file that is followed may come into being later."""
        self._acknowledged = position
        try:
            if not self.follow:
                self._require_content()
            if position is None:
                self._generation = 0
                self._former = None
                self._begin()
            else:
                self._resume(position)
        except DAMAGED:
            raise self._replaced() from None
        except OSError as refused:
            raise ConfigError(
                f"source.path: {self.path} cannot be read: {refused.strerror}; "
                "name a file that this user can read"
            ) from None

    def read(self, limit: int, wait: float) -> Batch:
        """See `Source`."""
        deadline = time.monotonic() + wait
        records: list[Record] = []
        ended = False
        room = BATCH_BYTES
        while len(records) < limit and room > 0 and not ended:
            before = self._reader.offset
            if taken := self._reader.take(limit - len(records)):
                records += taken
                room -= self._reader.offset - before
            elif chunk := self._read_block():
                self._reader.feed(chunk)
                self._note_header()
            elif not self.follow:
                ended = not self._reader.finish()
            elif not self._reader.idle(time.monotonic()) and not self._moved_on():
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                time.sleep(min(left, POLL_SECONDS))
        return Batch(records, self._position(), ended)

    def acknowledge(self, position: dict[str, Any]) -> None:
        """The sink keeps the position; here it is known for a `rewind`."""
        self._acknowledged = position

    def rewind(self) -> None:
        """See `Source`."""
        self.start(self._acknowledged)

    def progress(self) -> float | None:
        """See `Source`; of a gzipped file, the share of its packed bytes."""
        if self.follow or self._file is None:
            return None
        size = os.fstat(self._file.fileno()).st_size
        packed = os.lseek(self._file.fileno(), 0, os.SEEK_CUR) if self._packed else 0
        return min(1.0, (packed or self._reader.offset) / size) if size else 1.0

    def absent(self) -> str | None:
        """See `Source`. A file that has been there once is being rotated."""
        self._has_been = self._has_been or self._file is not None
        if self._has_been:
            return None
        return f"source.path: {missing(self.path, 'waiting until it does')}"

    def close(self) -> None:
        """See `Source`."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _read_block(self) -> bytes:
        if self._file is None:
            return b""
        try:
            if self.follow and not self._is_intact(self._file):
                return b""
            return self._file.read(BLOCK)
        except DAMAGED as broken:
            raise DetectdError(
                f"{self.path}: damaged gzip after line {self._reader.line}: {broken}; get it anew"
            ) from None
        except OSError as failed:
            raise DetectdError(
                f"{self.path}: cannot be read after line {self._reader.line}: {failed.strerror}; "
                "mend the disk and run again"
            ) from None

    def _is_intact(self, file: IO[bytes]) -> bool:
        """Looked at before each block: a file that was truncated may have grown past us since."""
        return self._identity.still_holds(file, self._reader.ahead)

    def _position(self) -> dict[str, Any]:
        # Of a line that has not ended yet, too: it may be all there is to know the file by.
        known = min(self._reader.ahead, Identity.LONGEST)
        if self._file is not None and self._identity.head_size < known:
            self._identity = head_of(self._file, known, packed=self._packed)
        header = self._reader.header.as_dict() if self._reader.header else None
        return {
            "path": str(self.path.absolute()),
            "offset": self._reader.offset,
            "line": self._reader.line,
            "generation": self._generation,
            "identity": self._identity.as_dict(),
            **({"header": header} if header else {}),
        }

    def _resume(self, position: dict[str, Any]) -> None:
        path, offset = position.get("path"), position.get("offset", 0)
        if path != str(self.path.absolute()):
            raise ConfigError(
                f"source.path: {self.path} is not the file whose outputs are in the sink, "
                f"{path or 'another kind of source'}; name another sink.directory"
            )
        self._generation = position["generation"]
        self._former = kept_header(position.get("header"), self._csv)
        past = Identity(**position["identity"])
        self._has_been = bool(past.inode)
        if not past.inode:
            self._begin()
            return
        place = self._place_of(past, offset)
        if place is None:
            log.warning("source.lost", path=path, line=position["line"], why="cut or gone since")
            self._go_over_to(self._open_or_wait())
            return
        file = self._open(place)
        self._read_from(file, offset, position["line"])
        if self._packed and file.tell() < offset:
            raise self._replaced()

    def _begin(self) -> None:
        """The file from its start; where it is followed and not there yet, nothing for now."""
        self._read_from(self._open_or_wait(), 0, 0)

    def _go_over_to(self, file: IO[bytes] | None) -> None:
        """The next file, from its start."""
        self._generation += 1
        self._read_from(file, 0, 0)

    def _open(self, place: Path) -> IO[bytes]:
        # Closed by `close`: the file outlives this call.
        opened = gzip.open(place) if self._packed else place.open("rb")  # noqa: SIM115
        return cast("IO[bytes]", opened)

    def _open_or_wait(self) -> IO[bytes] | None:
        try:
            return self._open(self.path)
        except FileNotFoundError as absent:
            if not self.follow:
                raise
            self._wait_for(absent)
            return None

    def _wait_for(self, absent: OSError) -> None:
        """Say why there is nothing to read, once."""
        if self._waiting != absent.strerror:
            self._waiting = absent.strerror
            log.info("source.waiting", path=str(self.path), why=absent.strerror)

    def _read_from(self, file: IO[bytes] | None, offset: int, line: int) -> None:
        self.close()
        self._file = file
        self._rotated = False
        if file:
            self._waiting = None
        self._identity = head_of(file, offset, packed=self._packed) if file else Identity()
        if file and offset:
            if self._rows and self._former is None:
                self._former = self._header(file)
            file.seek(offset)
        generation = f"#{self._generation}" if self._generation else ""
        self._reader = Reader(
            f"{self.path.name}{generation}",
            self._max_record_bytes,
            rows=self._rows,
            csv=self._csv,
            offset=offset,
            line=line,
            header=self._former,
        )

    def _header(self, file: IO[bytes]) -> Header:
        """The header at the beginning of the file, for a position that does not have it."""
        reader = Reader(self.path.name, self._max_record_bytes, rows=True, csv=self._csv)
        while reader.looks_for_its_header and (block := file.read(BLOCK)):
            reader.feed(block)
        reader.finish()
        assert reader.header, "a position behind its header has a header"
        return reader.header

    def _note_header(self) -> None:
        """Remember the header for the next file, and say once what there is to say of it."""
        self._former = self._reader.header
        if self._reader.remark:
            log.warning("source.header", path=str(self.path), reason=self._reader.remark)
            self._reader.remark = None

    def _require_content(self) -> None:
        wrong = None
        try:
            status = self.path.stat()
        except FileNotFoundError:
            raise ConfigError(
                f"source.path: {missing(self.path, 'name a file with records')}"
            ) from None
        if stat.S_ISDIR(status.st_mode):
            wrong = "is a directory, not a file"
        elif stat.S_ISREG(status.st_mode) and not status.st_size:
            wrong = "is empty"
        if wrong:
            raise ConfigError(f"source.path: {self.path} {wrong}; name a file with records")

    def _place_of(self, past: Identity, offset: int) -> Path | None:
        """Where the file of an earlier run lies now; None where it is gone and a new one is due.

        Raises ConfigError where a file that is not followed is no longer the one that was read.
        """
        if not self.follow:
            if past.is_still(self.path, offset, packed=self._packed):
                return self.path
            raise self._replaced()
        if self.path.exists() and past.is_same_inode(self.path):
            return self.path if past.is_still(self.path, offset) else None
        sibling = rotated_sibling(self.path, past, offset)
        if sibling is not None:
            return sibling
        # Restored from elsewhere: another inode, the same content.
        known = self.path.exists() and offset > 0 and past.is_still(self.path, offset)
        return self.path if known else None

    def _moved_on(self) -> bool:
        """At the end of a followed file: go over to the file that has taken its place, if any.

        A rotated file is read to its end once more after the rotation was seen, since its writer
        may have written until then.
        """
        self._note_header()
        try:
            if self._file is None:
                self._read_from(self._open(self.path), 0, 0)
                return True
            renamed = not self._identity.is_same_inode(self.path)
            if not renamed and self._is_intact(self._file):
                return False
            if renamed and not self._rotated:
                self._rotated = True
                return True
            if self._reader.finish():
                return True
            place = successor(self.path, self._identity) if renamed else self.path
            file = self._open(place)
        except OSError as absent:  # Whoever rotates may yet have to create it, or to hand it over.
            self._wait_for(absent)
            return False
        log.info("source.rotated", path=str(self.path), lines=self._reader.line, next=place.name)
        self._go_over_to(file)
        return True

    def _replaced(self) -> ConfigError:
        return ConfigError(
            f"source.path: {self.path} was replaced or cut since it was processed; "
            "name another sink.directory, or put the file back"
        )
