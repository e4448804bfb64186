"""IForest: eight paths at a time.

Liu, Ting and Zhou, "Isolation Forest", ICDM 2008, as scikit-learn computes it. Eight rows go down
one tree in parallel, or one row goes down eight trees, so that the processor has eight loads in
flight. Each tree is stored as a complete tree: below node i are nodes 2i+1 and 2i+2, and an early
leaf fills all positions below it. So there is no child look-up, and no test for a leaf.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from detectd.detectors.kernels import Compiled, Unsupported
from detectd.jit import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.float64]
    Floats = NDArray[np.float32]
    Ints = NDArray[np.int32]

LANES = 8


def build(detector: Any) -> Compiled:
    """Build the kernel of a fitted IForest."""
    from sklearn.ensemble._iforest import _average_path_length

    forest = detector.detector_
    scale = len(forest.estimators_) * float(_average_path_length([forest._max_samples])[0])  # noqa: SLF001
    if not scale > 0:
        raise ValueError("a forest of single rows")
    depth = max(estimator.tree_.max_depth for estimator in forest.estimators_)
    if 2**depth > 4 * max(forest._max_samples, 1):  # noqa: SLF001
        raise Unsupported("trees deeper than an isolation forest's")
    laid_out = [
        _complete(estimator.tree_, columns, path + rest - 1.0, depth)
        for estimator, columns, path, rest in zip(
            forest.estimators_,
            forest.estimators_features_,
            forest._decision_path_lengths,  # noqa: SLF001 - the result is held against PyOD
            forest._average_path_length_per_tree,  # noqa: SLF001
            strict=True,
        )
    ]
    features, thresholds, values = (np.stack(part) for part in zip(*laid_out, strict=True))
    parts = (features, _float32_below(thresholds), values, depth, scale, float(forest.offset_))
    return Compiled(score, reference, parts, nanoseconds=2.0 * len(laid_out) * depth)


def _complete(tree: Any, columns: Any, length: Rows, depth: int) -> tuple[Ints, Rows, Rows]:
    """Return the features and thresholds (2^depth - 1,) of a tree, and the path lengths
    (2^depth,)."""
    leaf = tree.children_left < 0
    own = np.arange(tree.node_count)
    children = np.where(leaf, own, [tree.children_left, tree.children_right]).T
    feature = np.where(leaf, 0, np.asarray(columns)[np.where(leaf, 0, tree.feature)])
    threshold = np.where(leaf, np.inf, tree.threshold)
    levels = [np.zeros(1, dtype=np.intp)]
    for _ in range(depth):
        levels.append(children[levels[-1]].ravel())
    inner = np.concatenate(levels[:-1]) if depth else levels[0][:0]
    return feature[inner].astype(np.int32), threshold[inner], length[levels[-1]]


def _float32_below(thresholds: Rows) -> Floats:
    """Return the largest float32 that is not above each: a float32 is ≤ both or above both."""
    with np.errstate(over="ignore"):
        nearest = thresholds.astype(np.float32)
    above = nearest.astype(np.float64) > thresholds
    return np.where(above, np.nextafter(nearest, np.float32(-np.inf)), nearest)


def score(
    rows: Rows,
    out: Rows,
    feature: Ints,
    threshold: Floats,
    length: Rows,
    depth: int,
    scale: float,
    offset: float,
) -> None:
    """Compute path lengths with the kernel, then scores by the same operations as scikit-learn and
    PyOD."""
    _add_lengths(rows, out, feature, threshold, length, depth)
    np.divide(out, -scale, out=out)
    np.power(2.0, out, out=out)
    out += offset


@compiled
def _add_lengths(
    rows: Rows, out: Rows, feature: Ints, threshold: Floats, length: Rows, depth: int
) -> None:
    """Compute the sum over all trees of each row's path length, in the order of the trees."""
    width, inner = rows.shape[1], feature.shape[1]
    lanes = np.empty((width, LANES), np.float32)
    node = np.empty(LANES, np.int32)
    full = rows.shape[0] - rows.shape[0] % LANES
    for start in range(0, full, LANES):
        for lane in range(LANES):
            out[start + lane] = 0.0
            for j in range(width):
                lanes[j, lane] = np.float32(rows[start + lane, j])  # infinite beyond 3.4e38
        for tree in range(feature.shape[0]):
            features, thresholds, lengths = feature[tree], threshold[tree], length[tree]
            node[:] = 0
            for _ in range(depth):
                for lane in range(LANES):
                    at = node[lane]
                    right = lanes[features[at], lane] > thresholds[at]
                    node[lane] = 2 * at + 1 + right
            for lane in range(LANES):
                out[start + lane] += lengths[node[lane] - inner]
    for i in range(full, rows.shape[0]):
        for j in range(width):
            lanes[j, 0] = np.float32(rows[i, j])
        out[i] = _length(lanes, feature, threshold, length, depth, node)


@compiled
def _length(
    lanes: Floats, feature: Ints, threshold: Floats, length: Rows, depth: int, node: Ints
) -> float:
    """Return the same for the one row in lane 0, eight trees at a time."""
    trees, inner = feature.shape
    total = 0.0
    for start in range(0, trees, LANES):
        count = min(LANES, trees - start)
        node[:] = 0
        for _ in range(depth):
            for lane in range(count):
                at = node[lane]
                right = lanes[feature[start + lane, at], 0] > threshold[start + lane, at]
                node[lane] = 2 * at + 1 + right
        for lane in range(count):
            total += length[start + lane, node[lane] - inner]
    return total


def reference(
    rows: Rows,
    feature: Ints,
    threshold: Floats,
    length: Rows,
    depth: int,
    scale: float,
    offset: float,
) -> Rows:
    """Return the same in plain numpy, tree by tree."""
    with np.errstate(over="ignore"):
        narrow = rows.astype(np.float32)
    total = np.zeros(len(rows))
    for features, thresholds, lengths in zip(feature, threshold, length, strict=True):
        node = np.zeros(len(rows), dtype=np.intp)
        for _ in range(depth):
            right = narrow[np.arange(len(rows)), features[node]] > thresholds[node]
            node = 2 * node + 1 + right
        total += lengths[node - len(features)]
    return -(-(2 ** -(total / scale)) - offset)
