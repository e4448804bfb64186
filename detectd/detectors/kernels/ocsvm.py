"""OCSVM: a sum of Gaussians around the support vectors.

Schölkopf et al., "Estimating the Support of a High-Dimensional Distribution", Neural Computation
2001, as libsvm computes it with the kernel exp(−γ|x − y|²). The other kernels are products with
BLAS's rounding, and are left to PyOD.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from detectd.detectors.kernels import Compiled, Unsupported
from detectd.detectors.kernels._blocks import WIDTH, add_squares, blocked
from detectd.detectors.kernels._exponentials import exponential
from detectd.jit import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.float64]


def build(detector: Any) -> Compiled:
    """Build the kernel of a fitted OCSVM."""
    machine = detector.detector_
    if machine.kernel != "rbf":
        raise Unsupported(f"no kernel for the kernel {machine.kernel!r}")
    vectors = np.array(machine.support_vectors_, dtype=np.float64)
    weights = np.array(machine.dual_coef_, dtype=np.float64).reshape(-1, 1)
    gamma, intercept = float(machine._gamma), float(machine.intercept_[0])  # noqa: SLF001
    if len(weights) != len(vectors) or not gamma > 0:
        raise ValueError("not one weight for each support vector, or a gamma that is not positive")
    parts = (blocked(vectors), blocked(weights)[:, 0].copy(), gamma, intercept)
    return Compiled(
        score, reference, parts, nanoseconds=len(vectors) * (2.0 + 0.2 * vectors.shape[1])
    )


@compiled
def score(
    rows: Rows, out: Rows, blocks: Rows, weights: Rows, gamma: float, intercept: float
) -> None:
    """Compute scores from the support vectors in blocks and their weights (blocks, width)."""
    squares, totals = np.empty(WIDTH), np.empty(WIDTH)
    for i in range(rows.shape[0]):
        totals[:] = 0.0
        for b in range(blocks.shape[0]):
            add_squares(rows[i], blocks[b], squares)
            for p in range(WIDTH):
                totals[p] += weights[b, p] * exponential(-gamma * squares[p])
        total = 0.0
        for part in totals:
            total += part
        out[i] = -(total + intercept)


def reference(rows: Rows, blocks: Rows, weights: Rows, gamma: float, intercept: float) -> Rows:
    """Return the same in plain numpy."""
    vectors = blocks.transpose(0, 2, 1).reshape(-1, blocks.shape[1])
    with np.errstate(over="ignore"):
        squares = ((rows[:, None] - vectors) ** 2).sum(axis=2)
    scores: Rows = -(np.exp(-gamma * squares) @ weights.ravel() + intercept)
    return scores
