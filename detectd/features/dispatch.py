"""The one loop over a batch of events: each goes through every step of the program, in order.

A new step takes three lines here: its code, its entry in `STEPS`, and its branch in `_step`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from detectd.features.kernels import (
    categories,
    code_length,
    counters,
    frozen,
    level,
    quantiles,
    season,
    slope,
    smoothing,
    surprise,
    time_windows,
    trend,
    windows,
)
from detectd.jit import compiled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from detectd.features.program import Program

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]
    Bools = NDArray[np.bool_]

LAG = 0
DIFF = 1
SHINGLE = 2
MEAN = 3
STD = 4
MIN = 5
MAX = 6
QUANTILE = 7
TREND = 8
COUNT_BY_TIME = 9
MEAN_BY_TIME = 10
STD_BY_TIME = 11
MIN_BY_TIME = 12
MAX_BY_TIME = 13
RATE = 14
GAP = 15
EWMA = 16
EWMA_BY_TIME = 17
ZSCORE = 18
RARITY = 19
SEASON = 20
CODE = 21
FROZEN = 22
LEVEL = 23
SERIES_TREND = 24
SURPRISE = 25
SURPRISE_EXACT = 26


# The square of what is larger would be no number, nor the sum of a few.
LARGEST = 1e150


class Step(NamedTuple):
    """What the compiler of declarations must know of a step: its code and its state's size."""

    code: int
    words: Callable[[Sequence[float]], int]


STEPS = {
    "lag": Step(LAG, windows.ring_words),
    "diff": Step(DIFF, windows.ring_words),
    "shingle": Step(SHINGLE, windows.ring_words),
    "mean": Step(MEAN, windows.blocks_words),
    "std": Step(STD, windows.two_blocks_words),
    "min": Step(MIN, windows.blocks_words),
    "max": Step(MAX, windows.blocks_words),
    "quantile": Step(QUANTILE, quantiles.sorted_words),
    "trend": Step(TREND, windows.two_blocks_words),
    "count_by_time": Step(COUNT_BY_TIME, time_windows.count_words),
    "mean_by_time": Step(MEAN_BY_TIME, time_windows.mean_words),
    "std_by_time": Step(STD_BY_TIME, time_windows.std_words),
    "min_by_time": Step(MIN_BY_TIME, time_windows.extreme_words),
    "max_by_time": Step(MAX_BY_TIME, time_windows.extreme_words),
    "rate": Step(RATE, counters.rate_words),
    "gap": Step(GAP, counters.gap_words),
    "ewma": Step(EWMA, smoothing.ewma_words),
    "ewma_by_time": Step(EWMA_BY_TIME, smoothing.ewma_words),
    "zscore": Step(ZSCORE, smoothing.zscore_words),
    "rarity": Step(RARITY, categories.rarity_words),
    "season": Step(SEASON, season.words),
    "code": Step(CODE, code_length.words),
    "frozen": Step(FROZEN, frozen.words),
    "level": Step(LEVEL, level.words),
    "series_trend": Step(SERIES_TREND, trend.words),
    "surprise": Step(SURPRISE, surprise.words),
    "surprise_exact": Step(SURPRISE_EXACT, surprise.words_exact),
}


