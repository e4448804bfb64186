"""Changes of a table of keys: the words of rows that differ, key by key. Pure.

The same form is used for the changes of one commit and, as changes from zero, for a whole table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from detectd.features.key_rows import HEADER_WORDS, NUMBER, with_room
from detectd.jit import compiled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from detectd.features.key_rows import Remap

    Bits = NDArray[np.uint64]
    Floats = NDArray[np.float64]
    Places = NDArray[np.intp]


class Counters(NamedTuple):
    """The counters of a table: events, the latest time of any (ms), evicted keys and restarted
    keys.

    `clock_ms` follows the times of events; `strayed` is how many events in a row were far behind
    it: see `silence`. `late` events came after a later one of their key.
    """

    events: int = 0
    latest_ms: float = float("-inf")
    evicted: int = 0
    expired: int = 0
    clock_ms: float = 0.0
    strayed: int = 0
    late: int = 0

    def after(self, *more: Any) -> Counters:
        """Return the counters after a batch with the counters `more`."""
        batch = Counters(*more)
        return batch._replace(
            events=self.events + batch.events,
            evicted=self.evicted + batch.evicted,
            expired=self.expired + batch.expired,
            late=self.late + batch.late,
        )


class Changes(NamedTuple):
    """Changed keys, by name, removed keys, and the counters afterwards.

    The next `counts[i]` entries of `words` and `values` belong to the i-th name; the other words of
    a row that is `new[i]` are zero.
    """

    names: Sequence[bytes]
    new: NDArray[np.bool_]
    counts: NDArray[np.uint32]
    words: NDArray[np.uint32]
    values: Floats
    gone: Sequence[bytes]
    counters: Counters


@compiled
def differing(
    rows: Bits, slots: Places, before: Bits, new: NDArray[np.bool_]
) -> tuple[NDArray[np.uint32], NDArray[np.uint32], Bits]:
    """Return how many words of each row differ, which ones, and their new values.

    `rows` are the table's; `before` (k, width) is the earlier state of those in `slots` (k,), which
    counts as zero if `new`.
    """
    width = rows.shape[1]
    counts = np.zeros(len(slots), dtype=np.uint32)
    words = np.empty(len(slots) * width, dtype=np.uint32)
    values = np.empty(len(slots) * width, dtype=np.uint64)
    total = 0
    for i in range(len(slots)):
        row = rows[slots[i]]
        begin = total
        for word in range(width):
            known = np.uint64(0) if new[i] else before[i, word]
            if row[word] != known:
                words[total], values[total] = word, row[word]
                total += 1
        counts[i] = total - begin
    return counts, words[:total].copy(), values[:total].copy()


@compiled
def scatter(
    rows: Floats,
    slots: Places,
    new: NDArray[np.bool_],
    counts: NDArray[np.uint32],
    words: NDArray[np.uint32],
    values: Floats,
) -> None:
    """Write the result of `differing` into `rows`."""
    first = 0
    for i in range(len(slots)):
        row = rows[slots[i]]
        if new[i]:
            row[:] = 0.0
        for k in range(first, first + counts[i]):
            row[words[k]] = values[k]
        first += counts[i]


@compiled
def reorder(rows: Floats, order: Places) -> None:
    """Move row order[i] to row i, for each of `rows` (n, width), in place; `order` (n,) is a
    permutation."""
    moved = np.zeros(len(order), dtype=np.bool_)
    for first in range(len(order)):
        if moved[first]:
            continue
        kept, place = rows[first].copy(), first
        while order[place] != first:
            rows[place] = rows[order[place]]
            moved[place] = True
            place = order[place]
        rows[place] = kept
        moved[place] = True


class RowsByName:
    """Rebuild a table from its changes."""

    def __init__(self, words: int) -> None:
        self._width = HEADER_WORDS + words
        self._rows = np.zeros((0, self._width))
        self._place: dict[bytes, int] = {}
        self._free: list[int] = []
        self.counters = Counters()

    @property
    def words(self) -> int:
        """Return the number of op words of a row."""
        return self._width - HEADER_WORDS

    def apply(self, changes: Changes) -> None:
        """Apply the changes of a commit. Raise ValueError if they do not fit this table."""
        for name in changes.gone:
            if (place := self._place.pop(name, None)) is not None:
                self._free.append(place)
        for name, new in zip(changes.names, changes.new.tolist(), strict=True):
            if not new and name not in self._place:
                raise ValueError(f"a change of an unknown key: {name[:40]!r}")
        places = np.array([self._placed(name) for name in changes.names], dtype=np.intp)
        if len(changes.words) and int(changes.words.max()) >= self._width:
            raise ValueError(f"a row has {self._width} words, none numbered {changes.words.max()}")
        # Data from a file may be unaligned.
        words = np.require(changes.words, requirements="A")
        values = np.require(changes.values, requirements="A")
        scatter(self._rows, places, changes.new, changes.counts, words, values)
        self.counters = changes.counters

    def put(self, name: bytes, row: Floats | None) -> None:
        """Set a whole row, or remove its key."""
        if row is None:
            if (place := self._place.pop(name, None)) is not None:
                self._free.append(place)
        else:
            place = self._placed(name)  # may reallocate the rows
            self._rows[place] = row

    def taken_by_recency(self) -> tuple[list[bytes], Floats]:
        """Return the names of the keys and their rows (k, width), least recently seen first.

        They are taken out: a copy of the rows would take as much memory again.
        """
        names, places = [*self._place], np.fromiter(self._place.values(), np.intp)
        recency = np.argsort(self._rows[places, NUMBER], kind="stable")
        rows, order = self._rows, places[recency]
        reorder(rows, np.append(order, np.setdiff1d(np.arange(len(rows)), order)))
        self._rows, self._place, self._free = np.zeros((0, self._width)), {}, []
        rows.resize((len(order), self._width), refcheck=False)
        return [names[i] for i in recency.tolist()], rows

    def remapped(self, remap: Remap) -> RowsByName:
        """Return the same keys with rows of other ops."""
        other = RowsByName(remap.words - HEADER_WORDS)
        other._rows = remap.apply(self._rows)
        other._place, other._free, other.counters = self._place, self._free, self.counters
        return other

    def _placed(self, name: bytes) -> int:
        place = self._place.get(name)
        if place is None:
            place = self._free.pop() if self._free else len(self._place)
            if place >= len(self._rows):
                self._rows = with_room(self._rows, place)
            self._place[name] = place
        return place
