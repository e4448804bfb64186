"""Routine: whether a key reaches a score at this time of day on two of the last seven days.

Event time is cut into slots of half an hour, and the largest score of each slot is kept for a week.
A day counts if its score in this slot, the two before or the two after is at least as large: so
from an hour to an hour and a half on either side of the event. The present day never counts.

A late event counts in the slot of its own time, and sees the week that ended then, as far as it is
kept. One from before that week is passed over; after `MOST_STRAYED` of them in a row the clock was
ahead, and the key begins again with them. Scores of another `mark` are forgotten.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from detectd.features.routine_layout import (
    DAYS,
    ENOUGH,
    LATEST,
    MARK,
    MOST_STRAYED,
    PEAKS,
    REACH,
    RING,
    SLOT_MS,
    SLOTS,
    STRAYED,
    WORDS,
)
from detectd.jit import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Row = NDArray[np.float64]
    Table = NDArray[np.float64]
    Places = NDArray[np.intp]
    Flags = NDArray[np.bool_]

LARGEST = 3e38


@compiled
def ordered(score: float) -> np.uint32:
    """Return a whole number above 0 for the score, rounded to 32 bits; a larger one for a larger
    score."""
    bits = np.int64(np.float32(min(max(score, -LARGEST), LARGEST) + 0.0).view(np.int32))
    # The bits of numbers below 0 are ordered the other way.
    return np.uint32(bits + 0x80000000 if bits >= 0 else -bits - 1)


@compiled
def advanced(state: Row, slot: float, mark: float) -> bool:
    """Move the week on to the slot; return whether the slot is in it."""
    peaks = state[PEAKS:].view(np.uint32)
    if state[MARK] != mark:
        state[:] = 0.0
        state[MARK], state[LATEST] = mark, slot
    if state[LATEST] - slot >= RING:
        state[STRAYED] += 1.0
        if state[STRAYED] < MOST_STRAYED:
            return False
        peaks[:] = 0
        state[LATEST] = slot
    state[STRAYED] = 0.0
    for i in range(int(min(slot - state[LATEST], RING))):
        peaks[int((slot - i) % RING)] = 0
    state[LATEST] = max(slot, state[LATEST])
    return True


@compiled
def reached(state: Row, slot: float, level: np.uint32) -> bool:
    """Return whether enough of the days before have a peak of the level near the slot."""
    peaks = state[PEAKS:].view(np.uint32)
    days = 0
    for day in range(1, DAYS + 1):
        for near in range(-REACH, REACH + 1):
            at = slot - day * SLOTS + near
            if at > state[LATEST] - RING and peaks[int(at % RING)] >= level:
                days += 1
                break
    return days >= ENOUGH


@compiled
def run(
    table: Table,
    start: int,
    slots: Places,
    fresh: Flags,
    times_ms: Row,
    scores: Row,
    asked: Flags,
    mark: float,
    found: Flags,
) -> None:
    """Add the scores (k,) of events to their keys' weeks, in order, unless they are not finite; NaN
    is for an event without one.

    `table` holds the state of a key from word `start` of row `slots[i]` on, -1 for none; that of
    `fresh` events is zeroed first. For the `asked` events, write into `found` whether their key
    reaches such a score. Both `times_ms` and `found` are (k,).
    """
    for i in range(len(slots)):
        if slots[i] < 0:
            continue
        state = table[slots[i], start : start + WORDS]
        if fresh[i]:
            state[:] = 0.0
        # A score without a number says only that an event was far outside, not how far.
        if not math.isfinite(scores[i]) or not math.isfinite(times_ms[i]):
            continue
        slot = math.floor(times_ms[i] / SLOT_MS) + 0.0
        if not advanced(state, slot, mark):
            continue
        level = ordered(scores[i])
        found[i] = asked[i] and reached(state, slot, level)
        peaks = state[PEAKS:].view(np.uint32)
        at = int(slot % RING)
        peaks[at] = max(peaks[at], level)
