"""INNE: the spheres around sampled rows that contain a row.

Bandaragoda et al., "Isolation-based Anomaly Detection Using Nearest-Neighbor Ensembles",
Computational Intelligence 2018, as PyOD computes it: each sampled row has a sphere that reaches to
its nearest neighbour in the sample; a row scores the ratio of the smallest sphere that contains it,
1 if none does, averaged over the samples.

PyOD computes squared distances by a matrix product. The sampled rows themselves lie on spheres,
where the rounding of that product decides; such a sample's distances are computed by the same call
that PyOD makes for the row alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from detectd.detectors.kernels import Compiled, Unsupported
from detectd.detectors.kernels._blocks import add_squares, blocked, product_error
from detectd.jit import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.float64]


def build(detector: Any) -> Compiled:
    """Build the kernel of a fitted INNE."""
    centroids = np.array(detector._centroids, dtype=np.float64)  # noqa: SLF001 - held against PyOD
    spheres = np.array([detector._centroids_radius, detector._ratio], dtype=np.float64)  # noqa: SLF001
    if centroids.ndim != 3 or spheres.shape != (2, *centroids.shape[:2]):
        raise ValueError("not one radius and one ratio for each centroid")
    if not np.isfinite(spheres).all():
        raise Unsupported("samples of a single row")
    points = centroids.reshape(-1, centroids.shape[2])
    parts = (blocked(points), spheres, centroids, product_error(points.shape[1]))
    return Compiled(score, reference, parts, nanoseconds=0.4 * points.size)


def score(
    rows: Rows, out: Rows, blocks: Rows, spheres: Rows, centroids: Rows, error: float
) -> None:
    """Run the kernel, then recompute, row by row, the samples with the row on a sphere."""
    from sklearn.metrics import euclidean_distances

    if not _score(rows, out, blocks, spheres, error):
        return
    found, squares = np.empty(len(centroids)), np.empty(blocks[:, 0].size)
    for i in np.flatnonzero(np.isnan(out)):
        _find(rows[i], found, squares, blocks, spheres, error)
        for t in np.flatnonzero(np.isnan(found)):
            squared = euclidean_distances(rows[i : i + 1], centroids[t], squared=True)
            found[t] = _smallest(squared, spheres[:, t])[0]
        out[i] = np.mean(found)


@compiled
def _score(rows: Rows, out: Rows, blocks: Rows, spheres: Rows, error: float) -> int:
    """Compute the scores of the rows, NaN for those on a sphere; return how many those are."""
    found = np.empty(spheres.shape[1])
    squares = np.empty(blocks.shape[0] * blocks.shape[2])
    unsure = 0
    for i in range(rows.shape[0]):
        _find(rows[i], found, squares, blocks, spheres, error)
        total = 0.0
        for ratio in found:
            total += ratio
        out[i] = total / found.shape[0]
        unsure += np.isnan(total)
    return unsure


@compiled
def _find(row: Rows, found: Rows, squares: Rows, blocks: Rows, spheres: Rows, error: float) -> None:
    """Compute, for each sample, the ratio of the smallest sphere with the row; NaN if unclear."""
    width = blocks.shape[2]
    for b in range(blocks.shape[0]):
        add_squares(row, blocks[b], squares[b * width : (b + 1) * width])
    size = 0.0
    for x in row:
        size += x * x
    radii, ratios = spheres[0], spheres[1]
    samples, count = radii.shape
    for t in range(samples):
        smallest = unsure = np.inf
        ratio = 1.0
        for p in range(count):
            square, radius = squares[t * count + p], radii[t, p]
            close = abs(square - radius) <= error * max(size, square) < np.inf
            smaller = (square < radius) & (radius < smallest) & (not close)
            # Branch-free, since branches would be unpredictable.
            unsure = radius if close & (radius < unsure) else unsure
            ratio = ratios[t, p] if smaller else ratio
            smallest = radius if smaller else smallest
        found[t] = ratio if smallest < unsure or unsure == np.inf else np.nan


def _smallest(squares: Rows, spheres: Rows) -> Rows:
    """Return the same for rows by their squared distances (k, count), with the same comparisons."""
    radii, ratios = spheres
    holding = np.where(squares <= radii, radii, np.inf)
    found: Rows = np.where(holding.min(axis=1) < np.inf, ratios[holding.argmin(axis=1)], 1.0)
    return found


def reference(
    rows: Rows,
    blocks: Rows,  # noqa: ARG001 - the kernel's
    spheres: Rows,
    centroids: Rows,
    error: float,  # noqa: ARG001
) -> Rows:
    """Return the same in plain numpy, sample by sample."""
    scores = np.zeros(len(rows))
    for t, sample in enumerate(centroids):
        with np.errstate(over="ignore"):
            squares = ((rows[:, None] - sample) ** 2).sum(axis=2)
        scores += _smallest(squares, spheres[:, t])
    return scores / len(centroids)
