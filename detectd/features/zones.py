"""The offset of a time zone's local time from UTC at given moments. Pure."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import numpy as np

from detectd.nearest import nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# Offsets are looked up at the ends of such steps, and within one only if they differ there.
STEP_SECONDS = 900
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


def offsets_ms(zone: str, times_ms: Floats) -> Floats:
    """Return the offset of local time from UTC (k,) at `times_ms` (k,), all of them finite."""
    seconds = np.minimum(times_ms / 1000, LAST_SECOND)
    steps, place = np.unique(np.floor(seconds / STEP_SECONDS), return_inverse=True)
    first = np.array([_offset(zone, int(step) * STEP_SECONDS) for step in steps.tolist()])
    after = np.array([_offset(zone, (int(step) + 1) * STEP_SECONDS) for step in steps.tolist()])
    found = first[place]
    # Offsets change at whole seconds.
    for i in np.flatnonzero((first != after)[place]).tolist():
        found[i] = _offset(zone, int(seconds[i]))
    return found * 1000.0


@lru_cache(maxsize=65_536)
def _offset(zone: str, second: int) -> float:
    passed = datetime.fromtimestamp(second, ZoneInfo(zone)).utcoffset()
    return passed.total_seconds() if passed else 0.0
