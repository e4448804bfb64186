"""Split a stream of bytes into records: lines, or CSV rows that may span lines. Pure.

The result does not depend on the chunks, and the sizes add up to the stream's length.
"""

from __future__ import annotations

import re
from collections import deque
from functools import lru_cache
from typing import NamedTuple

import msgspec

from detectd.pipeline import memory_budget

# As integers: Python finds an integer in bytes five times faster than bytes of length one.
RETURN, QUOTE = b'\r"'

# An open quote holds up the rows after it: no row spans more lines.
MOST_LINES = 1000


class _Quotes:
    """The pattern of quoted fields in CSV lines with this delimiter.

    A quote opens only at the start of a field, and two inside are an escaped one. The pattern is
    possessive, so that no row can cause backtracking.
    """

    def __init__(self, delimiter: bytes) -> None:
        d = re.escape(delimiter)
        inside = rb'[^"]*+(?:""[^"]*+)*+'
        quoted_rest = inside + rb'"[^%b]*+' % d
        plain = rb'[^"%b][^%b]*+' % (d, d)
        more = rb'(?:%b(?:"%b|%b)?+)*+\Z' % (d, quoted_rest, plain)
        self.closed_from_inside = re.compile(quoted_rest + more).match
        self.closed_from_outside = re.compile(rb'(?:"%b|%b)?+%b' % (quoted_rest, plain, more)).match
        # A field up to its delimiter; the first one of a line may be the rest of a quoted one. The
        # group is the text after a closing quote, and None while the quote is open.
        self.rest = re.compile(rb'%b(?:"([^%b]*+))?+' % (inside, d)).match
        self.field = re.compile(rb'"%b(?:"([^%b]*+))?+|(?:%b)?+' % (inside, d, plain)).match


@lru_cache(16)
def _quotes(delimiter: bytes) -> _Quotes:
    return _Quotes(delimiter)


def ends_inside_quotes(line: bytes, *, inside: bool = False, delimiter: bytes = b",") -> bool:
    """Return whether a line ends inside a quoted field; `inside` is whether it begins in one."""
    quotes = _quotes(delimiter)
    closed = quotes.closed_from_inside if inside else quotes.closed_from_outside
    return closed(line) is None


def fields_behind(line: bytes, *, inside: bool = False, delimiter: bytes = b",") -> int | None:
    """Return how many more fields a line begins; None if text follows a closing quote."""
    quotes = _quotes(delimiter)
    count = place = 0
    found = quotes.rest(line) if inside else None
    while True:
        if found is not None:
            if found[1]:
                return None
            if found.end() == len(line):
                return count
            count, place = count + 1, found.end() + 1
        quote = line.find(QUOTE, place)
        if quote < 0:
            return count + line.count(delimiter, place)
        # After the fields before the quoted one.
        begin = line.rfind(delimiter, place, quote) + 1
        if begin:
            count, place = count + line.count(delimiter, place, begin), begin
        found = quotes.field(line, place)


class Segment(msgspec.Struct, frozen=True, gc=False):
    """One record: its bytes without the line end, the number of dropped bytes, and its extent.

    `size` counts the bytes of the stream that it covers, line ends included, `lines` its lines.
    """

    value: bytes
    dropped: int
    size: int
    lines: int


# Lines without line ends, each a record: avoids an object for each.
Lines = list[bytes]


class _Open(NamedTuple):
    """A line that leaves a quoted field open, or closes it."""

    line: Segment
    # The result of `fields_behind` from inside the field that was open before it.
    fields: int | None


