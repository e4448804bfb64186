"""ECOD and COPOD: two places in each feature's order, and the sign of its skewness.

What is computed, and why so, is in `detectd.detectors.tails`, which is the plain form of this and
from which the kernel has its arrays. Here all features of a row are searched in step: each column
has as many training rows, so each search takes as many halvings, and none waits for another. A row
on which the sign of a skewness hangs on PyOD's roundings is left to the plain form.
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
    """Take a fitted ECOD or COPOD apart."""
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
    """Scores by the ordered columns (d, n); returns how many rows are left as nan.

    `first[j, i]` is the place of the first value equal to columns[j, i], `depth` (n+1,) minus the
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
    """How many of each column are not above the row's value, for all columns (d, n) in step."""
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
    """Return the sign of a feature's skewness over its n training values and x; nan where not
    clear."""
    mean, m2, m3, off = moments[0], moments[1], moments[2], moments[3]
    step = x - mean
    second = m2 + step * step * (n / (n + 1))
    third = m3 + step * step * step * (n * (n - 1) / (n + 1) ** 2) - 3 * step * m2 / (n + 1)
    blur = second * (ROUNDING * np.sqrt(second / (n + 1)) + off)
    if blur < abs(third) < np.inf or lowest == x == highest:
        return float(np.sign(third))
    return np.nan
