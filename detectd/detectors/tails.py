"""ECOD and COPOD for one row alone, in O(d log N), whatever rows share the call.

Both score a row by how far it lies in the tails of each feature's empirical distribution. PyOD
takes that distribution over the training rows *and* the whole batch, so that a score moves with
its neighbours. Here it is taken over the training rows and the row itself, which is what PyOD does
for a batch of one.

Li et al., "ECOD: Unsupervised Outlier Detection Using Empirical Cumulative Distribution
Functions", TKDE 2022; Li et al., "COPOD: Copula-Based Outlier Detection", ICDM 2020.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.float64]

# A third moment this small against the second is rounding: its sign is PyOD's to decide.
ROUNDING = 1e-6


class TailScorer:
    """A fitted ECOD or COPOD, by its training rows (N, d)."""

    def __init__(self, detector: Any) -> None:
        self._columns: Rows = np.sort(np.asarray(detector.X_train, dtype=np.float64), axis=0).T
        # In the order that they were given: the sign of a vanishing sum depends on it.
        self._given: Rows = np.asarray(detector.X_train, dtype=np.float64)
        self._extreme_tail = type(detector).__name__ == "ECOD"
        with np.errstate(over="ignore", invalid="ignore"):
            self._mean = self._given.mean(axis=0)
            shifted = self._given - self._mean
            self._second = np.sum(shifted**2, axis=0)
            self._third = np.sum(shifted**3, axis=0)

    def score(self, rows: Rows) -> Rows:
        """See `Scorer`."""
        scores = np.zeros(len(rows))
        size = len(self._given) + 1
        for j, column in enumerate(self._columns):
            x = rows[:, j]
            at_most = np.searchsorted(column, x, side="right") + 1
            at_least = size - np.searchsorted(column, x, side="left")
            left, right = -np.log(at_most / size), -np.log(at_least / size)
            skewed = self._skew_sign(x, j)
            towards = np.where(skewed < 0, left, np.where(skewed > 0, right, left + right))
            if self._extreme_tail:
                scores += np.maximum(towards, np.maximum(left, right))
            else:
                scores += np.maximum(towards, (left + right) / 2)
        return scores + 0.0

    def _skew_sign(self, x: Rows, j: int) -> Rows:
        """The sign of the skewness of feature j over the training rows and each of x (k,)."""
        n = len(self._given)
        with np.errstate(over="ignore", invalid="ignore"):
            step = x - self._mean[j]
            second = self._second[j] + step**2 * (n / (n + 1))
            third = (
                self._third[j]
                + step**3 * (n * (n - 1) / (n + 1) ** 2)
                - 3 * step * self._second[j] / (n + 1)
            )
            scale = second**1.5 / np.sqrt(n + 1)
            clear = np.isfinite(third) & np.isfinite(scale) & (np.abs(third) > ROUNDING * scale)
        sign: Rows = np.sign(third)
        for i in np.flatnonzero(~clear):
            sign[i] = self._skew_sign_as_pyod(x[i], j)
        return sign

    def _skew_sign_as_pyod(self, value: np.float64, j: int) -> float:
        """PyOD's own sum, where the sign hangs on its rounding or the moments overflow."""
        from scipy import stats  # slow to import, and rarely needed

        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            skew = stats.skew(np.append(self._given[:, j], value))
        return float(np.sign(np.nan_to_num(skew)))
