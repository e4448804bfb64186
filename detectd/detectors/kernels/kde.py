"""KDE: minus the logarithm of a sum of Gaussians around the training rows.

Parzen, "On Estimation of a Probability Density Function and Mode", 1962, as scikit-learn computes
it: Gray and Moore, "Nonparametric Density Estimation: Toward Computational Tractability", 2003,
with no tolerance. The density is first bounded from the boxes of a tree, and the bounds are then
replaced by the content of the boxes. Each bound that is added and subtracted again leaves a
rounding error in proportion to it. If the bounds were far above the final density, as they are for
rows outside of the training rows, scikit-learn returns little but rounding errors.

The kernel sums only the Gaussians, and bounds these rounding errors. If they could matter, the row
is left to PyOD, whose score depends on nothing but the row.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from detectd.detectors.kernels import Compiled, Unsupported
from detectd.detectors.kernels._blocks import EPSILON, add_squares
from detectd.detectors.kernels._exponentials import exponential
from detectd.detectors.kernels._kd_tree import take_apart
from detectd.detectors.scorer import BatchScorer
from detectd.jit import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.float64]

# An exponent this far below the nearest row's is negligible.
NOTHING = 50.0
# The relative change of a score by scikit-learn's rounding that is tolerated.
BLUR = 3e-10
LOG_2PI = math.log(2.0 * math.pi)


def build(detector: Any) -> Compiled:
    """Build the kernel of a fitted KDE."""
    density = detector.kde_
    if density.kernel != "gaussian" or density.rtol != 0 or density.atol != 0:
        raise Unsupported("no kernel for a shape other than a Gaussian, or for a tolerance")
    if density.metric not in ("minkowski", "euclidean") or density.metric_params:
        raise Unsupported(f"no kernel for the metric {density.metric!r}")
    tree = density.tree_
    if type(tree).__name__ != "KDTree" or not density.breadth_first:
        raise Unsupported("no kernel for this kind of tree or search")
    if tree.sample_weight is not None:
        raise Unsupported("no kernel for rows with weights")
    boxes, blocks, _ = take_apart(tree)
    corners = np.ascontiguousarray(boxes.transpose(1, 2, 0))
    count, width = int(np.isfinite(blocks[:, 0]).sum()), float(density.bandwidth_)
    constant = blocks.shape[1] * (0.5 * LOG_2PI + math.log(width)) + math.log(count)
    parts = (corners, blocks, 0.5 / width**2, constant, count)
    cost = count * (2.0 + 0.2 * blocks.shape[1])
    return Compiled(score, reference, parts, BatchScorer(detector), cost)


@compiled
def score(
    rows: Rows,
    out: Rows,
    corners: Rows,
    blocks: Rows,
    steepness: float,
    constant: float,
    count: int,
) -> int:
    """Compute scores from the corners (2, d, nodes) and leaves (leaves, d, width) of a tree over
    `count` rows; return how many rows are left as NaN.

    A training row at distance r adds exp(−steepness · r²), and `constant` is minus the logarithm of
    the sum's factor.
    """
    bounds = np.empty(corners.shape[2])
    squares = np.empty((blocks.shape[0], blocks.shape[2]))
    left = 0
    for i in range(rows.shape[0]):
        _bound(rows[i], corners, bounds)
        found, least = _gather(rows[i], blocks, bounds, steepness, squares)
        total = _sum_up(squares[:found], least, steepness)
        log_sum = np.log(total) - steepness * least
        out[i] = constant - log_sum
        blur = _blur(bounds, steepness, log_sum, count)
        if not blur <= BLUR * abs(out[i]) < np.inf:
            out[i] = np.nan
            left += 1
    return left


@compiled
def _bound(row: Rows, corners: Rows, bounds: Rows) -> None:
    """Compute the squared distances (nodes,) from a row to the boxes."""
    bounds[:] = 0.0
    for j in range(row.shape[0]):
        x = row[j]
        for node in range(bounds.shape[0]):
            step = max(corners[0, j, node] - x, x - corners[1, j, node], 0.0)
            bounds[node] += step * step


@compiled
def _gather(
    row: Rows, blocks: Rows, bounds: Rows, steepness: float, squares: Rows
) -> tuple[int, float]:
    """Fill `squares` (leaves, width) with the squared distances that matter.

    Return how many leaves have any, and the smallest distance.
    """
    inner = bounds.shape[0] - blocks.shape[0]
    nearest = int(np.argmin(bounds[inner:]))
    add_squares(row, blocks[nearest], squares[0])
    found, least = 1, squares[0].min()
    for leaf in range(blocks.shape[0]):
        if leaf != nearest and steepness * (bounds[inner + leaf] - least) < NOTHING:
            add_squares(row, blocks[leaf], squares[found])
            for square in squares[found]:
                least = min(least, square)
            found += 1
    return found, least


@compiled
def _sum_up(squares: Rows, least: float, steepness: float) -> float:
    """Return Σ exp(−steepness · (square − least))."""
    totals = np.zeros(squares.shape[1])
    for b in range(squares.shape[0]):
        for p in range(squares.shape[1]):
            totals[p] += exponential(-steepness * (squares[b, p] - least))
    total = 0.0
    for part in totals:
        total += part
    return total


@compiled
def _blur(bounds: Rows, steepness: float, log_sum: float, count: int) -> float:
    """Return the maximum effect of scikit-learn's rounding on the logarithm of the sum.

    It visits nodes from the nearest on. A node at a squared distance b causes up to three
    additions, in logarithms, to or from a bound of up to count · exp(−steepness · b); each is off
    by up to half the logarithm, and three, roundings. Each training row is added once, and these
    errors cancel like independent random ones. `bounds` is work space after this.
    """
    log_count, nearest = np.log(count), bounds[0]
    for node in range(len(bounds)):
        bound = bounds[node]
        weight = exponential(-steepness * (bound - nearest))
        bounds[node] = weight * (0.5 * (log_count + steepness * bound) + 3.0)
    total = 0.0
    for part in bounds:
        total += part
    above = np.exp(log_count - steepness * nearest - log_sum)
    own = 4.0 * np.sqrt(count) * (0.5 * abs(log_sum) + 3.0)
    blur: float = EPSILON * (3.0 * total * above + own)
    return blur


def reference(
    rows: Rows,
    corners: Rows,  # noqa: ARG001 - the kernel's
    blocks: Rows,
    steepness: float,
    constant: float,
    count: int,  # noqa: ARG001
) -> Rows:
    """Return the same in plain numpy, without a tree."""
    points = blocks.transpose(0, 2, 1).reshape(-1, blocks.shape[1])
    with np.errstate(over="ignore"):
        squares = ((rows[:, None] - points) ** 2).sum(axis=2)
    least = squares.min(axis=1)
    total = np.exp(-steepness * (squares - least[:, None])).sum(axis=1)
    scores: Rows = constant - np.log(total) + steepness * least
    return scores
