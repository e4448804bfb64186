"""HBOS: one histogram look-up for each feature.

Goldstein and Dengel, "Histogram-based Outlier Score (HBOS)", KI 2012, as PyOD computes it: the
logarithm of the density of the bin; well outside of the histogram, that of the least dense bin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from detectd.detectors.kernels import Compiled
from detectd.detectors.kernels._sums import add_up
from detectd.jit import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.float64]


def build(detector: Any) -> Compiled:
    """Build the kernel of a fitted HBOS; `hist_` and `bin_edges_` are columns, or lists if bins
    vary."""
    heights, edges = detector.hist_, detector.bin_edges_
    if isinstance(heights, np.ndarray):
        heights, edges = list(heights.T), list(edges.T)
    bins = np.array([len(height) for height in heights])
    if [len(edge) for edge in edges] != list(bins + 1):
        raise ValueError("a histogram without an edge on each side of each bin")
    most = int(bins.max())
    ends = np.full((len(bins), most + 1), np.inf)
    # One column below the first bin, one for each bin, one above the last, one for far away.
    scores = np.zeros((len(bins), most + 3))
    slack = np.empty((len(bins), 2))
    for j, (height, edge) in enumerate(zip(heights, edges, strict=True)):
        ends[j, : len(edge)] = edge
        depth = np.log2(height + detector.alpha)
        scores[j, : len(depth) + 2] = (depth[0], *depth, depth[-1])
        scores[j, -1] = depth.min()
        slack[j] = (edge[1] - edge[0]) * detector.tol, (edge[-1] - edge[-2]) * detector.tol
    cost = 8.0 * len(bins)
    return Compiled(score, reference, (ends, scores, slack, bins), nanoseconds=cost)


@compiled
def score(
    rows: Rows, out: Rows, ends: Rows, scores: Rows, slack: Rows, bins: NDArray[np.int64]
) -> None:
    """Compute the sum over the features in numpy's order, which gives PyOD's bits."""
    width = rows.shape[1]
    cells = np.zeros(max(width, 8))
    for i in range(rows.shape[0]):
        for j in range(width):
            x = rows[i, j]
            low, high = 0, bins[j] + 1
            while low < high:
                middle = (low + high) // 2
                if ends[j, middle] < x:
                    low = middle + 1
                else:
                    high = middle
            far = (low == 0 and not ends[j, 0] - x <= slack[j, 0]) or (
                low > bins[j] and not x - ends[j, bins[j]] <= slack[j, 1]
            )
            cells[j] = scores[j, -1] if far else scores[j, low]
        out[i] = -add_up(cells, width)


def reference(rows: Rows, ends: Rows, scores: Rows, slack: Rows, bins: NDArray[np.int64]) -> Rows:
    """Return the same in plain numpy, feature by feature."""
    cells = np.empty(rows.shape)
    for j, count in enumerate(bins):
        x = rows[:, j]
        found = np.searchsorted(ends[j, : count + 1], x)
        with np.errstate(over="ignore"):
            far = (found == 0) & ~(ends[j, 0] - x <= slack[j, 0])
            far |= (found > count) & ~(x - ends[j, count] <= slack[j, 1])
        cells[:, j] = np.where(far, scores[j, -1], scores[j, found])
    total: Rows = -cells.sum(axis=1)
    return total
