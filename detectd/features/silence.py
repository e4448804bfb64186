"""Detect keys that have stopped, and keys that are back. Pure.

A key is silent when its partition's clock has advanced by more than the span since the key's latest
event. The clock follows the times of all events in the partition. One step counts for at most half
the span, so that neither a gap of an hour in all keys nor a time in the far future makes keys
silent. A late event says nothing about the present, and ends no silence.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from detectd.features.key_rows import COUNT, LATEST, SEEN, SILENT, Key, kept, name_of
from detectd.jit import compiled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Slots = NDArray[np.intp]
    Moments = NDArray[np.int64]
    Save = Callable[[Slots], None]

# After this many consecutive events from before the span, the clock is set back to them.
STRAYED = 100


class Silence(NamedTuple):
    """A key that stopped (`open`), is back, or is no longer remembered (`close`).

    When it fell silent, `since_ms` was the latest time of its events, and `events` their number:
    together they identify a silence of a key. `until_ms` is the time of the event that ended it.
    Times are NaN if unknown. `moment` numbers the record that showed it in the order of the stream,
    infinite if none did.
    """

    state: Literal["open", "close"]
    key: Key
    since_ms: float
    events: int
    until_ms: float
    forgotten: bool = False
    moment: float = math.inf


class Found(NamedTuple):
    """A silence that begins or ends with the `place`-th event of a batch; `seen` is the clock at
    the key's previous event. They are reported in order of place, ends before beginnings."""

    place: int
    begins: bool
    seen: float
    silence: Silence


class Noted(NamedTuple):
    """What the `place`-th event of a batch reveals about its key, or about the key it evicts:
    whether an unreported silence had begun (`begins`), and whether a silence `ends`."""

    place: int
    seen: float
    begins: bool
    ends: bool
    silence: Silence


# The columns of the input of `noted`.
SINCE, EVENTS, HEARD, BEGINS, ENDS = range(5)


@compiled
def ticked(
    clock: float, latest_ms: float, strayed: int, time: float, span: float
) -> tuple[float, float, int]:
    """Return clock, latest time and the number of consecutive events far behind it, after one more
    event."""
    if np.isnan(time):
        return clock, latest_ms, strayed
    if time > latest_ms:
        step = 0.0 if np.isinf(latest_ms) else min(time - latest_ms, span / 2)
        return clock + step, time, 0
    if latest_ms - time <= span:
        return clock, latest_ms, 0
    if strayed + 1 < STRAYED:
        return clock, latest_ms, strayed + 1
    return clock, time, 0


@compiled
def overdue(rows: Floats, clock: float, span: float) -> tuple[Slots, float]:
    """Return which rows (k, width) have newly been silent for the span, and the earliest clock at
    which the others were seen, or `clock`."""
    slots = np.empty(len(rows), dtype=np.intp)
    found, least = 0, clock
    for slot in range(len(rows)):
        if rows[slot, SILENT] == 0.0:
            seen = rows[slot, SEEN]
            if clock - seen > span:
                slots[found] = slot
                found += 1
            else:
                least = min(least, seen)
    return slots[:found].copy(), least


class Silences:
    """The silences of one table that began and ended since the last commit: `found`, in order."""

    def __init__(self, span_ms: float) -> None:
        self.span_ms = span_ms
        self.found: list[Silence] = []
        self.restore(())

    def restore(self, shed: Iterable[tuple[Key, Floats]]) -> None:
        """Begin with evicted keys and their rows."""
        self._shed = [
            Silence("close", key, row[LATEST].item(), int(row[SILENT]), np.nan, True, -math.inf)
            for key, row in shed
            if row[SILENT] > 0.0
        ]
        self.rollback()

    def on_commit(self) -> None:
        """Make what was found permanent: it is reported."""
        self._shed, self.found = [], []

    def rollback(self) -> None:
        """Discard what was found since the last commit."""
        self.found = [*self._shed]
        # No key was seen before the clock started, except those known to be silent.
        self._seen_since = -math.inf

    def see(
        self,
        rows: Floats,
        keys: Sequence[Key],
        moments: Moments,
        clocks: Floats,
        noted: Sequence[Noted],
        save: Save,
    ) -> None:
        """Add the silences that a batch ends and begins; `clocks` (k,) are the clocks after each
        event, `moments` (k,) number the events. Rows are saved before they are written."""
        if not len(clocks):
            return
        found = [each for one in noted for each in _of_key(one, clocks, self.span_ms)]
        clock = clocks[-1].item()
        if clock - self._seen_since > self.span_ms:
            slots, self._seen_since = overdue(rows[: len(keys)], clock, self.span_ms)
            found += self._begun(rows, keys, slots, clocks, save)
        last = len(moments) - 1
        self.found += [
            each.silence._replace(moment=moments[min(each.place, last)].item())
            for each in in_order(found)
        ]

    def of_all(self, rows: Floats, keys: Sequence[Key], save: Save) -> None:
        """Add the silence of every key that is not known to be silent yet."""
        slots = np.flatnonzero(rows[: len(keys), SILENT] == 0.0)
        if len(slots):
            found = self._begun(rows, keys, slots, np.zeros(0), save)
            self.found += [each.silence for each in in_order(found)]

    def _begun(
        self, rows: Floats, keys: Sequence[Key], slots: Slots, clocks: Floats, save: Save
    ) -> list[Found]:
        save(slots)
        rows[slots, SILENT] = rows[slots, COUNT]
        found = []
        for slot in slots.tolist():
            key, row = keys[slot], rows[slot]
            silence = Silence("open", key, row[LATEST].item(), int(row[COUNT]), math.nan)
            seen = row[SEEN].item()
            found.append(Found(_place(clocks, seen, self.span_ms), True, seen, silence))
        return found


def noted(
    shown: Floats, keys: Sequence[bytes | None], departed: Mapping[int, Key], times_ms: Floats
) -> list[Noted]:
    """Return the silences that events (k,) show, including those in `departed`, whose key was
    evicted since. `shown` (k, 5) has no `EVENTS` if there is none."""
    found = []
    for place in np.flatnonzero(shown[:, EVENTS]).tolist():
        since, count, seen, begins, ends = shown[place].tolist()
        forgotten = place in departed
        key = departed[place] if forgotten else kept(keys[place])
        until = math.nan if forgotten else times_ms[place].item()
        silence = Silence("close", key, since, int(count), until, forgotten)
        found.append(Noted(place, seen, bool(begins), bool(ends), silence))
    return found


def in_order(found: Iterable[Found]) -> list[Found]:
    """Return the silences in an order that does not depend on batch boundaries."""
    return sorted(found, key=_order)


def _order(found: Found) -> tuple[int, bool, float, bytes]:
    return found.place, found.begins, found.seen, name_of(found.silence.key)


def _of_key(noted: Noted, clocks: Floats, span_ms: float) -> Iterator[Found]:
    """Yield the beginning if it was not reported yet, and the end if there is one."""
    silence = noted.silence
    if noted.begins:
        opened = silence._replace(state="open", until_ms=math.nan, forgotten=False)
        yield Found(_place(clocks, noted.seen, span_ms), True, noted.seen, opened)
    if noted.ends:
        yield Found(noted.place, False, noted.seen, silence)


def _place(clocks: Floats, seen: float, span_ms: float) -> int:
    """Return the first event after which a key has been silent for the span."""
    return int(np.searchsorted(clocks, seen + span_ms, side="right"))
