"""The effect of tied scores on the promise.

A score that equals a calibration score at an edge of the zone is always in the zone. If scores
there come in groups of equal ones, the zone contains whole groups, and so more mass than the exact
law gives its w ranks. With groups of k calibration scores, that is (k−1)/2 ranks per edge on
average, compared with a standard deviation of √w ranks; a shift of `HARMLESS` deviations turns an
exceedance of 0.1 into one of 0.109.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from detectd.rejection.zone import Zone

    Floats = npt.NDArray[np.float64]

HARMLESS = 0.05


def ties_matter(scores: Floats, zone: Zone, edges: tuple[float, float]) -> bool:
    """Return whether ties at the edges of a zone among ascending scores (n,) let its mass exceed
    the upper bound more often than promised. The lowest and highest score it rejects are `edges`,
    infinite if it has no end there."""
    excess = sum((_atom(scores, edge) - 1.0) / 2.0 for edge in edges if math.isfinite(edge))
    return excess > HARMLESS * math.sqrt(max(1, zone.width))


def _atom(scores: Floats, edge: float) -> float:
    """Return how many calibration scores share a value at the edge, or around it if that is more:
    an atom may have only one of them."""
    first, last = np.searchsorted(scores, edge, "left"), np.searchsorted(scores, edge, "right")
    reach = max(10, math.isqrt(len(scores)))
    around = scores[max(0, first - reach) : last + reach]
    sizes = np.searchsorted(scores, around, "right") - np.searchsorted(scores, around, "left")
    return max(float(last - first), float(sizes.mean()))
