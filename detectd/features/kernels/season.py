"""Season: the deviation of a value from its key's usual value at this time of day or week.

After x, D[slot] += max(1/n_slot, α)·(x − D[slot]); the feature is x − D[slot] before that, in the
units of the value. An empty slot predicts the last value, from whichever slot. An event without a
time has no season.

params: period (ms), slots per period, α, offset of the clock from UTC (ms).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from detectd.jit import compiled_in_place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Row = NDArray[np.float64]

PERIOD, SLOTS, ALPHA, AHEAD = 0, 1, 2, 3

# The state: whether there was a value, the last one, D, and the counts n in 16 bits each.
SEEN, LAST, MEANS = 0, 1, 2
MOST = 65_535


def words(params: Sequence[float]) -> int:
    """Return the size of a mean and a count for each slot."""
    return MEANS + int(params[SLOTS]) + -(-int(params[SLOTS]) // 4)


@compiled_in_place
def step(state: Row, x: float, t_ms: float, params: Row, out: Row) -> None:
    """Compute the deviation of x from its slot's mean, and update that mean."""
    if not (np.isfinite(x) and np.isfinite(t_ms)):
        out[0] = np.nan
        return
    slots = int(params[SLOTS])
    turn = ((t_ms + params[AHEAD]) % params[PERIOD]) / params[PERIOD]
    slot = min(int(turn * slots), slots - 1)
    means, counts = state[MEANS : MEANS + slots], state[MEANS + slots :].view(np.uint16)
    if counts[slot] > 0:
        out[0] = x - means[slot]
    else:
        out[0] = x - state[LAST] if state[SEEN] > 0.0 else 0.0
    if counts[slot] < MOST:
        counts[slot] += 1
    means[slot] += max(1.0 / counts[slot], params[ALPHA]) * (x - means[slot])
    state[SEEN], state[LAST] = 1.0, x
