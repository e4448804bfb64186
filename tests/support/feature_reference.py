"""What each function of a key's history gives, from the whole history and in the plainest way.

A history is a list of (time, value) of one key, in the order of the events; the last one is the
present event. Nothing here remembers anything: each result is calculated from the beginning.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from detectd.features.spans import span_ms

NAN = math.nan
SLICES = 60


def known(history):
    """The values that are not missing; none if the present one is missing."""
    values = [x for _, x in history if not math.isnan(x)]
    return [] if math.isnan(history[-1][1]) else values


def last(history, window):
    """The last values of a window by events, or by time."""
    return within(history, window) if isinstance(window, str) else known(history)[-window:]


def timed(history):
    """The events that have a value and a time; none if the present one has not."""
    both = [(t, x) for t, x in history if not (math.isnan(x) or math.isnan(t))]
    return [] if any(map(math.isnan, history[-1])) else both


def within(history, window):
    """The values of the last sixty slices, unless one of their place came later."""
    length = span_ms(window) / SLICES
    both = [(math.floor(t / length), x) for t, x in timed(history)]
    return [
        x
        for i, (own, x) in enumerate(both)
        if both[-1][0] - SLICES < own <= both[-1][0]
        and not any(own != other and (own - other) % SLICES == 0 for other, _ in both[i:])
    ]


def of_values(calculate, fewest=1):
    """A function of the values of a window."""

    def function(history, window, **given):
        values = last(history, window)
        return calculate(np.array(values), **given) if len(values) >= fewest else NAN

    return function


def lag(history, steps=1):
    """So many values ago."""
    values = known(history)
    return values[-1 - steps] if len(values) > steps else NAN


def rate(history):
    """From the first event of the time before to the first of this time; steps back begin anew."""
    firsts = []
    for t, x in timed(history):
        if not firsts or t > firsts[-1][0]:
            firsts.append((t, x))
        elif t < firsts[-1][0]:
            firsts = [(t, x)]
    if not timed(history) or len(firsts) < 2:
        return NAN
    (earlier, before), (now, x) = firsts[-2:]
    return (x - before if x >= before else x) / ((now - earlier) / 1000)


def gap(history):
    """Since the latest time that one event has, or two in a row that are late."""
    times = [t for t, _ in history if not math.isnan(t)]
    if math.isnan(history[-1][0]) or len(times) < 2:
        return NAN
    latest, was_late = times[0], False
    for t in times[1:-1]:
        is_late = t < latest
        latest, was_late = latest if is_late and not was_late else t, is_late
    return max(0.0, (times[-1] - latest) / 1000)


def ewma(history, half_life):
    """The mean of all values, weighted by age."""
    if isinstance(half_life, str):
        both = timed(history)
        passed = [max(0.0, after - t) for (t, _), (after, _) in pairwise(both)]
        ages = np.cumsum([0.0, *passed[::-1]])[::-1] / span_ms(half_life)
        values = [x for _, x in both]
    else:
        values = known(history)
        ages = np.arange(len(values))[::-1] / half_life
    return np.average(values, weights=2.0**-ages) if values else NAN


def zscore(history, window=100, *, robust=True):
    """Of the present value among those before it."""
    values = known(history)
    before = np.array(values[:-1][-window:])
    if len(before) < 2:
        return NAN
    if robust:
        centre = np.median(before)
        scale = 1.482602218505602 * np.median(np.abs(before - centre))
    else:
        centre, scale = before.mean(), before.std(ddof=1)
    apart = values[-1] - centre
    if abs(apart) <= 1e-12 * abs(centre):
        return 0.0
    if scale <= 1e-12 * abs(centre):
        return math.copysign(100.0, apart)
    return float(np.clip(apart / scale, -100, 100))


def count(history, window):
    """Of all events, whatever their values."""
    return len(within([(t, 0.0) for t, _ in history], window)) or NAN


def shingle(history, window):
    """The last values, the oldest first."""
    values = known(history)
    return values[-window:] if len(values) >= window else [NAN] * window


def rarity(history, top=32, window=1000):
    """Few enough values and events that none makes room, and nothing is halved."""
    values = known(history)
    if not values:
        return NAN
    before = values[:-1]
    assert len(before) < window
    assert len(set(before)) <= top
    smoothed = (before.count(values[-1]) + 0.5) / (len(before) + 0.5 * (len(set(before)) + 1))
    return -math.log10(smoothed)


FUNCTIONS = {
    "lag": lag,
    "diff": lambda history, steps=1: history[-1][1] - lag(history, steps),
    "rate": rate,
    "mean": of_values(np.mean),
    "std": of_values(lambda values: np.std(values, ddof=1), fewest=2),
    "min": of_values(np.min),
    "max": of_values(np.max),
    "median": of_values(np.median),
    "quantile": of_values(np.quantile),
    "trend": of_values(lambda values: np.polyfit(np.arange(len(values)), values, 1)[0], fewest=2),
    "ewma": ewma,
    "zscore": zscore,
    "count": count,
    "gap": gap,
    "shingle": shingle,
    "rarity": rarity,
}
