"""KNN and LOF: distances to the nearest training rows.

KNN  Ramaswamy, Rastogi and Shim, "Efficient Algorithms for Mining Outliers from Large Data Sets",
     SIGMOD 2000: the largest, the mean or the median of the distances to k neighbours.
LOF  Breunig, Kriegel, Ng and Sander, "LOF: Identifying Density-Based Local Outliers", SIGMOD 2000:
     the mean of the neighbours' densities over the row's own. A density is the inverse of the mean
     reachability distance, the larger of the distance and of the neighbour's own k-distance.

Beyond 15 features, or for very many neighbours, scikit-learn computes distances by a matrix
product, |x|² − 2xy + |y|². If that loses digits that a score depends on, or decides which of
several rows at one distance are LOF's neighbours, the row is left to PyOD.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from detectd.detectors.kernels import Compiled, Unsupported
from detectd.detectors.kernels._blocks import NEGLIGIBLE, product_error
from detectd.detectors.kernels._kd_tree import Tree, find_nearest, take_apart
from detectd.detectors.scorer import RowScorer
from detectd.jit import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.float64]
    Ints = NDArray[np.int64]

LARGEST, MEAN, MEDIAN = 0, 1, 2
METHODS = {"largest": LARGEST, "mean": MEAN, "median": MEDIAN}


def build(detector: Any) -> Compiled:
    """Build the kernel of a fitted KNN or LOF."""
    if type(detector).__name__ == "KNN":
        return _knn(detector)
    return _lof(detector)


def _knn(detector: Any) -> Compiled:
    if detector.method not in METHODS:
        raise Unsupported(f"no kernel for the method {detector.method!r}")
    tree, error = _searched(detector.neigh_)
    count = _neighbours(detector.n_neighbors, tree)
    parts = (*tree, count, METHODS[detector.method], error)
    return Compiled(distances, reference_knn, parts, RowScorer(detector), _cost(tree))


def _lof(detector: Any) -> Compiled:
    factors = detector.detector_
    if not factors.novelty:
        raise Unsupported("a LOF that scores no new rows")
    tree, error = _searched(factors)
    count = _neighbours(factors.n_neighbors_, tree)
    reach = np.array(factors._distances_fit_X_[:, count - 1], dtype=np.float64)
    densities = np.array(factors._lrd, dtype=np.float64)  # noqa: SLF001 - held against PyOD
    if not len(reach) == len(densities) == factors.n_samples_fit_:
        raise ValueError("not one density for each training row")
    parts = (*tree, count, np.stack([reach, densities]), error)
    return Compiled(local_outlier_factors, reference_lof, parts, RowScorer(detector), _cost(tree))


def _searched(search: Any) -> tuple[Tree, float]:
    """Return the tree of a neighbour search, and the error of its squared distances: 0 if they come
    from the tree."""
    if search.effective_metric_ != "euclidean":
        raise Unsupported(f"no kernel for the metric {search.effective_metric_!r}")
    if search._fit_method == "kd_tree":  # noqa: SLF001 - the result is held against PyOD
        return take_apart(search._tree), 0.0  # noqa: SLF001
    if search._fit_method != "brute":  # noqa: SLF001
        raise Unsupported("no kernel for this kind of tree")
    from sklearn.neighbors import KDTree

    rows = np.array(search._fit_X, dtype=np.float64)  # noqa: SLF001
    return take_apart(KDTree(rows)), product_error(rows.shape[1])


def _neighbours(count: int, tree: Tree) -> int:
    if not 1 <= count <= np.isfinite(tree.blocks[:, 0]).sum():
        raise Unsupported("more neighbours than rows")
    return int(count)


def _cost(tree: Tree) -> float:
    """Return the cost of visiting half of the leaves, in nanoseconds."""
    return 0.2 * tree.blocks.size


@compiled
def distances(
    rows: Rows,
    out: Rows,
    boxes: Rows,
    blocks: Rows,
    places: Ints,
    count: int,
    method: int,
    error: float,
) -> int:
    """Compute KNN's scores; return how many rows are left as NaN."""
    squares, near = np.empty(count), np.empty(count, np.int64)
    waiting, bounds, leaf = np.empty(64, np.int64), np.empty(64), np.empty(blocks.shape[2])
    left = 0
    for i in range(rows.shape[0]):
        row = rows[i]
        find_nearest(row, boxes, blocks, places, squares, near, waiting, bounds, leaf)
        counted = squares[0] if method == LARGEST else squares.min()
        if error > 0.0 and not error * max(_square(row), counted) <= NEGLIGIBLE * counted < np.inf:
            out[i] = np.nan
            left += 1
        elif method == LARGEST:
            out[i] = np.sqrt(squares[0])
        elif method == MEAN:
            out[i] = _mean_root(squares)
        else:
            squares.sort()
            middle = np.sqrt(squares[count // 2])
            out[i] = (np.sqrt(squares[(count - 1) // 2]) + middle) / 2.0
    return left


@compiled
def local_outlier_factors(
    rows: Rows,
    out: Rows,
    boxes: Rows,
    blocks: Rows,
    places: Ints,
    count: int,
    training: Rows,
    error: float,
) -> int:
    """Compute LOF's scores from the k-distances and densities (2, n); return how many are left as
    NaN."""
    searched = count + 1 if error > 0.0 else count
    squares, near = np.empty(searched), np.empty(searched, np.int64)
    waiting, bounds, leaf = np.empty(64, np.int64), np.empty(64), np.empty(blocks.shape[2])
    left = 0
    for i in range(rows.shape[0]):
        find_nearest(rows[i], boxes, blocks, places, squares, near, waiting, bounds, leaf)
        if error > 0.0 and not _is_sure(_square(rows[i]), squares, near, training[0], error):
            out[i] = np.nan
            left += 1
            continue
        reach = density = 0.0
        for k in range(searched - count, searched):
            reach += max(np.sqrt(squares[k]), training[0, near[k]])
            density += training[1, near[k]]
        out[i] = density / count * (reach / count + 1e-10)
    return left


@compiled
def _mean_root(squares: Rows) -> float:
    total = 0.0
    for square in squares:
        total += math.sqrt(square)
    return total / len(squares)


@compiled
def _square(row: Rows) -> float:
    total = 0.0
    for x in row:
        total += x * x
    return total


@compiled
def _is_sure(size: float, squares: Rows, near: Ints, reach: Rows, error: float) -> bool:
    """Return whether distances with an error of `error` give the same neighbours and
    reachabilities.

    `squares` is a heap of the neighbours and one more row, which is the first, and `size` is |x|²;
    so the error of the squares is up to error · max(|x|², square).
    """
    nearest_other, last = squares[0], squares[1:].max()
    if not nearest_other - last > 2.0 * error * max(size, nearest_other):
        return False
    for k in range(1, squares.shape[0]):
        counted = max(squares[k], reach[near[k]] ** 2)
        if not error * max(size, squares[k]) <= NEGLIGIBLE * counted:
            return False
    return bool(nearest_other < np.inf)


def reference_knn(
    rows: Rows,
    boxes: Rows,  # noqa: ARG001 - the kernel's
    blocks: Rows,
    places: Ints,
    count: int,
    method: int,
    error: float,  # noqa: ARG001
) -> Rows:
    """Return the same in plain numpy, without a tree."""
    found, _ = _nearest(rows, blocks, places, count)
    if method == LARGEST:
        return found[:, -1]
    summary: Rows = np.mean(found, axis=1) if method == MEAN else np.median(found, axis=1)
    return summary


def reference_lof(
    rows: Rows,
    boxes: Rows,  # noqa: ARG001 - the kernel's
    blocks: Rows,
    places: Ints,
    count: int,
    training: Rows,
    error: float,  # noqa: ARG001
) -> Rows:
    """Return the same in plain numpy, without a tree."""
    found, near = _nearest(rows, blocks, places, count)
    reach = np.maximum(found, training[0, near]).mean(axis=1)
    ratios = training[1, near] * (reach + 1e-10)[:, None]
    factors: Rows = ratios.mean(axis=1)
    return factors


def _nearest(rows: Rows, blocks: Rows, places: Ints, count: int) -> tuple[Rows, Ints]:
    """Return the distances to the nearest rows, sorted, and their indices: (k, count) each."""
    points, order = blocks.transpose(0, 2, 1).reshape(-1, blocks.shape[1]), places.ravel()
    with np.errstate(over="ignore"):
        found = np.array([np.sqrt(((points - row) ** 2).sum(axis=1)) for row in rows])
    nearest = np.argsort(found, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(found, nearest, axis=1), order[nearest]
