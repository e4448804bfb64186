"""Decide when a warm-up has enough: a number of rows, or rows that span a time. Pure.

A span is checked only at certain numbers of events, each a fiftieth after the one before. So the
rows of the first model do not depend on batch boundaries, and checks cost little.
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

# The time of an event without one; real times are after 1970.
NO_TIME = -1

# Failed trainings before the rows are discarded: at most four times the first number of rows, or of
# the span, are collected.
MOST_FAILED = 3

# The next check of the span comes after this share of the events so far.
STEP = 50


class Goal(NamedTuple):
    """What to collect: `rows`; or, with `span_ms`, that much time in `fewest` to `rows` rows."""

    rows: int
    fewest: int
    span_ms: int | None = None


class Collection:
    """The rows of the stream that are kept, and whether they are enough.

    `failed` counts the failed trainings. `covered_ms` is the span of the times at the last check.
    """

    def __init__(self, goal: Goal) -> None:
        self._goal = goal
        self.failed = 0
        self._begin()

    @property
    def filled(self) -> int:
        """Return the number of kept rows."""
        return self.sample.filled

    @property
    def wanted(self) -> int:
        """Return the minimum number of rows of the next training."""
        goal = self._goal
        if goal.span_ms is None:
            return goal.rows << self.failed
        return min(goal.fewest << self.failed, goal.rows)

    @property
    def size(self) -> int:
        """Return the maximum number of rows of the next training."""
        return self.wanted if self._goal.span_ms is None else self._goal.rows

    @property
    def span_ms(self) -> int | None:
        """Return the required span of the rows' times; None if a number of rows is required."""
        span = self._goal.span_ms
        return None if span is None else span << self.failed

    @property
    def share(self) -> float:
        """Return the share of the goal that is reached, from 0 to 1."""
        rows = min(1.0, self.filled / self.wanted)
        return rows if self.span_ms is None else min(rows, self.covered_ms / self.span_ms, 1.0)

    @property
    def enough(self) -> bool:
        """Return whether there are enough rows, and their times spanned enough at the last
        check."""
        spans = self.span_ms is None or self._judged_ms >= self.span_ms
        return self.filled >= self.wanted and spans

    @property
    def due(self) -> int:
        """Return the maximum number of events to add before `enough` may change; 0 for no limit."""
        if self.span_ms is None:
            return max(0, self.wanted - self.filled)
        return self._look_at - self.sample.offered

    def add(self, partitions: Sequence[int], times_ms: Sequence[int]) -> list[int]:
        """Add rows with these times, `NO_TIME` for none; return the sample's decision on each."""
        places = [self.sample.offer(partition) for partition in partitions]
        self._keep(places, times_ms)
        if self.span_ms is not None and self.sample.offered >= self._look_at:
            self._look()
        return places

    def want_more(self) -> bool:
        """Collect more, since these rows cannot train a model; return whether it restarts.

        The goal is doubled, then doubled again, in rows or in time.
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
        """Resume from the entries of that many rows with their times, in order.

        Raise ValueError if that is inconsistent.
        """
        self.failed = min(failed, MOST_FAILED - 1)
        self._begin()
        self.sample.restore(entries, offered)
        self._keep((entry.place for entry in entries), times_ms)
        if self.span_ms is not None:
            self._go_on_looking()

    def times(self) -> NDArray[np.int64]:
        """Return the times (filled,) of the rows by index, `NO_TIME` for none."""
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
        """Reset the checks so far, as without a restart: a check between two others would see a
        different span."""
        self._measure()
        before = 0
        while self._look_at <= self.sample.offered:
            before, self._look_at = self._look_at, self._look_at + max(1, self._look_at // STEP)
        self._judged_ms = self.covered_ms if before == self.sample.offered else 0

    def _measure(self) -> None:
        times = self.times()
        assert self.span_ms is not None
        self.covered_ms = spanned(times[times != NO_TIME], self.span_ms)