class LineSplitter:
    """Split chunks into records. With `rows`, a line break inside a quoted field does not split.

    A quote that is not closed within `max_record_bytes` and `MOST_LINES` is not a real quote, nor
    is one whose row does not have `width` fields when it is closed, if that is known: its line is
    then a record of its own, so that one bad row does not swallow the stream.
    """

    def __init__(
        self,
        max_record_bytes: int,
        *,
        rows: bool = False,
        delimiter: str = ",",
        width: int | None = None,
    ) -> None:
        self._longest = memory_budget.longest_line(max_record_bytes)
        self._patience = max_record_bytes
        self._rows = rows
        self._delimiter = delimiter.encode()
        self._width = width
        self._pieces: list[bytes] = []
        self._kept = 0
        self._dropped = 0
        # The lines of an unfinished row: each leaves a quoted field open.
        self._open: deque[_Open] = deque()
        self._open_size = 0
        # For those after the first: the number of their fields, and of lines where it is unclear.
        self._open_fields = self._unsound = 0

    @property
    def held(self) -> int:
        """Return the bytes that were fed and are in no record yet."""
        return self._open_size + self._kept + self._dropped

    @property
    def waits_for_a_quote(self) -> bool:
        """Return whether lines are held because a quoted field is open."""
        return bool(self._open)

    def give_up(self) -> list[Segment | Lines]:
        """Return the first open line as a record, since its quote was not closed in time."""
        cuts: list[Segment | Lines] = []
        self._give_up(cuts)
        return cuts

    def feed(self, chunk: bytes) -> list[Segment | Lines]:
        """Return the records that end in this chunk. The first of a stream is always a Segment."""
        cuts: list[Segment | Lines] = []
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
        """Return whether the lines of a chunk need no closer examination."""
        if RETURN in chunk or (self._rows and (self._open or QUOTE in chunk)):
            return False
        return len(chunk) <= self._longest or max(map(len, lines), default=0) <= self._longest

    def finish(self) -> list[Segment | Lines]:
        """Return the rest at the end of the stream: a last line without a line end."""
        cuts: list[Segment | Lines] = []
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

    def _ended(self, line_end: int) -> Segment:
        value = b"".join(self._pieces)
        size = self._kept + self._dropped + line_end
        cut = Segment(value.removesuffix(b"\r"), self._dropped, size, 1)
        self._pieces, self._kept, self._dropped = [], 0, 0
        return cut

    def _line(self, line: Segment, cuts: list[Segment | Lines]) -> None:
        if not self._rows or (not self._open and QUOTE not in line.value):
            cuts.append(line)
            return
        inside = bool(self._open)
        closed = not self._ends_inside(line, inside=inside)
        if closed and not inside:
            cuts.append(line)
            return
        fields = fields_behind(line.value, inside=True, delimiter=self._delimiter) if inside else 0
        self._open.append(_Open(line, fields))
        self._open_size += line.size
        self._count(fields, 1)
        if closed:
            self._close(cuts)
        while self._open_size > self._patience or len(self._open) >= MOST_LINES:
            self._give_up(cuts)

    def _close(self, cuts: list[Segment | Lines]) -> None:
        """Join the open lines to a row, if it is sound."""
        while self._open:
            if self._is_sound():
                cuts.append(self._row())
                return
            self._give_up(cuts)
            # The rest begins with an open quote; the last line, alone, does not close itself.
            if len(self._open) == 1:
                return

    def _is_sound(self) -> bool:
        begun = fields_behind(self._open[0].line.value, delimiter=self._delimiter)
        if begun is None or self._unsound:
            return False
        return self._width in (None, begun + self._open_fields + 1)

    def _count(self, fields: int | None, sign: int) -> None:
        """Add or remove a line after the first in the count."""
        if fields is None:
            self._unsound += sign
        else:
            self._open_fields += sign * fields

    def _ends_inside(self, line: Segment, *, inside: bool = False) -> bool:
        return ends_inside_quotes(line.value, inside=inside, delimiter=self._delimiter)

    def _row(self) -> Segment:
        lines = [each.line for each in self._open]
        row = Segment(
            b"\n".join(line.value for line in lines),
            sum(line.dropped for line in lines),
            self._open_size,
            len(lines),
        )
        self._open.clear()
        self._open_size = self._open_fields = self._unsound = 0
        return row

    def _give_up(self, cuts: list[Segment | Lines]) -> None:
        """Make records of the first open line, and of those after it up to the next open quote.

        From that quote on, the state is unchanged.
        """
        while True:
            line = self._open.popleft().line
            self._open_size -= line.size
            cuts.append(line)
            if self._open:
                self._count(self._open[0].fields, -1)
            if not self._open or self._ends_inside(self._open[0].line):
                return
