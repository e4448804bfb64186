"""Reproducible pseudo-random numbers: one per event, derived from its number alone."""

from __future__ import annotations

import numpy as np

from detectd.jit import compiled


@compiled
def lot(event: int) -> float:
    """Return a number in [0, 1) for the event, always the same (splitmix64)."""
    z = np.uint64(event) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return float(z >> np.uint64(11)) * 2.0**-53
