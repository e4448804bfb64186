"""CBLOF: the distance to the nearest large cluster.

He, Xu and Deng, "Discovering Cluster-Based Local Outliers", Pattern Recognition Letters 2003, as
PyOD computes it with k-means: a row of a large cluster scores its distance to the centre, a row of
a small one the distance to the nearest large centre; both times the size of its own cluster if
weighted.

scikit-learn assigns rows to clusters by a matrix product, whose rounding decides between equally
near centres. If that could change a score, the row is left to PyOD.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from detectd.detectors.kernels import Compiled, Unsupported
from detectd.detectors.kernels._blocks import NEGLIGIBLE, add_squares, blocked, product_error
from detectd.detectors.scorer import RowScorer
from detectd.jit import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.float64]
    Flags = NDArray[np.bool_]


def build(detector: Any) -> Compiled:
    """Build the kernel of a fitted CBLOF."""
    kind = type(detector.clustering_estimator_)
    if kind.__name__ != "KMeans" or not kind.__module__.startswith("sklearn."):
        raise Unsupported(f"no kernel for clusters by {kind.__name__}")
    centres = np.array(detector.clustering_estimator_.cluster_centers_, dtype=np.float64)
    sizes = np.array(detector.cluster_sizes_, dtype=np.float64)
    if not np.array_equal(centres, detector.cluster_centers_) or len(sizes) != len(centres):
        raise ValueError("not one size for each cluster, or clusters that are not k-means's")
    large = np.zeros(len(centres), dtype=np.bool_)
    large[detector.large_cluster_labels_] = True
    if not large.any():
        raise ValueError("no large cluster")
    weights = sizes if detector.use_weights else np.ones(len(centres))
    block = blocked(centres, len(centres))[0]
    parts = (block, weights, large, product_error(centres.shape[1]))
    return Compiled(
        score, reference, parts, RowScorer(detector), nanoseconds=30.0 + 0.5 * centres.size
    )


@compiled
def score(rows: Rows, out: Rows, centres: Rows, weights: Rows, large: Flags, error: float) -> int:
    """Compute scores from the centres (d, clusters); return how many rows are left as NaN."""
    squares = np.empty(len(weights))
    left = 0
    for i in range(rows.shape[0]):
        add_squares(rows[i], centres, squares)
        size = 0.0
        for x in rows[i]:
            size += x * x
        own, near = 0, -1
        for c in range(len(weights)):
            own = c if squares[c] < squares[own] else own
            if large[c] and (near < 0 or squares[c] < squares[near]):
                near = c
        if _is_sure(size, squares, own, near, weights, large, error):
            out[i] = np.sqrt(squares[near]) * weights[own]
        else:
            out[i] = np.nan
            left += 1
    return left


@compiled
def _is_sure(
    size: float, squares: Rows, own: int, near: int, weights: Rows, large: Flags, error: float
) -> bool:
    """Return whether squares with an error of up to `error` · max(|x|², square) give the same
    score.

    For a row of a large cluster, the nearest large centre is its own.
    """
    for c in range(len(weights)):
        if weights[c] != weights[own] and not (
            squares[c] - squares[own] > error * (2.0 * size + squares[c] + squares[own])
        ):
            return False
        off = error * (2.0 * size + squares[c] + squares[near])
        if (
            large[c]
            and c != near
            and not (squares[c] - squares[near] > off or off < NEGLIGIBLE * squares[near])
        ):
            return False
    return True


def reference(
    rows: Rows,
    centres: Rows,
    weights: Rows,
    large: Flags,
    error: float,  # noqa: ARG001 - the kernel's
) -> Rows:
    """Return the same in plain numpy."""
    distances = np.sqrt(((rows[:, :, None] - centres) ** 2).sum(axis=1))
    scores: Rows = distances[:, large].min(axis=1) * weights[distances.argmin(axis=1)]
    return scores
