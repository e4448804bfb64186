"""PCA and MCD: distances under one linear map.

PCA   Shyu et al., "A Novel Anomaly Detection Scheme Based on Principal Component Classifier", 2003,
      as PyOD computes it: the sum of the distances from the standardized row to the selected unit
      eigenvectors, each over its share of the variance if weighted. Whitening changes nothing.
MCD   the squared Mahalanobis distance from the robust location (Rousseeuw and Van Driessen, "A
      Fast Algorithm for the Minimum Covariance Determinant Estimator", Technometrics 1999).

The matrices are stored so that the innermost loop runs over independent sums: these run in
parallel, and each still adds up in PyOD's order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from detectd.detectors.kernels import Compiled, Unsupported
from detectd.detectors.kernels._sums import add_up
from detectd.jit import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.float64]


def build(detector: Any) -> Compiled:
    """Build the kernel of a fitted PCA or MCD."""
    return _pca(detector) if type(detector).__name__ == "PCA" else _mcd(detector)


def _pca(detector: Any) -> Compiled:
    axes = np.array(detector.selected_components_.T, dtype=np.float64, order="C")
    shares = np.array(detector.selected_w_components_, dtype=np.float64)
    if not (shares > 0).all():
        raise Unsupported("a selected component has no variance")
    centre, scale = np.zeros(len(axes)), np.ones(len(axes))
    if detector.standardization:
        centre, scale = detector.scaler_.mean_.copy(), detector.scaler_.scale_.copy()
    if not (centre.shape == scale.shape == axes[:, 0].shape and shares.shape == axes[0].shape):
        raise ValueError("components that do not fit the features or their weights")
    if not (scale > 0).all():
        raise ValueError("a scale that is not positive")
    parts = (centre, scale, axes, shares)
    return Compiled(component_distances, reference_pca, parts, nanoseconds=1.5 * axes.size)


def _mcd(detector: Any) -> Compiled:
    location = np.array(detector.detector_.location_, dtype=np.float64)
    precision = np.array(detector.detector_.get_precision().T, dtype=np.float64, order="C")
    if precision.shape != location.shape * 2:
        raise ValueError("a precision matrix that does not fit the location")
    parts, cost = (location, precision), 1.0 * precision.size
    return Compiled(squared_mahalanobis, reference_mcd, parts, nanoseconds=cost)


@compiled
def component_distances(
    rows: Rows, out: Rows, centre: Rows, scale: Rows, axes: Rows, shares: Rows
) -> None:
    """Compute PCA's scores from axes (d, components) and shares of the variance (components,)."""
    width, count = axes.shape
    cells = np.zeros(max(count, 8))
    for i in range(rows.shape[0]):
        cells[:count] = 0.0
        for j in range(width):
            z = (rows[i, j] - centre[j]) / scale[j]
            for c in range(count):
                step = z - axes[j, c]
                cells[c] += step * step
        for c in range(count):
            cells[c] = np.sqrt(cells[c]) / shares[c]
        out[i] = add_up(cells, count)


@compiled
def squared_mahalanobis(rows: Rows, out: Rows, location: Rows, precision: Rows) -> None:
    """Compute (x − location)ᵀ · precision · (x − location) from the transpose of precision (d, d).

    Each sum is in the order of `_dot`: if features are almost collinear, large terms cancel, and
    only the same rounding gives the same remainder.
    """
    width = len(location)
    steps, turned, odd = np.empty(width), np.empty(width), np.empty(width)
    for i in range(rows.shape[0]):
        turned[:] = 0.0
        odd[:] = 0.0
        for j in range(width):
            steps[j] = rows[i, j] - location[j]
        for j in range(0, width - 1, 2):
            for c in range(width):
                turned[c] += steps[j] * precision[j, c]
                odd[c] += steps[j + 1] * precision[j + 1, c]
        for c in range(width):
            turned[c] += odd[c]
            if width % 2:
                turned[c] += steps[-1] * precision[-1, c]
        # The root and its square, as in PyOD: NaN below zero.
        out[i] = np.sqrt(_dot(steps, turned)) ** 2


@compiled
def _dot(a: Rows, b: Rows) -> float:
    """Return the sum of the products in SciPy's order: the even ones, the odd ones, and the
    rest."""
    even = odd = 0.0
    for j in range(0, len(a) - 1, 2):
        even += a[j] * b[j]
        odd += a[j + 1] * b[j + 1]
    return even + odd + a[-1] * b[-1] if len(a) % 2 else even + odd


def reference_pca(rows: Rows, centre: Rows, scale: Rows, axes: Rows, shares: Rows) -> Rows:
    """Return the same in plain numpy."""
    with np.errstate(over="ignore"):
        z = (rows - centre) / scale
        squares = (z[:, :, None] - axes) ** 2
        total: Rows = (np.sqrt(squares.sum(axis=1)) / shares).sum(axis=1)
    return total


def reference_mcd(rows: Rows, location: Rows, precision: Rows) -> Rows:
    """Return the same in plain numpy."""
    with np.errstate(over="ignore", invalid="ignore"):
        steps = rows - location
        total: Rows = np.sqrt(np.einsum("ij,jc,ic->i", steps, precision, steps)) ** 2
    return total
