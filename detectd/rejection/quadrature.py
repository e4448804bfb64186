"""Means under a Beta distribution with integer parameters, to nine digits and mostly twelve.

The integrands have kinks whose positions are tedious to derive, so a panel of the Gauss-Lobatto
rule is halved if its two halves give a different result. The nodes include the ends of a panel,
near which a Gauss-Legendre rule could miss a kink.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import special

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

POINTS = 12
LEGENDRE = np.polynomial.Legendre.basis(POINTS - 1)
NODES: Array = np.concatenate([[-1.0], LEGENDRE.deriv().roots().real, [1.0]])
WEIGHTS: Array = 2.0 / (POINTS * (POINTS - 1) * LEGENDRE(NODES) ** 2)
PANELS = 48
HALVINGS = 40
TOLERANCE = 1e-13
TAIL = 1e-18


def beta_mean(function: Callable[[Array], Array], alpha: int, beta: int) -> float:
    """Return E[function(X)] for X ~ Beta(alpha, beta); X is 0 if alpha is 0, and 1 if beta is 0.

    `function` maps (k,) to (k,), is continuous with values in [0, 1], and changes no faster than
    the distribution itself. The absolute error is about 1e-12, and below 1e-9 for an awkward kink.
    """
    if alpha == 0 or beta == 0:
        return float(function(np.array([0.0 if alpha == 0 else 1.0]))[0])
    low = float(special.betaincinv(alpha, beta, TAIL))
    high = float(special.betainccinv(alpha, beta, TAIL))
    centre = alpha / (alpha + beta)
    width = high - low

    # Relative to the density at the mean, so that no Gamma function of a large number loses digits.
    def weighted(x: Array) -> Array:
        shift = x - centre
        log_density = special.xlog1py(alpha - 1, shift / centre)
        log_density += special.xlog1py(beta - 1, -shift / (1.0 - centre))
        density: Array = np.exp(log_density)
        return np.stack([density * function(x), density])

    value, mass = _integral(weighted, low, width)
    return float(value / mass)


def _integral(function: Callable[[Array], Array], low: float, width: float) -> Array:
    """Return the integrals of two functions, both at once, in units of the width."""
    starts, steps = np.arange(PANELS) / PANELS, np.full(PANELS, 1.0 / PANELS)

    def scaled(x: Array) -> Array:
        return function(low + width * x)

    total = np.zeros(2)
    whole = _panels(scaled, starts, steps)
    for _ in range(HALVINGS):
        halves = np.repeat(steps / 2.0, 2)
        begins = np.stack([starts, starts + steps / 2.0], axis=1).ravel()
        finer = _panels(scaled, begins, halves)
        sums = finer.reshape(2, -1, 2).sum(axis=2)
        unsettled = np.abs(sums - whole).max(axis=0) > TOLERANCE
        total += sums[:, ~unsettled].sum(axis=1)
        again = np.repeat(unsettled, 2)
        starts, steps, whole = begins[again], halves[again], finer[:, again]
        if not starts.size:
            break
    total += whole.sum(axis=1)
    return total


def _panels(function: Callable[[Array], Array], starts: Array, steps: Array) -> Array:
    """Return Gauss-Lobatto sums, (2, k), over k panels."""
    points = starts[:, None] + steps[:, None] * (NODES + 1.0) / 2.0
    values = function(points.ravel()).reshape(2, *points.shape)
    result: Array = (values @ WEIGHTS) * (steps / 2.0)
    return result
