"""The state of many keys: one row of a table for each, kept as of any commit. Pure.

    slots_of    finds the row of each event's key, in order, and keeps the headers. The least
                recently seen key makes room at the cap; one idle for too long begins again
    changes     what the commit must write: all that is different since the last one
    on_commit   what has changed is now true
    rollback    what has changed has not happened

The result for an event depends only on the events before it: not on batch boundaries, nor on which
row a key has. The rows alone determine which key is least recent.

The caller zeroes a row's op words before an event that is `fresh`. One row may belong to several
keys in the course of a batch.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from detectd.features.key_changes import Changes, Counters, RowsByName, differing
from detectd.features.key_headers import Bounds, Clock, Slots, advance
from detectd.features.key_rows import (
    CHUNK,
    HEADER_WORDS,
    NUMBER,
    SILENT,
    SMALLEST,
    kept,
    key_of,
    name_of,
    with_room,
)
from detectd.features.key_undo import RowCopies
from detectd.features.recency import LeastRecent
from detectd.features.silence import Silence, Silences, noted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from detectd.features.key_rows import Key

    Floats = NDArray[np.float64]
    Moments = NDArray[np.int64]


class KeyTable:
    """Rows of `words` op words for at most `max_keys` keys.

    A key without an event for more than `idle_ms`, in event time, is restarted. One that stops for
    more than `silent_ms` is added to `silences` (since the last commit), and again when it is back.
    With `refuse_late`, an event earlier than the key's latest updates only when the key was last
    seen.
    """

    def __init__(
        self,
        words: int,
        *,
        max_keys: int,
        idle_ms: float | None = None,
        silent_ms: float | None = None,
        refuse_late: bool = False,
    ) -> None:
        self.width = HEADER_WORDS + words
        self._max_keys = max_keys
        self._idle_ms = math.inf if idle_ms is None else idle_ms
        self._silences = Silences(math.inf if silent_ms is None else silent_ms)
        self._refuse_late = refuse_late
        self._forget()

    def _forget(self) -> None:
        self.rows: Floats = np.zeros((min(SMALLEST, self._max_keys), self.width))
        self.counters = self._committed = Counters()
        self._keys: list[Key] = []
        self._slot_of: dict[Key, int] = {}
        self._least_recent = LeastRecent()
        # Since the last commit: rows as they were, keys that lost theirs, and keys that had no row
        # any more when the table was read.
        self._copies = RowCopies()
        self._former: dict[int, Key] = {}
        self._shed: list[Key] = []
        self._known = 0
        self._silences.restore(())

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: bytes | None) -> bool:
        return kept(key) in self._slot_of

    def slots_of(
        self, keys: Sequence[bytes | None], times_ms: Floats, moments: Moments | None = None
    ) -> Slots:
        """Count an event of each key (k,) at `times_ms` (k,; NaN for none), in order.

        `moments` (k,) number the events in the order of the stream, by default among this table's.
        `rows` may be reallocated, and its op words may be written afterwards: their old values are
        kept until the commit.
        """
        found = [*map(self._slot_of.get, keys)]
        fresh = np.zeros(len(keys), dtype=bool)
        departed: dict[int, Key] = {}
        if None in found:
            slot = self._admit(keys, fresh, departed)
        else:
            slot = np.array(found, dtype=np.intp)
        self._save(slot)
        slots = Slots(slot, fresh, np.zeros(len(slot), dtype=np.int64), np.zeros(len(slot)))
        shown, clocks = np.zeros((len(slot), 5)), np.empty(len(slot))
        before = self.counters
        clock = Clock(before.clock_ms, before.latest_ms, before.strayed)
        bounds = Bounds(self._idle_ms, self._silences.span_ms, self._refuse_late)
        expired, now = advance(
            self.rows, times_ms, before.events, clock, bounds, slots, shown, clocks
        )
        more = (len(slot), now.latest_ms, len(departed), expired, now.clock_ms, now.strayed)
        self.counters = before.after(*more, int(np.count_nonzero(slots.lag_ms)))
        heard = noted(shown, keys, departed, times_ms)
        if moments is None:
            moments = np.arange(before.events, self.counters.events)
        self._silences.see(self.rows, self._keys, moments, clocks, heard, self._save)
        return slots

    def silence_all(self) -> None:
        """Mark all keys as silent: by another clock, no event came for the whole span."""
        self._silences.of_all(self.rows, self._keys, self._save)

    @property
    def uncommitted(self) -> Counters:
        """Return the counts since the last commit, including keys that did not fit at start-up."""
        now, then = self.counters, self._committed
        evicted, shed = now.evicted - then.evicted, len(self._shed)
        expired, late = now.expired - then.expired, now.late - then.late
        events = now.events - then.events
        return Counters(events, evicted=evicted + shed, expired=expired, late=late)

    @property
    def silences(self) -> Sequence[Silence]:
        """Return the silences that began or ended since the last commit, in order."""
        return self._silences.found

    @property
    def silent(self) -> int:
        """Return how many keys are known to be silent."""
        if math.isinf(self._silences.span_ms):
            return 0
        return int(np.count_nonzero(self.rows[: len(self._keys), SILENT]))

    def changes(self) -> Iterator[Changes]:
        """Yield the changes since the last commit, part by part."""
        gone = self._gone()
        for slots, before in self._parts():
            replaced = [before is None or slot in self._former for slot in slots.tolist()]
            yield self._described(slots, before, np.array(replaced), gone)
            gone = []
        if gone:
            nothing = np.zeros(0, dtype=np.intp)
            yield self._described(nothing, None, nothing.astype(bool), gone)

    def all_rows(self) -> Iterator[Changes]:
        """Yield the whole table as changes of an empty one, part by part."""
        for slots in _chunks(np.arange(len(self._keys))):
            yield self._described(slots, None, np.ones(len(slots), dtype=bool), [])

    def changed_rows(self) -> Iterator[tuple[bytes, bytes | None]]:
        """Yield the name of each changed key, with its whole row; None if it was removed."""
        for name in self._gone():
            yield name, None
        for slots, _ in self._parts():
            for slot in slots.tolist():
                yield name_of(self._keys[slot]), self.rows[slot].astype("<f8", copy=False).tobytes()

    @property
    def changed(self) -> bool:
        """Return whether anything changed since the last commit."""
        changes = (self._shed, self._former, self._copies.any)
        return self.counters != self._committed or any(changes)

    def on_commit(self) -> None:
        """Make the changes since the last commit permanent."""
        self._copies.clear()
        self._former, self._shed = {}, []
        self._silences.on_commit()
        self._known, self._committed = len(self._keys), self.counters

    def rollback(self) -> None:
        """Undo all changes since the last commit."""
        for slot in (*self._former, *range(self._known, len(self._keys))):
            del self._slot_of[self._keys[slot]]
        del self._keys[self._known :]
        for slot, key in self._former.items():
            self._keys[slot] = key
            self._slot_of[key] = slot
        self._copies.put_back(self.rows)
        self._former, self.counters = {}, self._committed
        self._silences.rollback()
        self._least_recent.reset()

    def restore(self, state: RowsByName) -> None:
        """Restore the table of a commit, and take its rows over. If the cap is lower now, the least
        recently seen keys are evicted.

        Raise ValueError if a name is not that of a key.
        """
        self._forget()
        names, rows = state.taken_by_recency()
        excess = max(0, len(names) - self._max_keys)
        self._keys = [key_of(name) for name in names[excess:]]
        self._slot_of = {key: slot for slot, key in enumerate(self._keys)}
        if self._keys:
            self.rows = rows[excess:].copy() if excess else rows
        self._shed = [key_of(name) for name in names[:excess]]
        self._silences.restore(zip(self._shed, rows[:excess], strict=True))
        self._known = len(self._keys)
        self._committed = state.counters._replace(evicted=state.counters.evicted + excess)
        self.counters = self._committed

    def _admit(
        self,
        keys: Sequence[bytes | None],
        fresh: NDArray[np.bool_],
        departed: dict[int, Key],
    ) -> NDArray[np.intp]:
        """Return the slots of keys, and assign slots to keys without one.

        Mark the events with which a key begins, and add the evicted keys.
        """
        slots: list[int] = []
        seen: set[int] = set()
        stamped, find = 0, self._slot_of.get

        def stamp() -> None:
            nonlocal stamped
            latest = np.array(slots[stamped:], dtype=np.intp)
            self._save(latest)
            # If a slot has several numbers, the last one wins.
            first = self.counters.events + stamped + 1
            self.rows[latest, NUMBER] = np.arange(first, first + len(latest))
            stamped = len(slots)
            seen.clear()

        for i, each in enumerate(keys):
            key = kept(each)
            slot = find(key)
            if slot is None:
                fresh[i] = True
                if len(self._keys) < self._max_keys:
                    slot = self._append(key)
                else:
                    numbers = self.rows[: len(self._keys), NUMBER]
                    slot = self._least_recent.take(numbers, seen, stamp)
                    departed[i] = self._replace(slot, key)
            slots.append(slot)
            seen.add(slot)
        return np.array(slots, dtype=np.intp)

    def _append(self, key: Key) -> int:
        slot = len(self._keys)
        if slot == len(self.rows):
            self.rows = with_room(self.rows, slot, self._max_keys)
        # A rollback may have left data here.
        self.rows[slot, :HEADER_WORDS] = 0.0
        self._keys.append(key)
        self._slot_of[key] = slot
        return slot

    def _replace(self, slot: int, key: Key) -> Key:
        """Assign the slot to another key, and return its previous key."""
        loser = self._keys[slot]
        if slot < self._known:
            self._former.setdefault(slot, loser)
        del self._slot_of[loser]
        self._keys[slot] = key
        self._slot_of[key] = slot
        return loser

    def _save(self, slots: NDArray[np.intp]) -> None:
        """Copy rows of the last commit before they are written."""
        self._copies.save(self.rows, slots[slots < self._known])

    def _gone(self) -> list[bytes]:
        lost = (*self._shed, *self._former.values())
        return [name_of(key) for key in lost if key not in self._slot_of]

    def _parts(self) -> Iterator[tuple[NDArray[np.intp], Floats | None]]:
        """Yield the slots that were written, with their previous rows; None if they had none."""
        for slots, before in self._copies:
            for part in _chunks(np.arange(len(slots))):
                yield slots[part], before[part]
        yield from ((slots, None) for slots in _chunks(np.arange(self._known, len(self._keys))))

    def _described(
        self,
        slots: NDArray[np.intp],
        before: Floats | None,
        new: NDArray[np.bool_],
        gone: Sequence[bytes],
    ) -> Changes:
        names = [name_of(self._keys[slot]) for slot in slots.tolist()]
        # Compare bits: NaN equals itself, and -0.0 differs from 0.0.
        bits = self.rows.view(np.uint64)
        past = bits[:0] if before is None else before.view(np.uint64)
        counts, words, values = differing(bits, slots, past, new)
        return Changes(names, new, counts, words, values.view(np.float64), gone, self.counters)


def _chunks(slots: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    for first in range(0, len(slots), CHUNK):
        yield slots[first : first + CHUNK]
