"""The grid on which scores are counted: bins determined by the calibration scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

# Bins of the grid, beside one for all scores below it and one for all above.
BINS = 64

# Scores are clipped to this, so that their range does not overflow.
LARGEST = 1e300

# If the upper tail is more than this many times as long as the lower one, nearly all scores would
# be in one of equal bins.
LONG_TAIL = 12.0

# Positions are clipped to this many grids.
FARTHEST = 1e6

# The unit of a grid is at least this share of its length, so that its edges are distinct doubles.
FINEST = 1e-100


@dataclass(frozen=True, slots=True)
class Grid:
    """BINS bins of equal width from `low` to `high`: of the score itself, or, with a `unit`, of
    asinh((score − middle) / unit), which is a logarithm far out on either side."""

    low: float
    high: float
    middle: float = 0.0
    unit: float | None = None

    def count(self, scores: Floats) -> Ints:
        """(BINS+2,): how many of `scores` (k,) lie below the grid, in each bin, and above it."""
        bins = np.floor(np.clip(self.place(scores) * BINS, -1.0, BINS))
        return np.bincount(bins.astype(np.int64) + 1, minlength=BINS + 2)

    def place(self, scores: Floats) -> Floats:
        """Return the positions of scores, from 0 at `low` to 1 at `high`, and beyond, up to
        `FARTHEST`."""
        with np.errstate(over="ignore"):
            first, last = self._stretched(np.array([self.low, self.high]))
            found: Floats = (self._stretched(scores) - first) / (last - first)
        return np.clip(found, -FARTHEST, FARTHEST)

    @property
    def edges(self) -> Floats:
        """(BINS+1,), ascending."""
        first, last = self._stretched(np.array([self.low, self.high]))
        even = np.linspace(first, last, BINS + 1)
        return even if self.unit is None else self.middle + self.unit * np.sinh(even)

    def _stretched(self, scores: Floats) -> Floats:
        return scores if self.unit is None else np.arcsinh((scores - self.middle) / self.unit)


def grid(calibration: Floats) -> Grid:
    """Return the grid of n calibration scores, (n,), in any order.

    It excludes scores farther beyond the outer half percents than these are apart.
    """
    known = np.clip(calibration, -LARGEST, LARGEST)
    lowest, outer_low, middle, outer_high, highest = np.quantile(known, [0, 0.005, 0.5, 0.995, 1])
    core = outer_high - outer_low
    low = float(max(lowest, outer_low - core))
    high = float(min(highest, outer_high + core))
    size = max(abs(low), abs(high))
    room = max(0.1 * (high - low), 1e-12 * size, 1e-290) if high > low else 0.1 * size or 1.0
    unit = float(middle - outer_low) / 2
    if unit > 0 and high - middle > LONG_TAIL * (middle - outer_low):
        unit = max(unit, FINEST * (high - float(middle)), 1e-10 * abs(float(middle)), 1e-290)
        return Grid(low - unit / 2, high + room, float(middle), unit)
    return Grid(low - room, high + room)
