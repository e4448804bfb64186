"""The local time of a zone at given moments. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import numpy as np

from detectd.nearest import nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# Offsets are compared at the ends of such steps, and a change within one is looked for. No zone has
# changed its offset twice in three hours since 1970.
STEP_SECONDS = 10_800
# There are no local times beyond 9999; the last two days have the offset of the day before.
LAST_SECOND = 253_402_300_799 - 2 * 86_400


def doubt(zone: str) -> str | None:
    """Return an error for an unknown zone, with a suggestion; None if the zone exists."""
    if zone == "localtime":
        return "zone 'localtime' differs between hosts; name the zone, as in 'Europe/Berlin'"
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        known = available_timezones()
        if not known:
            return f"unknown zone {zone!r}; this host has no time zones: install tzdata"
        close = nearest(zone, known)
        advice = f"did you mean {close!r}?" if close else "give a name such as 'Europe/Berlin'"
        return f"unknown zone {zone!r}; {advice}"
    return None


def local_ms(zone: str, times_ms: Floats) -> Floats:
    """Return local time (k,) at `times_ms` (k,), epoch milliseconds; NaN gives NaN.

    It is a number of milliseconds like them, as if the clocks there showed UTC. The offsets of a
    year are calculated once.
    """
    local = times_ms.copy()
    known = np.isfinite(times_ms)
    seconds = np.minimum(times_ms[known] / 1000, LAST_SECOND)
    if not len(seconds):
        return local
    moments = np.floor(seconds).astype("datetime64[s]")
    years = np.unique(moments.astype("datetime64[Y]").astype(np.int64)) + 1970
    starts, offsets = map(
        np.concatenate, zip(*(_year(zone, y) for y in years.tolist()), strict=True)
    )
    local[known] += 1000 * offsets[np.searchsorted(starts, seconds, side="right") - 1]
    return local


@lru_cache(maxsize=4096)
def _year(zone: str, year: int) -> tuple[Floats, Floats]:
    """Return the seconds (c,) at which offsets begin in a year, its first second included, and the
    offsets (c,) in seconds."""
    clock = ZoneInfo(zone)
    first = round(datetime(year, 1, 1, tzinfo=UTC).timestamp())
    steps = np.arange(first, first + 366 * 86_400, STEP_SECONDS).tolist()
    steps = [second for second in steps if second <= LAST_SECOND]
    found = [_offset(clock, second) for second in steps]
    starts, offsets = [first], found[:1]
    for place in range(1, len(steps)):
        if found[place] != found[place - 1]:
            starts.append(_change(clock, steps[place - 1], steps[place]))
            offsets.append(found[place])
    return np.array(starts, dtype=np.float64), np.array(offsets)


def _change(clock: ZoneInfo, before: int, after: int) -> int:
    """Return the second between two at which the later one's offset begins."""
    later = _offset(clock, after)
    while after - before > 1:
        middle = (before + after) // 2
        if _offset(clock, middle) == later:
            after = middle
        else:
            before = middle
    return after


def _offset(clock: ZoneInfo, second: int) -> float:
    passed = datetime.fromtimestamp(second, clock).utcoffset()
    return passed.total_seconds() if passed else 0.0
