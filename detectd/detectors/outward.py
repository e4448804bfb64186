"""Rows far outside of the training rows, on which a detector shows which way its scores point.

Not every detector ranks such rows high. PyOD's QMCD turns its scores around by their skewness and
then calls them the most normal of all; LODA takes whatever lies beyond its histograms for the
outermost bins, which are full where the rows form clusters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.float64]

# In every other direction all features move, in the rest one moves most and others less.
DIRECTIONS = 32
# How far from the middle of the training rows, in units of the range of each feature.
DISTANCES = (2.0, 10.0, 100.0, 1000.0)


def far_outside(rows: Rows) -> Rows:
    """Return rows (k, d), k ≤ 128, far outside of the complete rows (N, d) in directions all
    around.

    The same for the same rows. A feature that never changed keeps its value. What no double can
    hold is left out.
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
