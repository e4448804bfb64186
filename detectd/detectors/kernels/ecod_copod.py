"""ECOD and COPOD: two places in each feature's order, and the sign of its skewness.

The method is described in `detectd.detectors.tails`, which is the plain form of this and provides
the arrays. Here all features of a row are searched in step: each column has the same number of
training rows, so each search takes the same number of halvings, and none waits for another. A row
for which the sign of a skewness depends on PyOD's rounding is left to the plain form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from detectd.detectors.kernels import Compiled
from detectd.detectors.tails import ROUNDING, TailScorer
from detectd.jit import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.float64]
    Ints = NDArray[np.int32]


def build(detector: Any) -> Compiled:
    """Build the kernel of a fitted ECOD or COPOD."""
    plain = TailScorer(detector)
    parts = (
        np.ascontiguousarray(plain.columns),
        np.stack([np.searchsorted(column, column) for column in plain.columns]).astype(np.int32),
        plain.depth,
        plain.moments,
        plain.extreme_tail,
    )

    def reference(rows: Rows, *_: Any) -> Rows:
        return plain.score(rows)

    return Compiled(score, reference, parts, plain, 80.0 * len(plain.columns))


@compiled
def score(
    rows: Rows,
    out: Rows,
    columns: Rows,
    first: Ints,
    depth: Rows,
    moments: Rows,
    extreme_tail: bool,
) -> int:
    """Compute scores from the sorted columns (d, n); return how many rows are left as NaN.

    `first[j, i]` is the index of the first value equal to columns[j, i], `depth` (n+1,) minus the
    logarithm of each count's share.
    """
    width, n = columns.shape
    place = np.empty(width, np.int64)
    left = 0
    for i in range(rows.shape[0]):
        _count_not_above(rows[i], columns, place)
        total = 0.0
        for j in range(width):
            below = upto = place[j]
            if upto > 0 and columns[j, upto - 1] == rows[i, j]:
                below = first[j, upto - 1]
            sign = _skew_sign(rows[i, j], moments[j], columns[j, 0], columns[j, -1], n)
            lower, upper = depth[upto], depth[n - below]
            towards = lower if sign < 0 else (upper if sign > 0 else lower + upper)
            other = max(lower, upper) if extreme_tail else (lower + upper) / 2
            total += max(towards, other) if sign == sign else np.nan
        out[i] = total + 0.0
        left += np.isnan(total)
    return left


@compiled
def _count_not_above(row: Rows, columns: Rows, place: NDArray[np.int64]) -> None:
    """Count the values of each column that are not above the row's, for all columns (d, n) in
    step."""
    width, length = columns.shape
    place[:] = 0
    while length > 1:
        half = length // 2
        for j in range(width):
            place[j] += half * (columns[j, place[j] + half - 1] <= row[j])
        length -= half
    for j in range(width):
        place[j] += columns[j, place[j]] <= row[j]


@compiled
def _skew_sign(x: float, moments: Rows, lowest: float, highest: float, n: int) -> float:
    """Return the sign of a feature's skewness over its n training values and x; NaN if unclear."""
    mean, m2, m3, off = moments[0], moments[1], moments[2], moments[3]
    step = x - mean
    second = m2 + step * step * (n / (n + 1))
    third = m3 + step * step * step * (n * (n - 1) / (n + 1) ** 2) - 3 * step * m2 / (n + 1)
    blur = second * (ROUNDING * np.sqrt(second / (n + 1)) + off)
    if blur < abs(third) < np.inf or lowest == x == highest:
        return float(np.sign(third))
    return np.nan
