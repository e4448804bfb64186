"""Rows far outside of the training rows, to test the direction of a detector's scores.

Not every detector ranks such rows high. PyOD's QMCD flips its scores by their skewness and may then
call them the most normal of all; LODA puts everything beyond its histograms into the outermost
bins, which are full if the rows form clusters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.float64]

# In every second direction all features move; in the others one moves most.
DIRECTIONS = 32
# Distance from the middle of the training rows, in units of each feature's range.
DISTANCES = (2.0, 10.0, 100.0, 1000.0)


def far_outside(rows: Rows) -> Rows:
    """Return rows (k, d), k ≤ 128, far outside of the complete rows (N, d) in all directions.

    The result is deterministic. A feature that never changed keeps its value. Rows that overflow a
    double are left out.
    """
    low, high = rows.min(axis=0), rows.max(axis=0)
    rng = np.random.default_rng(0)
    half = DIRECTIONS // 2
    directions = rng.normal(size=(half, rows.shape[1]))
    directions /= np.abs(directions).max(axis=1, keepdims=True)
    corners = np.sign(directions) * rng.uniform(0.5, 1.0, size=directions.shape)
    directions = np.where(np.arange(half)[:, None] % 2 == 0, corners, directions)
    directions = np.vstack([directions, -directions])
    with np.errstate(over="ignore", invalid="ignore"):
        middle, width = low / 2 + high / 2, high - low
        far = np.vstack([middle + distance * width * directions for distance in DISTANCES])
    return np.unique(far[np.isfinite(far).all(axis=1)], axis=0)
