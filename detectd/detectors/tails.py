"""ECOD and COPOD for one row alone, in O(d log N), whatever its batch.

Both score a row by how far it lies in the tails of each feature's empirical distribution. PyOD
takes that distribution over the training rows *and* the whole batch, so that a score depends on the
rest of the batch. Here it is taken over the training rows and the row itself, which is what PyOD
does for a batch of one.

Li et al., "ECOD: Unsupervised Outlier Detection Using Empirical Cumulative Distribution
Functions", TKDE 2022; Li et al., "COPOD: Copula-Based Outlier Detection", ICDM 2020.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from detectd.quiet import quiet

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.float64]

# A skewness this small is rounding: PyOD decides its sign.
ROUNDING = 1e-6


class TailScorer:
    """A fitted ECOD or COPOD, by its training rows (n, d).

    `columns` (d, n) are the rows sorted by column, `depth` (n+1,) minus the logarithm of each
    count's share, `moments` (d, 4) their means, the sums of the squares and of the cubes around
    them, and the error of the mean.
    """

    how = "numpy, a batch a call"
    doubt: str | None = None

    def __init__(self, detector: Any) -> None:
        # In the original order: the sign of a sum near zero depends on it.
        self._given: Rows = np.asarray(detector.X_train, dtype=np.float64)
        self.columns: Rows = np.sort(self._given, axis=0).T
        self.extreme_tail = type(detector).__name__ == "ECOD"
        size = len(self._given) + 1
        # By count, once: a logarithm's last bit could depend on its position in a batch.
        self.depth: Rows = -np.log(np.arange(1, size + 1) / size)
        with np.errstate(over="ignore", invalid="ignore"):
            mean = self._given.mean(axis=0)
            shifted = self._given - mean
            second, third = np.sum(shifted**2, axis=0), np.sum(shifted**3, axis=0)
            # PyOD's mean may be off by n roundings, which matters if features are far from zero.
            off = 4 * len(self._given) * np.finfo(np.float64).eps * np.abs(mean)
        self.moments = np.column_stack([mean, second, third, off])

    def score(self, rows: Rows) -> Rows:
        """See `Scorer`."""
        scores = np.zeros(len(rows))
        size = len(self._given) + 1
        skewed = self._skew_signs(rows)
        # Column by column: the order of additions is then the same for any number of rows.
        for j, column in enumerate(self.columns):
            x = rows[:, j]
            left = self.depth[np.searchsorted(column, x, side="right")]
            right = self.depth[size - np.searchsorted(column, x, side="left") - 1]
            sign = skewed[:, j]
            towards = np.where(sign < 0, left, np.where(sign > 0, right, left + right))
            if self.extreme_tail:
                scores += np.maximum(towards, np.maximum(left, right))
            else:
                scores += np.maximum(towards, (left + right) / 2)
        return scores + 0.0

    def _skew_signs(self, rows: Rows) -> Rows:
        """Return the sign of the skewness of each feature over the training rows and one of rows
        (k, d).

        The moments of the training rows are updated by the one row (Pebay, "Formulas for robust,
        one-pass parallel computation of covariances and arbitrary-order statistical moments",
        2008).
        """
        n = len(self._given)
        mean, m2, m3, off = self.moments.T
        with np.errstate(all="ignore"):
            step = rows - mean
            second = m2 + step * step * (n / (n + 1))
            third = m3 + step * step * step * (n * (n - 1) / (n + 1) ** 2) - 3 * step * m2 / (n + 1)
            blur = second * (ROUNDING * np.sqrt(second / (n + 1)) + off)
            clear = np.isfinite(third) & (np.abs(third) > blur)
        # A feature that never changed has no tails.
        clear |= (rows == self.columns[:, 0]) & (rows == self.columns[:, -1])
        signs: Rows = np.sign(third)
        for i in np.flatnonzero(~clear.all(axis=1)):
            signs[i] = self._skew_signs_as_pyod(rows[i])
        return signs

    def _skew_signs_as_pyod(self, row: Rows) -> Rows:
        """Return PyOD's own sums, if a sign depends on their rounding or the moments overflow."""
        from scipy import stats  # slow to import, and rarely needed

        with quiet(), np.errstate(all="ignore"):
            skew = stats.skew(np.concatenate((self._given, row[None])), axis=0)
        signs: Rows = np.sign(np.nan_to_num(skew))
        return signs
