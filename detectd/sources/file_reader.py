"""Read records from one open file: its blocks, the holes between them, and its last line."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import msgspec
import structlog

from detectd.errors import DetectdError
from detectd.filesystem.os_errors import explained
from detectd.pipeline.surrogates import decode_json
from detectd.sources.compression import DamagedError
from detectd.sources.file_identity import Identity, Trace
from detectd.sources.holes import NUL, HoleFinder

if TYPE_CHECKING:
    from collections.abc import Callable

    from detectd.pipeline.records import Record
    from detectd.sources.header import Header
    from detectd.sources.losses import LossLog
    from detectd.sources.open_file import OpenFile
    from detectd.sources.reader import Reader

log = structlog.get_logger()

BLOCK = 1 << 18


class FileReader:
    """Read `file` from the position of `reader`; without a file, or if it is cut, there is nothing.

    `size` is the last known length of the intact file, and `looked` the time of that check.
    """

    def __init__(
        self,
        file: OpenFile | None,
        reader: Reader,
        losses: LossLog,
        *,
        json: bool,
        clock: Callable[[], float],
    ) -> None:
        self._file = None if file is None or file.cut else file
        self._reader = reader
        self._losses = losses
        self._json = json
        self._clock = clock
        self._trace = self._file.go_to(reader.offset) if self._file else Trace(end=reader.offset)
        self._holes = HoleFinder(inside=self._trace.last().endswith(NUL))
        self._parts: deque[bytes | int] = deque()
        self._hole = 0
        self._half = False
        self.size = 0
        self.looked = clock()

    @property
    def offset(self) -> int:
        """Return how many bytes the returned records covered."""
        return self._reader.offset

    @property
    def line(self) -> int:
        """Return how many lines they covered."""
        return self._reader.line

    @property
    def end(self) -> int:
        """Return how far the file has been read."""
        return self._trace.end

    def take(self, limit: int) -> list[Record]:
        """Return up to `limit` records of what has been fed."""
        records = self._reader.take(limit)
        if self._half and records:
            self._half = False
            self._look_at_half(records[-1])
        return records

    def feed(self, *, follow: bool) -> int:
        """Feed the next bytes; return how many were read or skipped, 0 at the end.

        Raise DetectdError if the file is damaged or the disk fails.
        """
        if not self._parts:
            block = self._read(follow=follow)
            if not block:
                return 0
            self._trace.feed(block)
            self._parts.extend(self._holes.split(block))
            if not self._parts:
                return len(block)
        part = self._parts.popleft()
        if isinstance(part, bytes):
            self._end_hole()
            self._reader.feed(part)
            return len(part)
        if self._reader.finish():  # A partial line before the hole is a record of its own.
            self._parts.appendleft(part)
        else:
            self._reader.skip(part)
            self._hole += part
        return part

    def finish(self) -> bool:
        """Make a record of the rest at the end of the file; return whether there is one."""
        self._end_hole()
        if rest := self._holes.finish():
            self._reader.feed(rest)
        self._half = self._reader.finish()
        return self._half

    def idle(self, now: float) -> bool:
        """Record that there is no more for now; return whether that made records: see `Reader`."""
        return self._reader.idle(now)

    @property
    def header(self) -> Header | None:
        """Return the header of the rows, if they are CSV."""
        return self._reader.header

    def take_remark(self) -> str | None:
        """Return a remark on the header, once."""
        remark, self._reader.remark = self._reader.remark, None
        return remark

    def is_intact(self) -> bool:
        """Return whether the file still has the content that was read; always true if
        compressed."""
        if self._file is None or self._file.packed:
            return True
        if not self._file.is_intact(self._trace):
            return False
        self.size, self.looked = self._file.size(), self._clock()
        return True

    def identity(self) -> Identity:
        """Return the file's identity; an empty one if there is no file."""
        return self._file.identity(self.offset, self._trace) if self._file else Identity()

    def _read(self, *, follow: bool) -> bytes:
        file = self._file
        if file is None:
            return b""
        try:
            block = file.read(BLOCK)
            # Checked after the read: what came from a truncated file is not its own.
            return b"" if follow and not self.is_intact() else block
        except DamagedError as broken:
            raise DetectdError(
                f"{file.place}: damaged {file.kind} after line {self.line}: {broken}; get it again"
            ) from None
        except OSError as failed:
            raise explained(
                failed, f"{file.place}: cannot be read after line {self.line}"
            ) from None

    def _end_hole(self) -> None:
        if self._hole:
            self._losses.skipped(self.line, self._hole)
            self._hole = 0

    def _look_at_half(self, last: Record) -> None:
        if not self._json:
            return
        try:
            decode_json(last.value or b"")
        except (msgspec.DecodeError, UnicodeDecodeError):
            log.warning(
                "source.half_line",
                id=last.id,
                reason="the last line has no line end and is not valid JSON: it was cut off",
                hint="copy the file again when its writer has finished it",
            )
