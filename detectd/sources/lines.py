"""Cutting a stream of bytes into records: lines, or CSV rows that may span lines. Pure.

However the stream is chunked, the cuts are the same, and their sizes add up to its length.
"""

from __future__ import annotations

import re
from collections import deque

import msgspec

# A record over the limit is kept whole for the dead letter up to this many times the limit, so
# that a file without line ends cannot fill the memory.
BEARABLE = 16

# As integers: Python finds a byte in bytes five times faster so than as bytes of length one.
RETURN, QUOTE = b'\r"'

# A quote opens only where a field does, and two inside are one that is meant. Possessive, so that
# no row can make the match go back on itself.
_QUOTED_REST = rb'[^"]*+(?:""[^"]*+)*+"[^,]*+'
_MORE_FIELDS = rb'(?:,(?:"' + _QUOTED_REST + rb'|[^",][^,]*+)?+)*+\Z'
_CLOSED_FROM_INSIDE = re.compile(_QUOTED_REST + _MORE_FIELDS)
_CLOSED_FROM_OUTSIDE = re.compile(rb'(?:"' + _QUOTED_REST + rb'|[^",][^,]*+)?+' + _MORE_FIELDS)


class Cut(msgspec.Struct, frozen=True, gc=False):
    """One record: its bytes without the line end, how many more there were, what it took up.

    `size` counts the bytes of the stream that it covers, line ends included, `lines` its lines.
    """

    value: bytes
    dropped: int
    size: int
    lines: int


# Lines without their line ends, each of which is a record: so many cuts, without an object each.
Lines = list[bytes]


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
        # The lines of a row that has not ended: after each of them a quoted field is open.
        self._open: deque[Cut] = deque()
        self._open_size = 0

    def feed(self, chunk: bytes) -> list[Cut | Lines]:
        """The records that end in this chunk. The first of a stream is always a Cut."""
        cuts: list[Cut | Lines] = []
        head, *lines = chunk.split(b"\n")
        self._extend(head)
        if not lines:
            return cuts
        self._line(self._ended(line_end=1), cuts)
        rest = lines.pop()
        if self._are_plain(lines, chunk):
            cuts += [lines] if lines else []
        else:
            for line in lines:
                self._extend(line)
                self._line(self._ended(line_end=1), cuts)
        self._extend(rest)
        return cuts

    def _are_plain(self, lines: Lines, chunk: bytes) -> bool:
        """Whether nothing about the lines of a chunk needs a closer look."""
        if RETURN in chunk or (self._rows and (self._open or QUOTE in chunk)):
            return False
        return len(chunk) <= self._longest or max(map(len, lines), default=0) <= self._longest

    def finish(self) -> list[Cut | Lines]:
        """What is left at the end of the stream: a last line without a line end."""
        cuts: list[Cut | Lines] = []
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

    def _line(self, line: Cut, cuts: list[Cut | Lines]) -> None:
        if not self._rows or (not self._open and QUOTE not in line.value):
            cuts.append(line)
            return
        inside = bool(self._open)
        self._open.append(line)
        self._open_size += line.size
        if not ends_inside_quotes(line.value, inside=inside):
            cuts.append(self._row())
        while self._open_size > self._patience:
            self._give_up(cuts)

    def _row(self) -> Cut:
        row = Cut(
            b"\n".join(line.value for line in self._open),
            sum(line.dropped for line in self._open),
            self._open_size,
            len(self._open),
        )
        self._open.clear()
        self._open_size = 0
        return row

    def _give_up(self, cuts: list[Cut | Lines]) -> None:
        """The first open line stands alone, and those after it up to the next open quote.

        Behind that quote all is as it was, so each line is looked at twice at most.
        """
        while True:
            line = self._open.popleft()
            self._open_size -= line.size
            cuts.append(line)
            if not self._open or ends_inside_quotes(self._open[0].value):
                return


def ends_inside_quotes(line: bytes, *, inside: bool = False) -> bool:
    """Whether a line breaks off within a quoted field; `inside` says that it begins in one."""
    closed = _CLOSED_FROM_INSIDE if inside else _CLOSED_FROM_OUTSIDE
    return closed.match(line) is None
