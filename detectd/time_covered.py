"""What span of time training rows cover, and what they cannot show of it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
WEEK_MS = 7 * DAY_MS
# 1 January 1970 was a Thursday; weeks begin on Monday.
EPOCH_WEEKDAY, SATURDAY = 3, 5


class TimeCovered(NamedTuple):
    """The earliest and the latest time of events, in epoch milliseconds."""

    first_ms: int
    last_ms: int

    @property
    def hours(self) -> float:
        """The hours between the two."""
        return (self.last_ms - self.first_ms) / HOUR_MS

    @property
    def weekend(self) -> bool:
        """Whether a part of a Saturday or a Sunday (UTC) is covered."""
        first, last = self.first_ms // DAY_MS, self.last_ms // DAY_MS
        days = range(first, min(last, first + 6) + 1)
        return any((day + EPOCH_WEEKDAY) % 7 >= SATURDAY for day in days)

    @property
    def warning(self) -> str | None:
        """What cycle the rows cannot show, or None if they cover a week."""
        span = self.last_ms - self.first_ms
        if span < DAY_MS:
            return (
                f"the rows cover {self.hours:.1f} hours: a daily cycle cannot be known from them, "
                "so another time of day may look anomalous; train on several days"
            )
        if span < WEEK_MS:
            weekend = "with" if self.weekend else "without"
            return (
                f"the rows cover {self.hours / 24:.1f} days, {weekend} a weekend: a weekly cycle "
                "cannot be known from them; train on several weeks if weekends differ"
            )
        return None


def widened(covered: TimeCovered | None, times_ms: Iterable[int | None]) -> TimeCovered | None:
    """Return what is covered with more times; None while no event has one."""
    known = [each for each in times_ms if each is not None]
    known += covered or ()
    return TimeCovered(min(known), max(known)) if known else None
