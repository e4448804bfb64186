"""IForest: all trees over eight rows at a time.

Liu, Ting and Zhou, "Isolation Forest", ICDM 2008, as scikit-learn computes it. Eight rows go down
one tree side by side, so that the processor has eight loads under way instead of waiting for one.
Every row takes as many steps as the tree is deep: a leaf is its own child, which spares the test
for having arrived.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from detectd.detectors.compiled import Compiled
from detectd.jit import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.float64]
    Floats = NDArray[np.float32]
    Ints = NDArray[np.int32]

LANES = 8


def build(detector: Any) -> Compiled:
    """Take a fitted IForest apart."""
    from sklearn.ensemble._iforest import _average_path_length

    forest = detector.detector_
    scale = len(forest.estimators_) * float(_average_path_length([forest._max_samples])[0])  # noqa: SLF001
    if not scale > 0:
        raise ValueError("a forest of single rows")
    features, thresholds, children, values, trees = [], [], [], [], []
    root = 0
    for tree, columns, path, rest in zip(
        (estimator.tree_ for estimator in forest.estimators_),
        forest.estimators_features_,
        forest._decision_path_lengths,  # noqa: SLF001 - the result is held against PyOD
        forest._average_path_length_per_tree,  # noqa: SLF001
        strict=True,
    ):
        leaf = tree.children_left < 0
        own = np.arange(tree.node_count)
        pair = np.column_stack([tree.children_left, tree.children_right])
        features.append(np.where(leaf, 0, np.asarray(columns)[np.where(leaf, 0, tree.feature)]))
        thresholds.append(np.where(leaf, np.inf, tree.threshold))
        children.append(root + np.where(leaf[:, None], own[:, None], pair))
        values.append(path + rest - 1.0)
        trees.append((root, tree.max_depth))
        root += tree.node_count
    parts = (
        np.concatenate(features).astype(np.int32),
        _float32_below(np.concatenate(thresholds)),
        np.concatenate(children).astype(np.int32).ravel(),
        np.concatenate(values),
        np.array(trees, dtype=np.int32),
        scale,
        float(forest.offset_),
    )
    return Compiled(score, reference, parts)


def _float32_below(thresholds: Rows) -> Floats:
    """The largest float32 that is not above each: a float32 is ≤ both or above both."""
    with np.errstate(over="ignore"):
        nearest = thresholds.astype(np.float32)
    above = nearest.astype(np.float64) > thresholds
    return np.where(above, np.nextafter(nearest, np.float32(-np.inf)), nearest)


def score(
    rows: Rows,
    out: Rows,
    feature: Ints,
    threshold: Floats,
    child: Ints,
    value: Rows,
    trees: Ints,
    scale: float,
    offset: float,
) -> None:
    """The kernel's depths to scores, by the operations that scikit-learn and PyOD take."""
    _add_depths(rows, out, feature, threshold, child, value, trees)
    out[:] = -(-(2 ** -(out / scale)) - offset)


@compiled
def _add_depths(
    rows: Rows,
    out: Rows,
    feature: Ints,
    threshold: Floats,
    child: Ints,
    value: Rows,
    trees: Ints,
) -> None:
    """The sum over all trees of each row's path length, added up in the order of the trees."""
    width = rows.shape[1]
    lanes = np.empty((width, LANES), np.float32)
    node = np.zeros(LANES, np.int32)
    for start in range(0, rows.shape[0], LANES):
        count = min(LANES, rows.shape[0] - start)
        for lane in range(count):
            out[start + lane] = 0.0
            for j in range(width):
                lanes[j, lane] = np.float32(rows[start + lane, j])  # infinite beyond 3.4e38
        for tree in range(trees.shape[0]):
            for lane in range(count):
                node[lane] = trees[tree, 0]
            for _ in range(trees[tree, 1]):
                for lane in range(count):
                    at = node[lane]
                    right = lanes[feature[at], lane] > threshold[at]
                    node[lane] = child[2 * at + right]
            for lane in range(count):
                out[start + lane] += value[node[lane]]


def reference(
    rows: Rows,
    feature: Ints,
    threshold: Floats,
    child: Ints,
    value: Rows,
    trees: Ints,
    scale: float,
    offset: float,
) -> Rows:
    """The same without a compiler, tree by tree."""
    with np.errstate(over="ignore"):
        narrow = rows.astype(np.float32)
    depths = np.zeros(len(rows))
    for root, depth in trees:
        node = np.full(len(rows), root)
        for _ in range(depth):
            right = narrow[np.arange(len(rows)), feature[node]] > threshold[node]
            node = child[2 * node + right]
        depths += value[node]
    return -(-(2 ** -(depths / scale)) - offset)
