"""From chunks of bytes to numbered records, under their header where they are CSV. Pure."""

from __future__ import annotations

import csv
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from detectd.errors import ConfigError
from detectd.records import Record
from detectd.sources.lines import Cut, Cutter

if TYPE_CHECKING:
    from detectd.sources.lines import Lines

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Reader:
    """Counts what it has given: `offset` bytes and `line` lines. `ahead` bytes have been fed.

    To go on in the middle of a CSV stream, give the `columns` that a reader found at its start.
    """

    def __init__(
        self,
        name: str,
        max_record_bytes: int,
        *,
        rows: bool,
        offset: int = 0,
        line: int = 0,
        columns: tuple[str, ...] | None = None,
    ) -> None:
        self.name = name
        self.offset = self.ahead = offset
        self.line = line
        self._rows = rows
        self._at_start = not offset
        self.columns = columns
        self._cutter = Cutter(max_record_bytes, rows=rows)
        self._cuts: deque[Cut | Lines] = deque()

    def feed(self, chunk: bytes) -> None:
        """Take in the next bytes of the stream."""
        self.ahead += len(chunk)
        self._cuts.extend(self._cutter.feed(chunk))

    def finish(self) -> bool:
        """The stream has ended: a last line without a line end is a record. True where it is."""
        self._cuts.extend(self._cutter.finish())
        return bool(self._cuts)

    def skip(self, size: int) -> None:
        """Pass over bytes between two records, when all that was fed has been taken."""
        self.offset += size
        self.ahead += size

    def take(self, limit: int) -> list[Record]:
        """Up to `limit` records, in order; none until more is fed.

        Raises ConfigError where the first line of a CSV stream is no header.
        """
        if self._cuts and self._at_start:
            self._at_start = False
            first = self._cuts.popleft()
            assert isinstance(first, Cut), "see Cutter.feed"
            self._look_at_the_first(first)
        records: list[Record] = []
        while self._cuts and len(records) < limit:
            cut = self._cuts.popleft()
            if isinstance(cut, Cut):
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

    def _record(self, cut: Cut) -> Record:
        number = self.line + 1
        return Record(f"{self.name}:{number}", cut.value, columns=self.columns, dropped=cut.dropped)

    def _records(self, lines: Lines) -> list[Record]:
        name, columns = self.name, self.columns
        return [
            Record(f"{name}:{number}", line, None, (), None, None, columns)
            for number, line in enumerate(lines, self.line + 1)
        ]

    def _look_at_the_first(self, cut: Cut) -> None:
        """Take off a byte order mark, and in a CSV stream the header."""
        value = cut.value.removeprefix(BYTE_ORDER_MARK)
        if self._rows and self.columns is None:
            self.columns = header(value, self.name)
            self.offset, self.line = cut.size, cut.lines
        else:
            self._cuts.appendleft(msgspec.structs.replace(cut, value=value))


def header(value: bytes, name: str) -> tuple[str, ...]:
    """The columns that the first row of a CSV stream names."""
    try:
        columns = tuple(next(csv.reader([value.decode()], strict=True), []))
    except (UnicodeDecodeError, csv.Error) as broken:
        raise ConfigError(f"{name}: its first line is no CSV header: {broken}") from None
    if not any(columns) or len(set(columns)) < len(columns):
        raise ConfigError(
            f"{name}: its first line is no CSV header, which names each column once: "
            f"{','.join(columns)[:80]!r}"
        )
    return columns
