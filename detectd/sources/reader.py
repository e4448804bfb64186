"""Turn chunks of bytes into numbered records, under their header if they are CSV. Pure."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import msgspec

from detectd.errors import ConfigError
from detectd.pipeline.formats import BYTE_ORDER_MARK
from detectd.pipeline.records import Dialect, Record
from detectd.sources.header import (
    CsvFormat,
    Header,
    find_header,
    likely_delimiter,
    too_long,
    without_header,
)
from detectd.sources.lines import LineSplitter, Segment

if TYPE_CHECKING:
    from detectd.sources.header import Found
    from detectd.sources.lines import Lines

UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")

# How many seconds a row waits for the end of its quoted field when there is no more to read.
QUOTE_SECONDS = 5.0


class Reader:
    """Read records, and count what was returned: `offset` bytes and `line` lines. `ahead` bytes
    have been fed.

    To resume inside a CSV stream, pass the `header` that a reader found at its start. At the start
    of a stream, `header` is the former one, in case this stream has none. `remark` is a remark on
    the header for the operator.

    The result depends on the bytes alone, not on the chunks, except for `idle`.
    """

    def __init__(
        self,
        name: str,
        max_record_bytes: int,
        *,
        rows: bool,
        csv: CsvFormat | None = None,
        offset: int = 0,
        line: int = 0,
        header: Header | None = None,
    ) -> None:
        # A path may contain bytes that are not text.
        self.name = name.encode(errors="backslashreplace").decode()
        self.offset = self.ahead = offset
        self.line = line
        self.header = header
        self.remark: str | None = None
        self._max_record_bytes = max_record_bytes
        self._rows = rows
        self._csv = csv or CsvFormat()
        self._at_start = not offset
        self._cuts: deque[Segment | Lines] = deque()
        # The fed length when there was no more to read, and the time.
        self._idle: deque[tuple[int, float]] = deque()
        if rows and header is None and self._csv.columns:
            self.header = Header(self._csv.columns, self._csv.delimiter)
        self._dialect, self._cutter = self._below_header()
        # The bytes fed while the end of the header is unknown, and the search for it.
        self._head = bytearray() if rows and self._at_start else None
        self._first_row: LineSplitter | None = None

    @property
    def columns(self) -> tuple[str, ...] | None:
        """Return the names of the columns; None if there are none, or none yet."""
        return self.header.columns if self.header else None

    @property
    def looks_for_its_header(self) -> bool:
        """Return whether more bytes are needed to find the header of the rows."""
        return self._head is not None

    def feed(self, chunk: bytes) -> None:
        """Add the next bytes of the stream.

        Raise ConfigError if a CSV stream does not begin with a header and has no former one.
        """
        self.ahead += len(chunk)
        if self._head is None:
            self._cuts.extend(self._cutter.feed(chunk))
        else:
            self._head += chunk
            self._look_for_the_header(chunk)

    def finish(self) -> bool:
        """Make a record of a last line without a line end; return whether there is one.

        Raise ConfigError as `feed`.
        """
        if self._head:
            if self._first_row is None:
                self._begin_first_row()
            assert self._first_row
            if cuts := self._first_row.finish():
                self._end_of_header(cuts[0])
            self._first_row = None
        if self._head is None:
            self._cuts.extend(self._cutter.finish())
        return bool(self._cuts)

    def idle(self, now: float) -> bool:
        """Record that there is no more to read at `now`, in seconds; return whether that made
        records.

        A quote that is not closed `QUOTE_SECONDS` after it was read is not a real quote: the rows
        it holds up are read as if the stream began after its line. Raise ConfigError as `feed`.
        """
        while (cutter := self._first_row or self._cutter).waits_for_a_quote:
            begin = self.ahead - cutter.held
            while self._idle and self._idle[0][0] <= begin:
                self._idle.popleft()
            if not self._idle or self._idle[-1][0] < self.ahead:
                self._idle.append((self.ahead, now))
            if now - self._idle[0][1] < QUOTE_SECONDS:
                break
            cuts = cutter.give_up()
            if cutter is self._first_row:
                self._end_of_header(cuts[0])
            else:
                self._cuts.extend(cuts)
        return bool(self._cuts)

    def skip(self, size: int) -> None:
        """Skip bytes between two records, when all fed records were taken."""
        self.offset += size
        self.ahead += size

    def take(self, limit: int) -> list[Record]:
        """Return up to `limit` records, in order; none until more is fed.

        Raise ConfigError if the stream is not written in an encoding that can be read.
        """
        if self._cuts and self._at_start:
            self._at_start = False
            first = self._cuts.popleft()
            assert isinstance(first, Segment), "see Cutter.feed"
            self._cuts.appendleft(msgspec.structs.replace(first, value=self._unmarked(first.value)))
        records: list[Record] = []
        while self._cuts and len(records) < limit:
            cut = self._cuts.popleft()
            if isinstance(cut, Segment):
                records.append(self._record(cut))
                self.line, self.offset = self.line + cut.lines, self.offset + cut.size
            else:
                room = limit - len(records)
                if len(cut) > room:
                    self._cuts.appendleft(cut[room:])
                    cut = cut[:room]
                records += self._records(cut)
                self.line += len(cut)
                self.offset += sum(map(len, cut)) + len(cut)
        return records

    def _record(self, cut: Segment) -> Record:
        number = self.line + 1
        return Record(
            f"{self.name}:{number}",
            cut.value,
            columns=self.columns if self._rows else None,
            dropped=cut.dropped,
            dialect=self._dialect,
        )

    def _records(self, lines: Lines) -> list[Record]:
        name, dialect = self.name, self._dialect
        columns = self.columns if self._rows else None
        return [
            Record(f"{name}:{number}", line, None, (), None, None, columns, 0, dialect)
            for number, line in enumerate(lines, self.line + 1)
        ]

    def _look_for_the_header(self, chunk: bytes) -> None:
        """Complete the header with this chunk; its first line shows the delimiter."""
        assert self._head is not None
        if self._first_row is not None:
            cuts = self._first_row.feed(chunk)
        elif b"\n" in chunk:
            cuts = self._begin_first_row()
        elif len(self._head) > self._max_record_bytes:
            if self.header is None:
                raise too_long(self.name, self._max_record_bytes)
            self._adopt(without_header(self.header, self._csv))
            return
        else:
            return
        if cuts:
            self._end_of_header(cuts[0])

    def _begin_first_row(self) -> list[Segment | Lines]:
        assert self._head is not None
        head = self._unmarked(bytes(self._head))
        delimiter = likely_delimiter(head.split(b"\n", 1)[0], self._csv, self.header)
        self._first_row = LineSplitter(self._max_record_bytes, rows=True, delimiter=delimiter)
        return self._first_row.feed(head)

    def _end_of_header(self, first: Segment | Lines) -> None:
        assert isinstance(first, Segment), "see Cutter.feed"
        assert self._head is not None
        found = find_header(first.value, self.name, self._csv, self.header)
        if found.is_first_line:
            mark = self._head.startswith(BYTE_ORDER_MARK)
            size = first.size + mark * len(BYTE_ORDER_MARK)
            del self._head[:size]
            self.offset, self.line = self.offset + size, self.line + first.lines
            self._at_start = False
        self._adopt(found)

    def _adopt(self, found: Found) -> None:
        """Read lines as rows from here on, beginning with those fed so far."""
        head, self._head, self._first_row = self._head, None, None
        self.header, self.remark = found.header, found.remark
        self._dialect, self._cutter = self._below_header()
        if head:
            self._cuts.extend(self._cutter.feed(bytes(head)))

    def _below_header(self) -> tuple[Dialect, LineSplitter]:
        dialect = self.header.dialect(self._csv) if self.header else Dialect()
        width = len(self.header.columns) if self.header else None
        limit, delimiter = self._max_record_bytes, dialect.delimiter
        return dialect, LineSplitter(limit, rows=self._rows, delimiter=delimiter, width=width)

    def _unmarked(self, value: bytes) -> bytes:
        """Return the first bytes of the stream without a byte order mark."""
        if value.startswith(UTF_16_MARKS):
            raise ConfigError(
                f"{self.name}: its byte order mark says that it is UTF-16; convert it to UTF-8: "
                "iconv -f UTF-16 -t UTF-8"
            )
        return value.removeprefix(BYTE_ORDER_MARK)
