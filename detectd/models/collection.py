"""When a warm-up has enough: a number of rows, or rows whose times span a time. Pure.

A span is judged at certain numbers of events alone, each a fiftieth after the one before. So the
rows of the first model do not depend on where batches are cut, and judging costs little.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from detectd.models.even_sample import EvenSample
from detectd.pipeline.time_coverage import spanned

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from detectd.models.even_sample import Entry

# A time of an event that has none; events have none before 1970.
NO_TIME = -1

# Trainings of the same rows and more that fail before new rows are collected: at most four times
# the first number of rows, or of the span, are collected.
MOST_FAILED = 3

# The next look at the span comes after this share of the events so far.
STEP = 50


class Goal(NamedTuple):
    """What to collect: `rows`; or, with `span_ms`, that much time in `fewest` to `rows` rows."""

    rows: int
    fewest: int
    span_ms: int | None = None


class Collection:
    """Which rows of the stream are kept, and whether they are enough.

    `failed` counts the trainings that these rows could not carry. `covered_ms` is what their times
    spanned at the last look.
    """

    def __init__(self, goal: Goal) -> None:
        self._goal = goal
        self.failed = 0
        self._begin()

    @property
    def filled(self) -> int:
        """Return how many rows are kept."""
        return self.sample.filled

    @property
    def wanted(self) -> int:
        """Return how many rows the next training takes at least."""
        goal = self._goal
        if goal.span_ms is None:
            return goal.rows << self.failed
        return min(goal.fewest << self.failed, goal.rows)

    @property
    def size(self) -> int:
        """Return how many rows the next training takes at most."""
        return self.wanted if self._goal.span_ms is None else self._goal.rows

    @property
    def span_ms(self) -> int | None:
        """Return the span that the times of the rows must have; None if it is their number that
        counts."""
        span = self._goal.span_ms
        return None if span is None else span << self.failed

    @property
    def share(self) -> float:
        """Return how much of what is wanted is there, from 0 to 1."""
        rows = min(1.0, self.filled / self.wanted)
        return rows if self.span_ms is None else min(rows, self.covered_ms / self.span_ms, 1.0)

    @property
    def enough(self) -> bool:
        """Return whether the rows are as many as wanted, and their times spanned enough when
        judged."""
        spans = self.span_ms is None or self._judged_ms >= self.span_ms
        return self.filled >= self.wanted and spans

    @property
    def due(self) -> int:
        """Return how many events to add at most before `enough` may change; 0 for any number."""
        if self.span_ms is None:
            return max(0, self.wanted - self.filled)
        return self._look_at - self.sample.offered

    def add(self, partitions: Sequence[int], times_ms: Sequence[int]) -> list[int]:
        """Take rows with these times, `NO_TIME` for none; return what the sample says to each."""
        places = [self.sample.offer(partition) for partition in partitions]
        self._keep(places, times_ms)
        if self.span_ms is not None and self.sample.offered >= self._look_at:
            self._look()
        return places

    def want_more(self) -> bool:
        """Collect more, as these rows cannot carry a model; return whether it begins again.

        As many again are wanted, then twice as many; or as long a time.
        """
        self.failed += 1
        self.sample.size = self.size
        if self.failed < MOST_FAILED:
            return False
        self.failed = 0
        self._begin()
        return True

    def restore(
        self, entries: Sequence[Entry], times_ms: Sequence[int], offered: int, failed: int
    ) -> None:
        """Go on after the entries of that many rows with their times, in order.

        Raises ValueError if that cannot have come about.
        """
        self.failed = min(failed, MOST_FAILED - 1)
        self._begin()
        self.sample.restore(entries, offered)
        self._keep((entry.place for entry in entries), times_ms)
        if self.span_ms is not None:
            self._go_on_looking()

    def times(self) -> NDArray[np.int64]:
        """Return the times (filled,) of the rows by place, `NO_TIME` for none."""
        return np.array(self._times, dtype=np.int64)

    def _begin(self) -> None:
        self.sample = EvenSample(self.size)
        self._times = array("q")
        self._look_at = self._goal.fewest
        self.covered_ms = self._judged_ms = 0

    def _keep(self, places: Iterable[int], times_ms: Sequence[int]) -> None:
        for place, moment in zip(places, times_ms, strict=True):
            if place == len(self._times):
                self._times.append(moment)
            elif place >= 0:
                self._times[place] = moment

    def _look(self) -> None:
        self._measure()
        self._judged_ms = self.covered_ms
        self._look_at += max(1, self._look_at // STEP)

    def _go_on_looking(self) -> None:
        """Forget the looks so far, as if there had been no restart: a look between two others would
        see what they do not."""
        self._measure()
        before = 0
        while self._look_at <= self.sample.offered:
            before, self._look_at = self._look_at, self._look_at + max(1, self._look_at // STEP)
        self._judged_ms = self.covered_ms if before == self.sample.offered else 0

    def _measure(self) -> None:
        times = self.times()
        assert self.span_ms is not None
        self.covered_ms = spanned(times[times != NO_TIME], self.span_ms)
