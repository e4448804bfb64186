"""Why many events may be late: a guess from how late they are. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection

QUARTER_MS, MOST_QUARTERS = 900_000, 14 * 4
# So near to a quarter of an hour, and so many of them, and it is no accident.
NEAR_MS, MOST = 60_000, 0.8
# Times before are of no event that is measured today, but of one in another unit.
OLDEST_MS = datetime(1990, 1, 1, tzinfo=UTC).timestamp() * 1000


class Late(NamedTuple):
    """The time of an event, and by how much an earlier one of its key was later."""

    time_ms: float
    lag_ms: float


def guess(late: Collection[Late]) -> str | None:
    """Return what may be wrong with the times of events that were late, None if nothing shows."""
    time = median(each.time_ms for each in late)
    latest = median(each.time_ms + each.lag_ms for each in late)
    if time < OLDEST_MS <= latest:
        return "they are from before 1990: perhaps their times are in another unit"
    if latest - time > max(time, 0.0):
        return "their keys have had times in the far future: perhaps in another unit"
    lag = median(each.lag_ms for each in late)
    quarters = round(lag / QUARTER_MS)
    near = sum(abs(each.lag_ms - quarters * QUARTER_MS) <= NEAR_MS for each in late)
    if 1 <= quarters <= MOST_QUARTERS and near >= MOST * len(late):
        return f"most are late by {quarters / 4:g} h: perhaps some times are of another time zone"
    return None