@compiled
def _step(  # noqa: C901 - a branch a step
    code: int, state: Floats, x: float, t_ms: float, params: Floats, out: Floats
) -> None:
    if code == LAG:
        windows.lag(state, x, t_ms, params, out)
    elif code == DIFF:
        windows.diff(state, x, t_ms, params, out)
    elif code == SHINGLE:
        windows.shingle(state, x, t_ms, params, out)
    elif code == MEAN:
        windows.mean(state, x, t_ms, params, out)
    elif code == STD:
        windows.std(state, x, t_ms, params, out)
    elif code == MIN:
        windows.lowest(state, x, t_ms, params, out)
    elif code == MAX:
        windows.highest(state, x, t_ms, params, out)
    elif code == QUANTILE:
        quantiles.quantile(state, x, t_ms, params, out)
    elif code == TREND:
        slope.slope(state, x, t_ms, params, out)
    elif code == COUNT_BY_TIME:
        time_windows.count(state, x, t_ms, params, out)
    elif code == MEAN_BY_TIME:
        time_windows.mean(state, x, t_ms, params, out)
    elif code == STD_BY_TIME:
        time_windows.std(state, x, t_ms, params, out)
    elif code == MIN_BY_TIME:
        time_windows.lowest(state, x, t_ms, params, out)
    elif code == MAX_BY_TIME:
        time_windows.highest(state, x, t_ms, params, out)
    elif code == RATE:
        counters.rate(state, x, t_ms, params, out)
    elif code == GAP:
        counters.gap(state, x, t_ms, params, out)
    elif code == EWMA:
        smoothing.ewma(state, x, t_ms, params, out)
    elif code == EWMA_BY_TIME:
        smoothing.ewma_by_time(state, x, t_ms, params, out)
    elif code == ZSCORE:
        smoothing.zscore(state, x, t_ms, params, out)
    elif code == RARITY:
        categories.rarity(state, x, t_ms, params, out)
    elif code == SEASON:
        season.step(state, x, t_ms, params, out)
    elif code == CODE:
        code_length.step(state, x, t_ms, params, out)
    elif code == FROZEN:
        frozen.step(state, x, t_ms, params, out)
    elif code == LEVEL:
        level.step(state, x, t_ms, params, out)
    elif code == SERIES_TREND:
        trend.step(state, x, t_ms, params, out)
    elif code == SURPRISE:
        surprise.step(state, x, t_ms, params, out)
    elif code == SURPRISE_EXACT:
        surprise.step_exact(state, x, t_ms, params, out)


@compiled
def _run(
    arrays: tuple[Ints, Ints, Ints, Ints, Ints, Ints, Floats],
    columns: Ints,
    table: Floats,
    first: int,
    slots: Ints,
    fresh: Bools,
    times_ms: Floats,
    scratch: Floats,
    inputs: Floats,
    rows: Floats,
) -> None:
    code, source, dest, width, offset, size, params = arrays
    read = inputs.shape[1]
    for event in range(inputs.shape[0]):
        slot = slots[event]
        scratch[:read] = inputs[event]
        scratch[read:] = math.nan
        if slot >= 0:
            state = table[slot, first:]
            if fresh[event]:
                state[:] = 0.0
            for op in range(code.shape[0]):
                x = scratch[source[op]] if source[op] >= 0 else 0.0
                if not math.isnan(x):
                    x = max(-LARGEST, min(LARGEST, x))
                part = state[offset[op] : offset[op] + size[op]]
                out = scratch[dest[op] : dest[op] + width[op]]
                _step(code[op], part, x, times_ms[event], params[op], out)
        for i in range(columns.shape[0]):
            rows[event, i] = scratch[columns[i]]


def run(
    program: Program,
    table: Floats,
    slots: Ints,
    times_ms: Floats,
    values: Floats,
    fresh: Bools | None = None,
    first: int = 0,
) -> Floats:
    """Return the rows (k, d) of k events, in order, and change their keys' rows of the `table`.

    `table` is (slots, first + program.words), zeros for a key without a history; what is left of
    `first` belongs to others. `slots` (k,) are the events' places in it, -1 for one that touches no
    history and gets none; `fresh` (k,) says whose place is to be emptied before. `times_ms` (k,)
    are their times, NaN if there is none; `values` (k, fields) are what was read of them:
    `program.fields`, then `program.categories`.
    """
    inputs = np.ascontiguousarray(values, dtype=np.float64)
    if program.clocks:
        inputs = np.column_stack((inputs, *(each.values(times_ms) for each in program.clocks)))
    if fresh is None:
        fresh = np.zeros(len(slots), dtype=np.bool_)
    rows = np.empty((len(inputs), len(program.columns)))
    _run(
        program.arrays,
        program.columns,
        table,
        first,
        slots.astype(np.int64, copy=False),
        fresh,
        times_ms.astype(np.float64, copy=False),
        np.empty(program.scratch),
        inputs,
        rows,
    )
    return rows
