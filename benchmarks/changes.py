"""The scoring of change points by the Skoltech Anomaly Benchmark, from its published definition.

Each change point opens a window of 60 seconds, both ends included; where two overlap, the later one
begins at the earlier one's end. In a window only the first alarm counts, and it earns the more the
earlier it comes: with x from -π/2 (the window's begin) to π/2 (its end) and f the profile's cost of
a false alarm,

    (1 + f) / 2 · (1 - tanh(x) / tanh(π/2)) - f

which falls from 1 to -f. A window without an alarm costs the profile's weight of a miss, an alarm
outside of all windows costs f, wherever it lies. The sum over all files is scaled: 0 is a detector
that never alarms, 100 one that alarms at every change and nowhere else.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmarks.nab import Profile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

PROFILES = {
    "standard": Profile(0.11, 1.0),
    "low FP": Profile(0.22, 1.0),
    "low FN": Profile(0.11, 2.0),
}
WIDTH = 60.0  # seconds
STEPS = 1000  # the definition has the reward as a table of so many values


class Counted(NamedTuple):
    """What alarms come to: the place of each first one in its window, from 0 to 1, and counts."""

    places: list[float]
    missed: int
    false_alarms: int

    @property
    def windows(self) -> int:
        """Return how many changes there are."""
        return len(self.places) + self.missed

    def score(self, profile: Profile) -> float:
        """Return the score, 0 for silence and 100 for a perfect detector."""
        rewards = sum(_reward(place, profile.false_alarm) for place in self.places)
        raw = rewards - profile.miss * self.missed - profile.false_alarm * self.false_alarms
        return 100.0 * (raw / self.windows + profile.miss) / (1.0 + profile.miss)


def count(changes: Sequence[Numbers], alarms: Sequence[Numbers]) -> Counted:
    """Count the alarms of each file against its change points, both as ascending seconds."""
    places: list[float] = []
    missed = false_alarms = 0
    for windows, times in zip(map(_windows, changes), alarms, strict=True):
        outside = np.ones(len(times), dtype=np.bool_)
        for begin, end in windows:
            inside = (times >= begin) & (times <= end)
            outside &= ~inside
            if inside.any():
                places.append(float((times[inside][0] - begin) / (end - begin)))
            else:
                missed += 1
        false_alarms += int(np.count_nonzero(outside))
    return Counted(places, missed, false_alarms)


def _windows(changes: Numbers) -> list[tuple[float, float]]:
    windows: list[tuple[float, float]] = []
    for change in changes:
        begin = max(change, windows[-1][1]) if windows else change
        windows.append((float(begin), float(change + WIDTH)))
    return windows


def _reward(place: float, false_alarm: float) -> float:
    step = min(int(place * STEPS), STEPS - 1)
    x = math.pi * (step / (STEPS - 1) - 0.5)
    return (1.0 + false_alarm) / 2.0 * (1.0 - math.tanh(x) / math.tanh(math.pi / 2)) - false_alarm
