"""Cutting a stream of bytes into records: lines, or CSV rows that may span lines. Pure.

However the stream is chunked, the cuts are the same, and their sizes add up to its length.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

# A record over the limit is kept whole for the dead letter up to this many times the limit, so
# that a file without line ends cannot fill the memory.
BEARABLE = 16


class Cut(NamedTuple):
    """One record: its bytes without the line end, how many more there were, what it took up.

    `size` counts the bytes of the stream that it covers, line ends included, `lines` its lines.
    """

    value: bytes
    dropped: int
    size: int
    lines: int


class Cutter:
    """Feed it chunks, get cuts. With `rows`, a line break inside a quoted field does not cut.

    A quote that is not closed within `max_record_bytes` cannot be meant: its line is then cut
    alone, so that one bad row does not swallow the stream.
    """

    def __init__(self, max_record_bytes: int, *, rows: bool = False) -> None:
        self._longest = BEARABLE * max_record_bytes
        self._patience = max_record_bytes
        self._rows = rows
        self._pieces: list[bytes] = []
        self._kept = 0
        self._dropped = 0
        self._open: deque[Cut] = deque()

    def feed(self, chunk: bytes) -> list[Cut]:
        """The records that end in this chunk."""
        cuts: list[Cut] = []
        head, *lines = chunk.split(b"\n")
        self._extend(head)
        if not lines:
            return cuts
        self._line(self._ended(line_end=1), cuts)
        rest = lines.pop()
        for line in lines:
            if len(line) > self._longest:
                self._extend(line)
                self._line(self._ended(line_end=1), cuts)
            else:
                self._line(Cut(line.removesuffix(b"\r"), 0, len(line) + 1, 1), cuts)
        self._extend(rest)
        return cuts

    def finish(self) -> list[Cut]:
        """What is left at the end of the stream: a last line without a line end."""
        cuts: list[Cut] = []
        if self._pieces:
            self._line(self._ended(line_end=0), cuts)
        while self._open:
            self._give_up(cuts)
        return cuts

    def _extend(self, piece: bytes) -> None:
        if piece:
            room = max(0, self._longest - self._kept)
            self._pieces.append(piece[:room])
            self._kept += min(room, len(piece))
            self._dropped += max(0, len(piece) - room)

    def _ended(self, line_end: int) -> Cut:
        value = b"".join(self._pieces)
        size = self._kept + self._dropped + line_end
        cut = Cut(value.removesuffix(b"\r"), self._dropped, size, 1)
        self._pieces, self._kept, self._dropped = [], 0, 0
        return cut

    def _line(self, line: Cut, cuts: list[Cut]) -> None:
        if not self._rows or (not self._open and b'"' not in line.value):
            cuts.append(line)
            return
        self._open.append(line)
        if not ends_inside_quotes(self._joined()):
            cuts.append(self._row())
        elif self._joined_size() > self._patience:
            self._give_up(cuts)

    def _joined(self) -> bytes:
        return b"\n".join(line.value for line in self._open)

    def _joined_size(self) -> int:
        return sum(line.size for line in self._open)

    def _row(self) -> Cut:
        row = Cut(
            self._joined(),
            sum(line.dropped for line in self._open),
            self._joined_size(),
            len(self._open),
        )
        self._open.clear()
        return row

    def _give_up(self, cuts: list[Cut]) -> None:
        """The first open line stands alone; those after it are looked at again."""
        cuts.append(self._open.popleft())
        again, self._open = self._open, deque()
        for line in again:
            self._line(line, cuts)


def ends_inside_quotes(row: bytes) -> bool:
    """Whether a CSV row breaks off within a quoted field. A quote opens only where a field does."""
    at, end = 0, len(row)
    while at < end:
        if row[at : at + 1] != b'"':
            comma = row.find(b",", at)
            if comma < 0:
                return False
            at = comma + 1
            continue
        at += 1
        while True:
            close = row.find(b'"', at)
            if close < 0:
                return True
            if row[close + 1 : close + 2] != b'"':
                break
            at = close + 2
        comma = row.find(b",", close)
        at = comma + 1 if comma >= 0 else end
    return False
