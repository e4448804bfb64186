"""Gather one batch from a source, bounded by number, bytes and time."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from detectd.pipeline import memory_budget
from detectd.service.batching import AdaptiveBatchSize

if TYPE_CHECKING:
    from collections.abc import Callable

    from detectd.pipeline.records import Record
    from detectd.sources import Batch, Source

# The longest that a stop waits for a silent source.
SLICE_SECONDS = 0.5

# Share of `wait_seconds` to wait if the last batch took longer: the client may have more soon.
SHORTEST_WAIT = 0.1


@dataclass(frozen=True, kw_only=True)
class BatchLimits:
    """What a batch may hold, and how long it may wait for more.

    It has at most `most_records`, and no more than can be scored within `answer_seconds`. It is
    complete at `enough_bytes`, where an event's value counts `copies` times, or `wait_seconds`
    after the batch before.
    """

    most_records: int
    answer_seconds: float
    enough_bytes: int
    copies: int
    wait_seconds: float


class Gatherer:
    """Gather batches, and adapt their size to how long they take."""

    def __init__(self, limits: BatchLimits) -> None:
        self.limits = limits
        self._size = AdaptiveBatchSize(limits.most_records, limits.answer_seconds)
        self.gathered = 0.0

    def go_on_under(self, limits: BatchLimits) -> None:
        """Use other limits from now on."""
        if limits.most_records != self.limits.most_records:
            self._size = AdaptiveBatchSize(limits.most_records, limits.answer_seconds)
        self.limits = limits

    def took(self, records: int, seconds: float) -> None:
        """Record how many `seconds` a batch of that many `records` took."""
        self._size.took(records, seconds)

    def gather(self, source: Source, wanted: int | None, interrupted: Callable[[], bool]) -> Batch:
        """Read a batch of at most `wanted` records in slices, and stop between slices once
        `interrupted` returns True."""
        limit = min(self._size.limit, wanted or self._size.limit)
        patience, now = self.limits.wait_seconds, time.monotonic()
        # Records queued up while the last batch was scored.
        deadline = max(self.gathered + patience, now + SHORTEST_WAIT * patience)
        records: list[Record] = []
        while True:
            left = max(0.0, deadline - time.monotonic())
            batch = source.read(limit - len(records), min(left, SLICE_SECONDS))
            records += batch.records
            full = len(records) == limit or time.monotonic() >= deadline
            full = full or self._heavy(records)
            if full or batch.ended or interrupted():
                self.gathered = time.monotonic()
                return replace(batch, records=records)

    def _heavy(self, records: list[Record]) -> bool:
        return memory_budget.weight(records, self.limits.copies) >= self.limits.enough_bytes
