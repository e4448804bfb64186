"""Rates of counters, and the time since a key's last event. Times are event times."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from detectd.jit import compiled_in_place

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# The stages of a rate's state: empty, a value and its time, and a rate as well.
EMPTY, VALUE, RATE = 0.0, 1.0, 2.0


def rate_words(params: Sequence[float]) -> int:  # noqa: ARG001
    """Return the size of the stage, a value, its time and the last rate."""
    return 4


@compiled_in_place
def rate(state: Floats, x: float, t_ms: float, params: Floats, out: Floats) -> None:  # noqa: ARG001
    """Compute the increase of a counter per second since the previous event; NaN until there is
    one.

    A value below the previous one means that the counter restarted at zero. Further events at the
    same time have the rate of the first. After a clock steps backwards the rate is unknown once.
    """
    out[0] = math.nan
    if math.isnan(x) or math.isnan(t_ms):
        return
    passed = (t_ms - state[2]) / 1000.0
    if state[0] != EMPTY and passed == 0.0:
        if state[0] == RATE:
            out[0] = state[3]
        return
    if state[0] != EMPTY and passed > 0.0:
        increase = x - state[1] if x >= state[1] else x
        state[3] = increase / passed
        state[0] = RATE
        out[0] = state[3]
    else:
        state[0] = VALUE
    state[1], state[2] = x, t_ms


def gap_words(params: Sequence[float]) -> int:  # noqa: ARG001
    """Return the size of three flags and times: whether there was an event, the latest time, and
    whether the last event was late."""
    return 3


@compiled_in_place
def gap(state: Floats, x: float, t_ms: float, params: Floats, out: Floats) -> None:  # noqa: ARG001
    """Compute the seconds from the key's latest event to this one; NaN for the first, 0 for a late
    one.

    A late event does not move the latest time; two in a row do, since then a clock was set back.
    """
    out[0] = math.nan
    if math.isnan(t_ms):
        return
    seen, late = state[0] == 1.0, state[0] == 1.0 and t_ms < state[1]
    if seen:
        out[0] = max(0.0, (t_ms - state[1]) / 1000.0)
    if not late or state[2] == 1.0:
        state[1] = t_ms
    state[0], state[2] = 1.0, 1.0 if late else 0.0
