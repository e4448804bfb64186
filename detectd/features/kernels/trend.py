"""Trend: a fast mean minus a slow one, of the values before x.

E_s += max(1/(t+2), 2/(s+1))·(x − E_s) for the event number t = 0, 1, …; both begin at the first
value. The feature is E_fast − E_slow before x moves them, in the units of the value.

params: span of the fast mean, of the slow one (events).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from detectd.jit import compiled_in_place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Row = NDArray[np.float64]

FAST, SLOW = 0, 1
# The state: the number of values so far, and a mean for each span.
SEEN, MEANS = 0, 1


def words(params: Sequence[float]) -> int:  # noqa: ARG001 - the same for all
    """Return the size of a count and two means."""
    return 3


@compiled_in_place
def step(state: Row, x: float, t_ms: float, params: Row, out: Row) -> None:  # noqa: ARG001
    """Compute the difference of the means, and update them."""
    if not np.isfinite(x):
        out[0] = np.nan
        return
    seen = state[SEEN]
    if seen == 0.0:
        state[MEANS] = state[MEANS + 1] = x
    out[0] = state[MEANS] - state[MEANS + 1]
    for i in range(2):
        rate = max(1.0 / (seen + 2.0), 2.0 / (params[FAST + i] + 1.0))
        state[MEANS + i] += rate * (x - state[MEANS + i])
    state[SEEN] += 1
