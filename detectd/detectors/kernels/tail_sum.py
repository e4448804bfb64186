"""TailSum: one pass over a row's columns. What it adds up is said in `detectd.detectors.tail_sum`.

The columns are added in their order, so it has the bits of the plain form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from detectd.detectors.kernels import Compiled
from detectd.detectors.tail_sum import score as reference
from detectd.jit import compiled

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.float64]
    Flags = NDArray[np.bool_]


def build(detector: Any) -> Compiled:
    """Take a fitted TailSum apart."""
    parts = (detector.weight_, detector.maximum_, float(detector.lift))
    return Compiled(score, reference, parts, nanoseconds=2.0 * len(detector.weight_))


@compiled
def score(rows: Rows, out: Rows, weights: Rows, maximum: Flags, lift: float) -> None:
    """Compute the weighted sum of the columns, or what a column with a maximum has beyond it."""
    for i in range(rows.shape[0]):
        total = most = 0.0
        for j in range(rows.shape[1]):
            x = abs(rows[i, j])
            if not maximum[j]:
                total += weights[j] * x
            elif x > 0.0:
                most = max(most, x + lift)
        out[i] = max(total, most)
