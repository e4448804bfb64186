"""Means under a Beta distribution with whole parameters, to about twelve digits.

Functions of interest have kinks and steep places whose position nobody wants to work out, so the
panels of a Gauss-Legendre rule are halved where a panel and its two halves disagree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import special

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

NODES, WEIGHTS = np.polynomial.legendre.leggauss(12)
PANELS = 48
HALVINGS = 50
TOLERANCE = 1e-13
TAIL = 1e-18


def beta_mean(function: Callable[[Array], Array], alpha: int, beta: int) -> float:
    """E[function(X)] for X ~ Beta(alpha, beta) and values in [0, 1]; X is 1 or 0 where one is 0.

    `function` maps (k,) to (k,). The absolute error is about 1e-12.
    """
    if alpha == 0 or beta == 0:
        return float(function(np.array([0.0 if alpha == 0 else 1.0]))[0])
    low = float(special.betaincinv(alpha, beta, TAIL))
    high = float(special.betainccinv(alpha, beta, TAIL))
    centre = alpha / (alpha + beta)
    width = high - low

    # Relative to the density at the mean, so that no Gamma function of a large number eats digits.
    def weighted(x: Array) -> Array:
        shift = x - centre
        log_density = (alpha - 1) * np.log1p(shift / centre)
        log_density += (beta - 1) * np.log1p(-shift / (1.0 - centre))
        density: Array = np.exp(log_density)
        return np.stack([density * function(x), density])

    value, mass = _integral(weighted, low, width)
    return float(value / mass)


def _integral(function: Callable[[Array], Array], low: float, width: float) -> Array:
    """The integrals of two functions, relative to the width; both at once."""
    starts = low + width * np.arange(PANELS) / PANELS
    step = 1.0 / PANELS
    total = np.zeros(2)
    whole = _panels(function, starts, step, width)
    for _ in range(HALVINGS):
        step /= 2.0
        halves = np.stack([starts, starts + step * width], axis=1).ravel()
        parts = _panels(function, halves, step, width)
        finer: Array = parts.reshape(2, -1, 2).sum(axis=2)
        open_ = np.abs(finer - whole).max(axis=0) > TOLERANCE
        total += finer[:, ~open_].sum(axis=1)
        if not open_.any():
            return total
        starts = halves.reshape(-1, 2)[open_].ravel()
        whole = parts.reshape(2, -1, 2)[:, open_].reshape(2, -1)
    return total + whole.sum(axis=1)


def _panels(function: Callable[[Array], Array], starts: Array, step: float, width: float) -> Array:
    points = starts[:, None] + (step * width / 2.0) * (NODES + 1.0)
    values = function(points.ravel()).reshape(2, *points.shape)
    result: Array = (values @ WEIGHTS) * (step / 2.0)
    return result
