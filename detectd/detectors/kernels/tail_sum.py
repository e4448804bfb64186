"""TailSum: one pass over a row's columns; see `detectd.detectors.tail_sum`.

The columns are added in order, so the bits equal those of the plain form.
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
    """Build the kernel of a fitted TailSum."""
    parts = (detector.weight_, detector.maximum_, float(detector.lift))
    return Compiled(score, reference, parts, nanoseconds=2.0 * len(detector.weight_))


@compiled
def score(rows: Rows, out: Rows, weights: Rows, maximum: Flags, lift: float) -> None:
    """Compute the weighted sum of the columns, or the value of a maximum column if that is
    larger."""
    for i in range(rows.shape[0]):
        total = most = 0.0
        for j in range(rows.shape[1]):
            x = abs(rows[i, j])
            if not maximum[j]:
                total += weights[j] * x
            elif x > 0.0:
                most = max(most, x + lift)
        out[i] = max(total, most)
