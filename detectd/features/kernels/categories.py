"""The rarity of a categorical value for a key. A category is the hash of its text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from detectd.jit import compiled_in_place

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def rarity_words(params: Sequence[float]) -> int:
    """Return the size of the number of events, and the params[0] most frequent values, each with
    its count."""
    return 1 + 2 * int(params[0])


@compiled_in_place
def rarity(state: Floats, x: float, t_ms: float, params: Floats, out: Floats) -> None:  # noqa: ARG001
    """Compute −log10 of the share of x among the key's earlier events.

    Shares are smoothed, as if each known value, and one more, had been seen half a time more. All
    counts are halved at params[1] events, so that what was common long ago becomes rare. Beyond
    params[0] values, the least frequent is evicted.
    """
    out[0] = math.nan
    if math.isnan(x):
        return
    k = int(params[0])
    values, numbers = state[1 : 1 + k], state[1 + k : 1 + 2 * k]
    place, known = _find(values, numbers, k, x)
    own = numbers[place] if values[place] == x else 0.0
    out[0] = -math.log10((own + 0.5) / (state[0] + 0.5 * (known + 1)))
    values[place], numbers[place] = x, own + 1.0
    state[0] += 1.0
    if state[0] >= params[1]:
        state[0] /= 2.0
        for i in range(k):
            numbers[i] /= 2.0


@compiled_in_place
def _find(values: Floats, numbers: Floats, k: int, x: float) -> tuple[int, int]:
    """Return the index of x, or the one that it would get, and the number of known values."""
    least, known, found = 0, 0, -1
    for i in range(k):
        if numbers[i] > 0.0:
            known += 1
            if values[i] == x:
                found = i
        if numbers[i] < numbers[least]:
            least = i
    return (found if found >= 0 else least), known
