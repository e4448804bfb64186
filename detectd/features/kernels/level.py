"""Level: the mean of the last `window` values, x included, or of all if there are fewer.

params: window (events).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from detectd.jit import compiled_in_place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Row = NDArray[np.float64]

WINDOW = 0
# The state: the number of values so far, and a ring of them.
SEEN, RING = 0, 1


def words(params: Sequence[float]) -> int:
    """Return the size of the ring."""
    return RING + int(params[WINDOW])


@compiled_in_place
def step(state: Row, x: float, t_ms: float, params: Row, out: Row) -> None:  # noqa: ARG001
    """Compute the mean of the last values, from the first in the ring on."""
    if not np.isfinite(x):
        out[0] = np.nan
        return
    window = int(params[WINDOW])
    state[RING + int(state[SEEN]) % window] = x
    state[SEEN] += 1
    count = min(int(state[SEEN]), window)
    total = 0.0
    for i in range(count):
        total += state[RING + i]
    out[0] = total / count
