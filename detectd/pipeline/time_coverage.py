"""The span of time that training rows cover, and the cycles they are too short to show. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
WEEK_MS = 7 * DAY_MS
# 1 January 1970 was a Thursday; weeks begin on Monday.
EPOCH_WEEKDAY, SATURDAY = 3, 5

# This share of the times at each end does not count, at least one time; nor does a time farther
# from the median than this many spans.
TRIMMED = 0.01
FAR_SPANS = 2


class TimeCovered(NamedTuple):
    """The earliest and the latest time of events, in epoch milliseconds."""

    first_ms: int
    last_ms: int

    @property
    def hours(self) -> float:
        """Return the duration in hours."""
        return (self.last_ms - self.first_ms) / HOUR_MS

    @property
    def weekend(self) -> bool:
        """Return whether a part of a Saturday or a Sunday (UTC) is covered."""
        first, last = self.first_ms // DAY_MS, self.last_ms // DAY_MS
        days = range(first, min(last, first + 6) + 1)
        return any((day + EPOCH_WEEKDAY) % 7 >= SATURDAY for day in days)

    @property
    def warning(self) -> str | None:
        """Return a warning on the cycle that the rows are too short to show; None if they cover a
        week."""
        span = self.last_ms - self.first_ms
        if span < DAY_MS:
            return (
                f"the rows cover {self.hours:.1f} hours: a daily cycle cannot be learned from "
                "them, "
                "so another time of day may look anomalous; train on several days"
            )
        if span < WEEK_MS:
            weekend = "with" if self.weekend else "without"
            return (
                f"the rows cover {self.hours / 24:.1f} days, {weekend} a weekend: a weekly cycle "
                "cannot be learned from them; train on several weeks if weekends differ"
            )
        return None


def widened(covered: TimeCovered | None, times_ms: Iterable[int | None]) -> TimeCovered | None:
    """Return the coverage extended by more times; None while no event has one."""
    known = [each for each in times_ms if each is not None]
    known += covered or ()
    return TimeCovered(min(known), max(known)) if known else None


def spanned(times_ms: NDArray[np.int64], span_ms: int) -> int:
    """Return what span of time, in milliseconds, the times (k,) can be trusted to cover.

    Clocks jump: one event a year ahead must not pass for a year. So a time does not count if it is
    farther from the median than twice `span_ms`, the span that is asked about; nor do, of those
    that are left, the first and the last hundredth, one time at least each.
    """
    if not len(times_ms):
        return 0
    ordered = np.sort(times_ms)
    median = int(ordered[len(ordered) // 2])
    near = ordered[np.abs(ordered - median) <= FAR_SPANS * span_ms]
    trimmed = math.ceil(TRIMMED * len(near))
    if len(near) <= 2 * trimmed:
        return 0
    return int(near[-1 - trimmed] - near[trimmed])


def portion(covered_ms: float, span_ms: float) -> str:
    """Say how much of a span is covered: "2.3 of 7 days"."""
    units = (("days", DAY_MS), ("hours", HOUR_MS), ("minutes", MINUTE_MS))
    name, unit = next((each for each in units if span_ms >= 2 * each[1]), units[-1])
    # Rounded down, so as not to overstate the coverage.
    return f"{math.floor(10 * covered_ms / unit) / 10:g} of {round(span_ms / unit, 1):g} {name}"
