"""Scale columns by their own spread, for detectors that measure distances. Pure.

In a distance over bytes and percent, only the bytes count. The spread comes from the training rows:
`standard` is mean and standard deviation, `robust` is median and interquartile range, which a few
anomalies do not move. The range is divided by 1.349, so that both agree for a normal distribution.
A column with at least half of its values equal has no interquartile range, and uses its standard
deviation. Flags, columns of zeros and ones, are not scaled: a rare one would be far away whenever
it is set.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.float64]

Scale = Literal["none", "standard", "robust"]

NORMAL_RANGE = 1.349  # between the quartiles of a normal distribution, in standard deviations
LARGEST = np.finfo(np.float64).max


@dataclass(frozen=True, eq=False)
class Scaling:
    """What is subtracted from each column (d,), and what it is then divided by."""

    center: Rows
    spread: Rows

    @classmethod
    def of(cls, rows: Rows, scale: Scale) -> Scaling | None:
        """Return the scaling of complete training rows (N, d); None if they are not scaled."""
        if scale == "none":
            return None
        # Relative to the largest value, so that no sum of squares overflows.
        unit = np.abs(rows).max(axis=0)
        unit[unit == 0.0] = 1.0
        low, middle, high = np.quantile(rows / unit, [0.25, 0.5, 0.75], axis=0)
        center, spread = middle, (high - low) / NORMAL_RANGE
        deviation = (rows / unit).std(axis=0)
        if scale == "standard":
            center, spread = (rows / unit).mean(axis=0), deviation
        spread = np.where(spread > 0.0, spread, deviation)
        center, spread = unit * center, unit * spread
        left = ((rows == 0.0) | (rows == 1.0)).all(axis=0) | (rows == rows[0]).all(axis=0)
        left |= ~(spread > 0.0)  # less than the smallest double
        return cls(np.where(left, 0.0, center), np.where(left, 1.0, spread))

    def __call__(self, rows: Rows) -> Rows:
        """Return rows (k, d) in these units, each by itself; clipped to the range of a double."""
        with np.errstate(over="ignore"):
            scaled = (rows - self.center) / self.spread
        return np.clip(scaled, -LARGEST, LARGEST)
