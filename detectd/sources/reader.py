"""From chunks of bytes to numbered records, under their header where they are CSV. Pure."""

from __future__ import annotations

import csv
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from detectd.errors import ConfigError
from detectd.records import Record
from detectd.sources.lines import Cutter

if TYPE_CHECKING:
    from detectd.sources.lines import Cut

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Reader:
    """Counts what it has given: `offset` bytes and `line` lines. `ahead` bytes have been fed.

    To go on in the middle of a CSV stream, give the `columns` that `first_row` found at its start.
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
        self._columns = columns
        self._cutter = Cutter(max_record_bytes, rows=rows)
        self._cuts: deque[Cut] = deque()

    def feed(self, chunk: bytes) -> None:
        """Take in the next bytes of the stream."""
        self.ahead += len(chunk)
        self._cuts.extend(self._cutter.feed(chunk))

    def finish(self) -> bool:
        """The stream has ended: a last line without a line end is a record. True where it is."""
        self._cuts.extend(self._cutter.finish())
        return bool(self._cuts)

    def take(self, limit: int) -> list[Record]:
        """Up to `limit` records, in order; none until more is fed.

        Raises ConfigError where the first line of a CSV stream is no header.
        """
        if self._cuts and not self.offset:
            self._look_at_the_first(self._cuts.popleft())
        name, columns, line, taken = self.name, self._columns, self.line, 0
        records: list[Record] = []
        for _ in range(min(limit, len(self._cuts))):
            cut = self._cuts.popleft()
            record = (f"{name}:{line + 1}", cut.value, None, (), None, None, columns, cut.dropped)
            records.append(Record(*record))
            line += cut.lines
            taken += cut.size
        self.line, self.offset = line, self.offset + taken
        return records

    def _look_at_the_first(self, cut: Cut) -> None:
        """Take off a byte order mark, and in a CSV stream the header."""
        value = cut.value.removeprefix(BYTE_ORDER_MARK)
        if self._rows and self._columns is None:
            self._columns = header(value, self.name)
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
