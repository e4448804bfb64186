"""Guess why many events are late, from how late they are. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection

QUARTER_MS, MOST_QUARTERS = 900_000, 14 * 4
# A lag this close to a multiple of a quarter of an hour, for this share of events, is not a
# coincidence.
NEAR_MS, MOST = 60_000, 0.8
# Earlier times are not those of current events, but in another unit.
OLDEST_MS = datetime(1990, 1, 1, tzinfo=UTC).timestamp() * 1000


class Late(NamedTuple):
    """The time of a late event, and its lag behind an earlier event of its key."""

    time_ms: float
    lag_ms: float


def guess(late: Collection[Late]) -> str | None:
    """Return the likely cause of late event times, None if there is no pattern."""
    time = median(each.time_ms for each in late)
    latest = median(each.time_ms + each.lag_ms for each in late)
    if time < OLDEST_MS <= latest:
        return "they are dated before 1990: their times may be in another unit"
    if latest - time > max(time, 0.0):
        return "their keys have had times far in the future, perhaps in another unit"
    lag = median(each.lag_ms for each in late)
    quarters = round(lag / QUARTER_MS)
    near = sum(abs(each.lag_ms - quarters * QUARTER_MS) <= NEAR_MS for each in late)
    if 1 <= quarters <= MOST_QUARTERS and near >= MOST * len(late):
        return f"most are late by {quarters / 4:g} h: some times may be in another time zone"
    return None
