"""GMM: minus the logarithm of a mixture of normal densities.

Bishop, "Pattern Recognition and Machine Learning", 2006, section 9.2, as scikit-learn computes it:
a quadratic form for each component, by a triangular root of its precision if the covariance is
"full" or "tied", by three sums if it is "diag" or "spherical", then the logarithm of the sum. The
three sums cancel if means are far from zero relative to the spread, here as in scikit-learn.

If numbers overflow, the result, infinity or NaN, depends on BLAS's summation order; such rows are
left to the plain form, with the same products as PyOD computes for the row alone.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from detectd.detectors.kernels import Compiled, Unsupported
from detectd.detectors.kernels._sums import add_up
from detectd.jit import compiled

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Rows = NDArray[np.float64]

LOG_2PI = math.log(2 * math.pi)
# Beyond this, the three sums cancel to fewer than nine digits.
LARGEST = 1e-9 / float(np.finfo(np.float64).eps)


def build(detector: Any) -> Compiled:
    """Build the kernel of a fitted GMM."""
    from sklearn.mixture._gaussian_mixture import _compute_log_det_cholesky

    mixture = detector.detector_
    means = np.array(mixture.means_, dtype=np.float64, order="C")
    roots = np.array(mixture.precisions_cholesky_, dtype=np.float64, order="C")
    (count, width), kind = means.shape, mixture.covariance_type
    shapes = {
        "full": (count, width, width),
        "tied": (width, width),
        "diag": (count, width),
        "spherical": (count,),
    }
    if roots.shape != shapes[kind]:
        raise ValueError("roots of the precisions that do not fit the means")
    logs = np.empty((2, count))
    logs[0] = _compute_log_det_cholesky(roots, kind, width)
    logs[1] = np.log(mixture.weights_)
    if kind in ("full", "tied"):
        maps = np.ascontiguousarray(np.broadcast_to(roots, (count, width, width)))
        centres = np.stack([mean @ root for mean, root in zip(means, maps, strict=True)])
        parts: tuple[Rows, ...] = (maps, centres, logs)
        return Compiled(score_rooted, reference_rooted, parts, nanoseconds=1.0 * maps.size)
    parts = (*_sums(means, roots**2, kind), logs)
    return Compiled(score_summed, reference_summed, parts, nanoseconds=3.0 * means.size)


def _sums(means: Rows, precisions: Rows, kind: str) -> tuple[Rows, Rows, Rows]:
    """Return the factors of x and x² (k, d), and the third sum and a common factor (2, k)."""
    if kind == "diag":
        linear, square, factor = means * precisions, precisions, np.ones(len(means))
        third = np.sum(means**2 * precisions, axis=1)
    else:
        linear, square, factor = means, np.ones(means.shape), precisions
        third = np.sum(means**2, axis=1) * precisions
    if not float(third.max()) < LARGEST:
        raise Unsupported("means so far from zero that the sums cancel to BLAS's roundings")
    return linear, square, np.stack([third, factor])


def score_rooted(rows: Rows, out: Rows, *parts: Rows) -> None:
    """Run the kernel for "full" and "tied", then the plain form for rows that overflow."""
    if _score_rooted(rows, out, *parts):
        _settle(rows, out, reference_rooted, parts)


def score_summed(rows: Rows, out: Rows, *parts: Rows) -> None:
    """Do the same for "diag" and "spherical"."""
    if _score_summed(rows, out, *parts):
        _settle(rows, out, reference_summed, parts)


def _settle(rows: Rows, out: Rows, reference: Callable[..., Rows], parts: tuple[Rows, ...]) -> None:
    for i in np.flatnonzero(~np.isfinite(out)):
        out[i] = reference(rows[i : i + 1], *parts)[0]


@compiled
def _score_rooted(rows: Rows, out: Rows, maps: Rows, centres: Rows, logs: Rows) -> int:
    """Compute scores from roots (k, d, d) and transformed means (k, d); return how many
    overflow."""
    count, width = centres.shape
    cells = np.zeros(max(width, 8))
    densities = np.empty(count)
    wild = 0
    for i in range(rows.shape[0]):
        for k in range(count):
            cells[:width] = 0.0
            for j in range(width):
                for c in range(width):
                    cells[c] += rows[i, j] * maps[k, j, c]
            for c in range(width):
                cells[c] = (cells[c] - centres[k, c]) ** 2
            densities[k] = add_up(cells, width)
        out[i] = -_log_sum(densities, width, logs)
        wild += not np.isfinite(out[i])
    return wild


@compiled
def _score_summed(rows: Rows, out: Rows, linear: Rows, square: Rows, sums: Rows, logs: Rows) -> int:
    """Compute scores from three sums; return how many overflow."""
    count, width = linear.shape
    densities = np.empty(count)
    wild = 0
    for i in range(rows.shape[0]):
        for k in range(count):
            first = second = 0.0
            for j in range(width):
                x = rows[i, j]
                first += x * linear[k, j]
                second += x * x * square[k, j]
            densities[k] = sums[0, k] - 2.0 * (first * sums[1, k]) + second * sums[1, k]
        out[i] = -_log_sum(densities, width, logs)
        wild += not np.isfinite(out[i])
    return wild


@compiled
def _log_sum(densities: Rows, width: int, logs: Rows) -> float:
    """Return log Σ exp(−½·(d·log 2π + densities) + logs[0] + logs[1]); `densities` are overwritten.

    `logs` (2, k) are half the logarithms of the precisions' determinants, and of the weights.
    """
    most, at = -np.inf, 0
    for k in range(len(densities)):
        densities[k] = -0.5 * (width * LOG_2PI + densities[k]) + logs[0, k] + logs[1, k]
        if densities[k] > most:
            most, at = densities[k], k
    rest = 0.0
    for k in range(len(densities)):
        if k != at:
            rest += np.exp(densities[k] - most)
    total: float = np.log1p(rest) + most
    return total


@np.errstate(over="ignore", invalid="ignore")
def reference_rooted(rows: Rows, maps: Rows, centres: Rows, logs: Rows) -> Rows:
    """Return the same in plain numpy."""
    squares = [
        np.square(rows @ root - centre).sum(axis=1)
        for root, centre in zip(maps, centres, strict=True)
    ]
    return -_log_sums(np.stack(squares, axis=1), rows.shape[1], logs)


@np.errstate(over="ignore", invalid="ignore")
def reference_summed(rows: Rows, linear: Rows, square: Rows, sums: Rows, logs: Rows) -> Rows:
    """Return the same in plain numpy."""
    first, second = rows @ linear.T, rows**2 @ square.T
    squares = sums[0] - 2.0 * (first * sums[1]) + second * sums[1]
    return -_log_sums(squares, rows.shape[1], logs)


def _log_sums(squares: Rows, width: int, logs: Rows) -> Rows:
    densities = -0.5 * (width * LOG_2PI + squares) + logs[0] + logs[1]
    total: Rows = np.logaddexp.reduce(densities, axis=1)
    return total
