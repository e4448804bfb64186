"""Read the rows of a partition's keys from a compacted topic."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from detectd.features.key_changes import Counters, RowsByName
from detectd.features.key_rows import HEADER_WORDS, Remap, remap
from detectd.service import key_records
from detectd.service.key_records import COUNTERS, LAYOUTS, MARK_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from detectd.features.key_rows import Op
    from detectd.service.key_records import Layouts, Name


class Settled(NamedTuple):
    """The valid rows, in the current layout, and the layouts that they have on the topic.

    `stale` are the names of invalid rows, `restarted` is the reason. `moved` are the remaps.
    """

    rows: RowsByName
    layouts: Layouts
    stale: list[bytes]
    moved: list[Remap]
    restarted: str | None = None


class RowsRead:
    """The latest row of each key, in any layout. Add records in order."""

    def __init__(self) -> None:
        self.written = b""
        self.bytes = 0
        self._rows: dict[bytes, RowsByName] = {}
        self._mark_of: dict[bytes, bytes] = {}
        self._counters = Counters()
        self._after = 0

    def __len__(self) -> int:
        return len(self._mark_of)

    def take(self, about: Name, value: bytes | None) -> None:
        """Add a record. Raise ValueError if detectd did not write it."""
        self.bytes += len(value or b"")
        if about.name is not None:
            self._take_row(about.name, value)
        elif about.part == LAYOUTS:
            self.written = value or b""
        elif about.part == COUNTERS:
            empty = Counters(), 0
            self._counters, self._after = key_records.read_counters(value) if value else empty

    def _take_row(self, name: bytes, value: bytes | None) -> None:
        mark = None if value is None else value[:MARK_BYTES]
        before = self._mark_of.pop(name, None)
        if before is not None and before != mark:
            self._rows[before].put(name, None)
        if value is None or mark is None:
            return
        row = key_records.row_of(value)
        rows = self._rows.get(mark)
        if rows is None:
            rows = self._rows[mark] = RowsByName(len(row) - HEADER_WORDS)
        rows.put(name, row)
        self._mark_of[name] = mark

    def settled(
        self, identity: str, ops: Sequence[Op], first: int, *, rewinds: bool = False
    ) -> Settled:
        """Return the rows under these `ops`, for events from the offset `first` on.

        Rows that include events from there on are invalid, unless the stream `rewinds`, so that
        those events may be seen again. Raise OtherFormatError, and ValueError if detectd did not
        write them.
        """
        of, known = key_records.read_layouts(self.written) if self.written else (identity, {})
        if of != identity:
            return self._nothing("event.key or event.timestamp has changed since it was written")
        if self._after > first and not rewinds:
            return self._nothing(
                f"it has seen the events before offset {self._after}, and the group begins at "
                f"{first}"
            )
        return self._gathered(known, key_records.mark_of(identity, ops), ops)

    def _nothing(self, why: str) -> Settled:
        return Settled(RowsByName(0), {}, [*self._mark_of], [], why if self._mark_of else None)

    def _gathered(self, known: Layouts, ours: bytes, ops: Sequence[Op]) -> Settled:
        words = sum(size for _, size in ops)
        gathered = self._rows.get(ours) or RowsByName(words)
        _require_words(gathered, ops)
        gathered.counters = self._counters
        used, moved, stale = {}, [], []
        for mark in dict.fromkeys(self._mark_of.values()):
            if mark == ours:
                continue
            names, rows = self._rows[mark].taken_by_recency()
            if mark not in known:
                stale += names
                continue
            _require_words(self._rows[mark], known[mark])
            used[mark] = known[mark]
            step = remap(known[mark], ops)
            moved.append(step)
            for name, row in zip(names, step.apply(rows), strict=True):
                gathered.put(name, row)
        why = "its layout is unknown" if stale else None
        return Settled(gathered, used, stale, moved, why)


def _require_words(rows: RowsByName, ops: Sequence[Op]) -> None:
    """Raise ValueError if the rows do not have the words of these ops."""
    words = sum(size for _, size in ops)
    if rows.words != words:
        raise ValueError(f"a row has {rows.words} words, and its layout {words}")
