"""Frozen: the surprise of a run of equal values, relative to the lengths of earlier runs.

The length of a run, in events, is judged while the run lasts, and is added to the memory when it
ends. Only long runs are surprising, and the mean excess of the tail is at least one event. A key
with fewer than 20 finished runs has a surprise of 0. The step also gives the length of the
run, and the median of earlier ones; NaN if there are too few.

params: memory (runs).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from detectd.features.kernels import _sketch as sketch
from detectd.features.kernels.surprise import by_sketch, expected
from detectd.jit import compiled_in_place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Row = NDArray[np.float64]

MEMORY = 0
ONLY_LONG, LEAST_EXCESS = 1.0, 1.0
# The state: the value of the run, its length so far, and a sketch of the lengths of earlier ones.
VALUE, LENGTH, SKETCH = 0, 1, 2


def words(params: Sequence[float]) -> int:  # noqa: ARG001 - the same for all
    """Return the size of a run and a sketch."""
    return SKETCH + sketch.WORDS


@compiled_in_place
def step(state: Row, x: float, t_ms: float, params: Row, out: Row) -> None:  # noqa: ARG001
    """Compute the surprise of the run that x continues or begins."""
    if not np.isfinite(x):
        out[:] = np.nan
        return
    runs = state[SKETCH:]
    if state[LENGTH] > 0.0 and x != state[VALUE]:
        sketch.join(runs, state[LENGTH], params[MEMORY])
        state[LENGTH] = 0.0
    state[VALUE] = x
    state[LENGTH] += 1.0
    out[1], out[2] = state[LENGTH], expected(runs)
    out[0] = by_sketch(runs, state[LENGTH], params[MEMORY], ONLY_LONG, LEAST_EXCESS)
