"""Run the steps of a program over a batch of events.

Adding a step takes three lines here: its code, its entry in `STEPS`, and its branch in
`_take_step`.
"""

from __future__ import annotations

import math
from functools import cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numba
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
from detectd.features.zones import local_ms
from detectd.jit import compiled_in_place

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from detectd.features.program import Program

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]
    Bools = NDArray[np.bool_]

LAG = 1
DIFF = 2
SHINGLE = 3
MEAN = 4
STD = 5
MIN = 6
MAX = 7
QUANTILE = 8
TREND = 9
COUNT_BY_TIME = 10
MEAN_BY_TIME = 11
STD_BY_TIME = 12
MIN_BY_TIME = 13
MAX_BY_TIME = 14
RATE = 15
GAP = 16
EWMA = 17
EWMA_BY_TIME = 18
ZSCORE = 19
RARITY = 20
SEASON = 21
CODE = 22
FROZEN = 23
LEVEL = 24
SERIES_TREND = 25
SURPRISE = 26
SURPRISE_EXACT = 27


# The square of a larger number, or the sum of a few, would overflow.
LARGEST = 1e150


class Step(NamedTuple):
    """The compiler's view of a step: its code and its state's size."""

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


@compiled_in_place
def _take_step(  # noqa: C901 - a branch a step
    branch: tuple[int, ...],
    table: Floats,
    start: int,
    size: int,
    slots: Ints,
    fresh: Bools,
    times_ms: Floats,
    x: Floats,
    params: Floats,
    got: Floats,
    out: Floats,
) -> None:
    """Run one step for each event, in order: x (k,) in, out (width, k), by way of got (width,).

    The length of `branch` is the step's code. It is part of the argument's type, so numba compiles
    that branch and no other.
    """
    for event in range(slots.shape[0]):
        if slots[event] < 0:
            out[:, event] = math.nan
            continue
        state = table[slots[event], start : start + size]
        if fresh[event]:
            state[:] = 0.0
        value, t_ms = x[event], times_ms[event]
        if not math.isnan(value):
            value = max(-LARGEST, min(LARGEST, value))
        if len(branch) == LAG:
            windows.lag(state, value, t_ms, params, got)
        elif len(branch) == DIFF:
            windows.diff(state, value, t_ms, params, got)
        elif len(branch) == SHINGLE:
            windows.shingle(state, value, t_ms, params, got)
        elif len(branch) == MEAN:
            windows.mean(state, value, t_ms, params, got)
        elif len(branch) == STD:
            windows.std(state, value, t_ms, params, got)
        elif len(branch) == MIN:
            windows.lowest(state, value, t_ms, params, got)
        elif len(branch) == MAX:
            windows.highest(state, value, t_ms, params, got)
        elif len(branch) == QUANTILE:
            quantiles.quantile(state, value, t_ms, params, got)
        elif len(branch) == TREND:
            slope.slope(state, value, t_ms, params, got)
        elif len(branch) == COUNT_BY_TIME:
            time_windows.count(state, value, t_ms, params, got)
        elif len(branch) == MEAN_BY_TIME:
            time_windows.mean(state, value, t_ms, params, got)
        elif len(branch) == STD_BY_TIME:
            time_windows.std(state, value, t_ms, params, got)
        elif len(branch) == MIN_BY_TIME:
            time_windows.lowest(state, value, t_ms, params, got)
        elif len(branch) == MAX_BY_TIME:
            time_windows.highest(state, value, t_ms, params, got)
        elif len(branch) == RATE:
            counters.rate(state, value, t_ms, params, got)
        elif len(branch) == GAP:
            counters.gap(state, value, t_ms, params, got)
        elif len(branch) == EWMA:
            smoothing.ewma(state, value, t_ms, params, got)
        elif len(branch) == EWMA_BY_TIME:
            smoothing.ewma_by_time(state, value, t_ms, params, got)
        elif len(branch) == ZSCORE:
            smoothing.zscore(state, value, t_ms, params, got)
        elif len(branch) == RARITY:
            categories.rarity(state, value, t_ms, params, got)
        elif len(branch) == SEASON:
            season.step(state, value, t_ms, params, got)
        elif len(branch) == CODE:
            code_length.step(state, value, t_ms, params, got)
        elif len(branch) == FROZEN:
            frozen.step(state, value, t_ms, params, got)
        elif len(branch) == LEVEL:
            level.step(state, value, t_ms, params, got)
        elif len(branch) == SERIES_TREND:
            trend.step(state, value, t_ms, params, got)
        elif len(branch) == SURPRISE:
            surprise.step(state, value, t_ms, params, got)
        elif len(branch) == SURPRISE_EXACT:
            surprise.step_exact(state, value, t_ms, params, got)
        for column in range(out.shape[0]):
            out[column, event] = got[column]


FLOATS, MATRIX = numba.float64[::1], numba.float64[:, ::1]
PLACES, FLAGS, WHOLE = numba.int64[::1], numba.boolean[::1], numba.int64
ARGUMENTS = (MATRIX, WHOLE, WHOLE, PLACES, FLAGS, FLOATS, FLOATS, FLOATS, FLOATS, MATRIX)


@cache
def _compiled_step(code: int) -> Callable[..., None]:
    """Return the machine code of a step. Only the steps in use are compiled; all would take a
    minute."""
    dispatcher: Any = _take_step
    branch = numba.types.UniTuple(numba.int64, code)  # type: ignore[no-untyped-call]
    step: Callable[..., None] = dispatcher.compile((branch, *ARGUMENTS))
    return partial(step, (0,) * code)


def calculated(
    program: Program,
    table: Floats,
    slots: Ints,
    times_ms: Floats,
    values: Floats,
    fresh: Bools | None = None,
    first: int = 0,
) -> Floats:
    """Return the scratch vectors (scratch, k) of k events, in order, and update their keys' rows of
    the `table`.

    `table` is (slots, first + program.words), zeros for a key without a history; its first `first`
    words belong to the caller. `slots` (k,) are the events' rows in it, -1 for an event that uses
    no history and gets none; `fresh` (k,) marks events whose row is zeroed first. `times_ms` (k,)
    are their times, NaN for none; `values` (k, fields) are the fields read: `program.fields`, then
    `program.categories`.
    """
    k = len(values)
    scratch = np.empty((program.scratch, k))
    read = scratch[: len(program.fields) + len(program.categories)]
    read[:] = values.T
    at = len(read)
    for clock in program.clocks:
        scratch[at : at + 2] = clock.values(times_ms).T
        at += 2
    slots = np.ascontiguousarray(slots, dtype=np.int64)
    fresh = np.zeros(k, dtype=np.bool_) if fresh is None else fresh
    nothing = np.zeros(k)
    clocks: dict[str | None, Floats] = {None: np.ascontiguousarray(times_ms, dtype=np.float64)}
    # A step reads only what earlier steps wrote for the same event, and its own words of the key,
    # so each step may process all events before the next begins.
    for op in program.steps:
        if op.zone is not None and op.zone not in clocks:
            clocks[op.zone] = local_ms(op.zone, clocks[None])
        _compiled_step(op.code)(
            table,
            first + op.offset,
            op.size,
            slots,
            fresh,
            clocks[op.zone],
            nothing if op.source < 0 else scratch[op.source],
            np.array(op.params, dtype=np.float64),
            np.empty(op.width),
            scratch[op.dest : op.dest + op.width],
        )
    return scratch
