"""The one loop over a batch of events: each goes through every step of the program, in order.

A new step takes three lines here: its code, its entry in `STEPS`, and its branch in `_step`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from detectd.features.kernels import windows
from detectd.jit import compiled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from detectd.features.program import Program

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

LAG = 0
MEAN = 1


class Step(NamedTuple):
    """What the compiler of declarations must know of a step: its code and its state's size."""

    code: int
    words: Callable[[Sequence[float]], int]


STEPS = {
    "lag": Step(LAG, windows.lag_words),
    "mean": Step(MEAN, windows.mean_words),
}

# The square of what is larger would be no number, nor the sum of a few.
LARGEST = 1e150


@compiled
def _step(code: int, state: Floats, x: float, t_ms: float, params: Floats, out: Floats) -> None:
    if code == LAG:
        windows.lag(state, x, t_ms, params, out)
    elif code == MEAN:
        windows.mean(state, x, t_ms, params, out)


@compiled
def _run(
    ops: tuple[Ints, Ints, Ints, Ints, Ints, Ints, Floats],
    columns: Ints,
    table: Floats,
    slots: Ints,
    times_ms: Floats,
    scratch: Floats,
    values: Floats,
    rows: Floats,
) -> None:
    code, source, dest, width, offset, size, params = ops
    fields = values.shape[1]
    for event in range(values.shape[0]):
        slot, t_ms = slots[event], times_ms[event]
        for i in range(fields):
            scratch[i] = values[event, i]
        for op in range(code.shape[0]):
            x = scratch[source[op]] if source[op] >= 0 else 0.0
            # A missing value stays NaN.
            if x > LARGEST:
                x = LARGEST
            elif x < -LARGEST:
                x = -LARGEST
            state = table[slot, offset[op] : offset[op] + size[op]]
            out = scratch[dest[op] : dest[op] + width[op]]
            _step(code[op], state, x, t_ms, params[op], out)
        for i in range(columns.shape[0]):
            rows[event, i] = scratch[columns[i]]


def run(program: Program, table: Floats, slots: Ints, times_ms: Floats, values: Floats) -> Floats:
    """Return the rows (k, d) of k events, in order, and change their keys' rows of the `table`.

    `table` is (slots, program.words), zeros for a key without a history; `slots` (k,) are the
    events' places in it; `times_ms` (k,) are their times, NaN if there is none; `values`
    (k, fields) are what was read of them: `program.fields`, then `program.categories`.
    """
    inputs = np.ascontiguousarray(values, dtype=np.float64)
    if program.clocks:
        inputs = np.column_stack((inputs, *(each.values(times_ms) for each in program.clocks)))
    rows = np.empty((len(inputs), len(program.columns)))
    scratch = np.full(program.scratch, math.nan)
    _run(program.ops, program.columns, table, slots, times_ms, scratch, inputs, rows)
    return rows
