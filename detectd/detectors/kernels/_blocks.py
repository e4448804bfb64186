"""Points in blocks, so that a row is compared with many of them at a time.

A block holds its points in columns, (d, width). A squared distance is summed feature by feature, as
in PyOD's libraries, and the points of a block are independent: the processor handles as many at
once as fit in its vectors, and each still gets the same bits as alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from detectd.jit import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.float64]

# Wide enough for vectors, small enough for the fastest cache with a few dozen features.
WIDTH = 64
LANES = 8
EPSILON = float(np.finfo(np.float64).eps)
# The relative change of a score by PyOD's rounding that is tolerated.
NEGLIGIBLE = 1e-10


def blocked(points: Rows, width: int = WIDTH, filler: float = 0.0) -> Rows:
    """Return points (n, d) as (blocks, d, width); the last block is padded with `filler`."""
    count = max(1, -(-len(points) // width))
    blocks = np.full((count * width, points.shape[1]), filler)
    blocks[: len(points)] = points
    return np.ascontiguousarray(blocks.reshape(count, width, -1).transpose(0, 2, 1))


@compiled
def add_squares(row: Rows, block: Rows, out: Rows) -> None:
    """Compute the squared distances (width,) from a row (d,) to the points of a block."""
    features, width = block.shape
    paired = features - features % 2
    out[:] = 0.0
    for j in range(0, paired, 2):
        x, y = row[j], row[j + 1]
        for p in range(width):
            first, second = x - block[j, p], y - block[j + 1, p]
            out[p] = (out[p] + first * first) + second * second
    if paired < features:
        x = row[paired]
        for p in range(width):
            first = x - block[paired, p]
            out[p] += first * first


def product_error(features: int) -> float:
    """Return the relative error of a squared distance that scikit-learn computes from products.

    |x|² − 2xy + |y|² is off by up to this times max(|x|², |x − y|²): its three sums, each with up
    to `features` roundings, are at most (|x| + |y|)² ≤ 9·max(|x|², |x − y|²).
    """
    return 9.0 * (features + 4) * EPSILON
