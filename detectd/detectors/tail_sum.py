"""TailSum: the weighted sum of a row's columns, for columns that are surprises already.

ECOD sums how far each feature is in the tails of all training rows; this sums features that say how
far they are in the tails of their own key's past. It learns nothing from the training rows but the
number of columns.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from pyod.models.base import BaseDetector
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Rows = NDArray[np.float64]
    Flags = NDArray[np.bool_]

# The weight of a column that is not added to the sum of the others; the larger of the two counts.
MAXIMUM = "max"


class TailSum(BaseDetector):  # type: ignore[misc] # PyOD has no types
    """A PyOD detector with the score max(Σ wⱼ·|xⱼ|, |xₖ| + `lift`) of a row x.

    The sum is over the columns whose `weights` are numbers, k are those of weight "max" that are
    not 0. Without `weights`, all are 1.
    """

    def __init__(
        self,
        weights: Sequence[float | str] | None = None,
        lift: float = 1.5,
        contamination: float = 0.1,
    ) -> None:
        super().__init__(contamination=contamination)
        self.weights = weights
        self.lift = lift

    def fit(self, X: Any, y: Any = None) -> TailSum:
        """Store the scores of the training rows. Raise TypeError if `weights` do not fit."""
        rows = check_array(X)
        self._set_n_classes(y)
        self.weight_, self.maximum_ = understood(self.weights, self.lift, rows.shape[1])
        self.decision_scores_ = self.decision_function(rows)
        self._process_decision_scores()
        return self

    def decision_function(self, X: Any) -> Rows:
        """Return the scores (k,) of rows (k, d)."""
        check_is_fitted(self, ["weight_", "maximum_"])
        rows = check_array(X)
        if rows.shape[1] != len(self.weight_):
            raise ValueError(f"{rows.shape[1]} columns, but it was fitted to {len(self.weight_)}")
        return score(rows, self.weight_, self.maximum_, self.lift)


def understood(
    weights: Sequence[float | str] | None, lift: float, width: int
) -> tuple[Rows, Flags]:
    """Return the weights (d,) and which columns are maxima (d,). Raise TypeError for invalid
    weights."""
    given = [1.0] * width if weights is None else weights
    if isinstance(given, str) or len(given) != width:
        raise TypeError(f"weights: give one for each of the {width} columns, not {given!r}")
    maximum = np.array([each == MAXIMUM for each in given])
    numbers = [0.0 if each == MAXIMUM else each for each in given]
    for each in (*numbers, lift):
        if isinstance(each, bool | str) or not (math.isfinite(each) and each >= 0):
            raise TypeError(f'a weight or the lift must be a number >= 0, or "max", not {each!r}')
    found = np.array(numbers, dtype=np.float64)
    if not found.any() and not maximum.any():
        raise TypeError("weights: all are 0")
    return found, maximum


def score(rows: Rows, weights: Rows, maximum: Flags, lift: float) -> Rows:
    """Return the scores (k,), summed column by column, so that no row's bits depend on others."""
    total = np.zeros(len(rows))
    for j in np.flatnonzero(~maximum):
        total += weights[j] * np.abs(rows[:, j])
    for j in np.flatnonzero(maximum):
        alone = np.abs(rows[:, j])
        total = np.where(alone > 0, np.maximum(total, alone + lift), total)
    return total
