"""The aged sketch: the 64 largest and 64 smallest of a key's last values, and a median between.

Both tails have the same form: the lower one holds values with their sign flipped. A tail is sorted,
largest first, with the number of the event that brought each value, modulo 2¹⁶; a value is dropped
when that event is too old. A value that a larger one pushed out of the tail does not return when
the larger one is dropped, so fewer extremes may be in use than a tail can hold.

Values are kept as 32-bit floats relative to an anchor, the median of the key's first values, so the
error is within 10⁻⁷ of their largest distance from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from detectd.features.kernels._tails import FEWEST
from detectd.jit import compiled, compiled_in_place

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    State = NDArray[np.float64]

TAIL = 64
# Event numbers are kept modulo 2¹⁶.
LONGEST = 60_000

# The state: the count of values so far, the anchor, the median beside it; for each tail, its length
# and the number of its oldest event; then the tails' values and their events' numbers.
SEEN, ANCHOR, MEDIAN, LENGTH, OLDEST = 0, 1, 2, 3, 5
VALUES = 7
NUMBERS = VALUES + TAIL
WORDS = NUMBERS + TAIL // 2

# The median moves by at most half the distance between the tails over this many values.
SLOWEST = 1_000.0
LARGEST = 3e38


@compiled_in_place
def relative(state: State, x: float) -> float:
    """Return x as stored: relative to the anchor, rounded to 32 bits."""
    return np.float64(np.float32(min(max(x - state[ANCHOR], -LARGEST), LARGEST)))


@compiled_in_place
def reaching(values: Any, side: int, length: int, v: float) -> int:
    """Return how many of a side's values are at least v."""
    low, high = side * TAIL, side * TAIL + length
    while low < high:
        middle = (low + high) // 2
        if values[middle] >= v:
            low = middle + 1
        else:
            high = middle
    return low - side * TAIL


@compiled_in_place
def join(state: State, x: float, memory: float) -> None:
    """Add a value to the memory of the last `memory` values, from FEWEST to LONGEST.

    The first FEWEST values are stored unchanged until there is an anchor, their median.
    """
    seen = int(state[SEEN])
    if seen >= FEWEST:
        _take(state, x, memory)
        return
    state[VALUES + seen] = x
    state[SEEN] += 1.0
    if seen + 1 == FEWEST:
        _begin(state, memory)


@compiled
def _begin(state: State, memory: float) -> None:
    """Choose the anchor, and add the first values again."""
    waiting = state[VALUES : VALUES + FEWEST].copy()
    state[ANCHOR] = np.sort(waiting)[FEWEST // 2]
    for i in range(FEWEST):
        state[SEEN] = i
        _take(state, waiting[i], memory)


@compiled_in_place
def _take(state: State, x: float, memory: float) -> None:
    v = relative(state, x)
    values, marks = state[VALUES:NUMBERS].view(np.float32), state[NUMBERS:WORDS].view(np.uint16)
    for side in range(2):
        if state[LENGTH + side] > 0.0 and state[SEEN] - state[OLDEST + side] >= memory:
            _drop(state, values, marks, side, memory)
        _insert(state, values, marks, side, v if side == 0 else -v)
    state[SEEN] += 1.0
    _move_median(state, values, v)


@compiled_in_place
def _drop(state: State, values: Any, marks: Any, side: int, memory: float) -> None:
    """Drop values that are too old, and find the oldest of the others."""
    first = side * TAIL
    kept, most = first, 0
    for i in range(first, first + int(state[LENGTH + side])):
        age = (int(state[SEEN]) - int(marks[i])) & 0xFFFF
        if age < memory:
            values[kept], marks[kept] = values[i], marks[i]
            kept, most = kept + 1, max(most, age)
    state[LENGTH + side], state[OLDEST + side] = kept - first, state[SEEN] - most


@compiled_in_place
def _insert(state: State, values: Any, marks: Any, side: int, v: float) -> None:
    first, length = side * TAIL, int(state[LENGTH + side])
    if length == TAIL:
        if v <= values[first + TAIL - 1]:
            return
        length -= 1
    elif length == 0:
        state[OLDEST + side] = state[SEEN]
    place = first + length
    while place > first and values[place - 1] < v:
        values[place], marks[place] = values[place - 1], marks[place - 1]
        place -= 1
    values[place], marks[place] = v, int(state[SEEN]) & 0xFFFF
    state[LENGTH + side] = length + 1


@compiled_in_place
def _move_median(state: State, values: Any, v: float) -> None:
    """Update the median: exact while one tail holds all values, then by steps (Robbins–Monro)."""
    seen = state[SEEN]
    if seen <= TAIL:
        state[MEDIAN] = values[int(seen) // 2]
        return
    upper, lower = int(state[LENGTH]), int(state[LENGTH + 1])
    if upper == 0 or lower == 0:
        return
    top, bottom = values[upper - 1], -values[TAIL + lower - 1]
    step = max(top - bottom, 0.0) / (2.0 * min(seen, SLOWEST))
    if v > state[MEDIAN]:
        state[MEDIAN] += step
    elif v < state[MEDIAN]:
        state[MEDIAN] -= step
