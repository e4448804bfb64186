"""The most frequent keys of a stream, in bounded memory.

Space-Saving (A. Metwally, D. Agrawal, A. El Abbadi, "Efficient Computation of Frequent and Top-k
Elements in Data Streams", ICDT 2005): when all places are taken, a new key takes the place of the
one with the smallest count and inherits that count as its error. A key that occurs more often than
total / capacity is always among those kept; a count is too high by its error at most, and exact as
long as there were no more keys than places.
"""

from __future__ import annotations

import heapq
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


Count = Annotated[int, msgspec.Meta(ge=0)]


class TopKey(msgspec.Struct, frozen=True):
    """A key, the upper bound of its count, and the most by which that may be too high."""

    key: str
    count: Count
    error: Count = 0


class TopKeys:
    """Counts keys in `capacity` places. Adding costs O(log capacity), amortised."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._counts: dict[str, int] = {}
        self._errors: dict[str, int] = {}
        # (count, key), including stale entries.
        self._smallest: list[tuple[int, str]] = []

    def add(self, key: str, times: int = 1) -> str | None:
        """Count a key that occurred; return the key that lost its place to it, if one did."""
        evicted = None
        if key not in self._counts and len(self._counts) >= self._capacity:
            evicted, least = self._evict()
            self._counts[key] = self._errors[key] = least
        self._set(key, self._counts.get(key, 0) + times)
        return evicted

    def top(self, most: int | None = None) -> list[TopKey]:
        """Return the keys with the largest counts, largest first; equal ones by their names."""
        ranked = sorted(self._counts, key=lambda key: (-self._counts[key], key))[:most]
        return [TopKey(key, self._counts[key], self._errors.get(key, 0)) for key in ranked]

    def resume(self, past: Iterable[TopKey]) -> None:
        """Resume from what `top` returned, and from nothing else."""
        self._counts, self._errors, self._smallest = {}, {}, []
        for known in [*past][: self._capacity]:
            self._errors[known.key] = known.error
            self._set(known.key, known.count)

    def _set(self, key: str, count: int) -> None:
        self._counts[key] = count
        heapq.heappush(self._smallest, (count, key))
        if len(self._smallest) > 4 * self._capacity:
            self._smallest = [(count, key) for key, count in self._counts.items()]
            heapq.heapify(self._smallest)

    def _evict(self) -> tuple[str, int]:
        while True:
            count, key = heapq.heappop(self._smallest)
            if self._counts.get(key) == count:
                del self._counts[key]
                self._errors.pop(key, None)
                return key, count


def added(parts: Sequence[Sequence[TopKey]], capacity: int) -> list[TopKey]:
    """Return the top keys of several streams together, from those of each in `capacity` places.

    A key that has no place in a stream may have occurred as often as the last that has one.
    """
    counts: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    names = {top.key for part in parts for top in part}
    for part in parts:
        known = {top.key: top for top in part}
        least = min((top.count for top in part), default=0) if len(part) >= capacity else 0
        for name in names:
            top = known.get(name, TopKey(name, least, least))
            counts[name] += top.count
            errors[name] += top.error
    ranked = sorted(names, key=lambda name: (-counts[name], name))[:capacity]
    return [TopKey(name, counts[name], errors[name]) for name in ranked]
