"""What the functions of a key's history give, by pandas: grouped by key, in the order of events.

A frame has the columns key, t (ms), x (a number) and c (a category), a row for each event. Each
function gives a series under the frame's index; an event that is not in it has no value.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from detectd.features.spans import span_ms

SLICES = 60


def known(frame):
    """The events that have a value."""
    return frame.dropna(subset="x")


def timed(frame):
    """The events that have a value and a time."""
    return frame.dropna(subset=["t", "x"])


def by_key(frame, column="x"):
    """The column, grouped by key."""
    return frame.groupby("key", sort=False)[column]


def flat(found):
    """What a grouped window gives, without the key in its index."""
    return found.reset_index(level="key", drop=True)


def rolled(frame, window, how, **given):
    """By the last values of each key."""
    rolling = by_key(known(frame)).rolling(window, min_periods=1)
    return flat(getattr(rolling, how)(**given))


def rolled_by_time(frame, window, how):
    """By the sixty slices up to an event's own; events are in the order of time."""
    both = timed(frame) if how != "count" else frame.dropna(subset="t").assign(x=1.0)
    slices = np.floor(both["t"] / (span_ms(window) / SLICES)).astype(np.int64)
    both = both.assign(at=pd.to_datetime(slices, unit="s")).reset_index(names="row")
    rolling = both.groupby("key", sort=False).rolling(f"{SLICES}s", on="at", closed="right")["x"]
    found = getattr(rolling, how)()
    # The groups come one after another, each in its own order.
    rows = both.groupby("key", sort=False)["row"].apply(lambda own: own).to_numpy()
    return pd.Series(found.to_numpy(), index=rows)


def window_of(how):
    """A function of a window, by values or by time."""

    def function(frame, window):
        by = rolled_by_time if isinstance(window, str) else rolled
        return by(frame, window, how)

    return function


def trend(frame, window):
    """Covariance of value and place over the variance of place."""
    own = known(frame)
    own = own.assign(place=own.groupby("key").cumcount().astype(float))
    parts = [
        part["x"].rolling(window, min_periods=2).cov(part["place"])
        / part["place"].rolling(window, min_periods=2).var()
        for _, part in own.groupby("key", sort=False)
    ]
    return pd.concat(parts)


def ewma(frame, half_life):
    """By age in values, or in time: it does not pass between an event and a late one."""
    if not isinstance(half_life, str):
        return flat(by_key(known(frame)).ewm(halflife=half_life).mean())
    own = timed(frame)
    passed = by_key(own, "t").diff().clip(lower=0).fillna(0)
    clock = pd.to_datetime(passed.groupby(own["key"]).cumsum(), unit="ms")
    parts = [
        part.ewm(halflife=pd.Timedelta(span_ms(half_life), "ms"), times=clock[part.index]).mean()
        for _, part in by_key(own)
    ]
    return pd.concat(parts)


def zscore(frame, window=100, *, robust=True):
    """Of a value among those before it."""
    own = known(frame)
    before = by_key(own).shift()
    rolling = before.groupby(own["key"], sort=False).rolling(window, min_periods=2)
    if robust:
        centre = flat(rolling.median())
        scale = 1.482602218505602 * flat(
            rolling.apply(lambda v: np.nanmedian(np.abs(v - np.nanmedian(v))), raw=True)
        )
    else:
        centre, scale = flat(rolling.mean()), flat(rolling.std())
    apart = own["x"] - centre
    return (apart / scale).clip(-100, 100).mask(apart == 0, 0.0)


def rate(frame):
    """Between the first events of two times in a row; unknown after a step backwards."""
    own = timed(frame)
    passed = by_key(own, "t").diff()
    firsts = own[passed != 0]
    before, seconds = by_key(firsts).shift(), by_key(firsts, "t").diff() / 1000
    increase = (firsts["x"] - before).where(firsts["x"] >= before, firsts["x"])
    rates = (increase / seconds).where(seconds > 0)
    # Further events of a time have the rate of its first.
    own = own.assign(number=(passed != 0).groupby(own["key"]).cumsum(), rate=rates)
    return own.groupby(["key", "number"])["rate"].transform("first")


def gap(frame):
    """Seconds; events are in the order of time."""
    return by_key(frame.dropna(subset="t"), "t").diff() / 1000


def rarity(frame):
    """Smoothed shares of the events before, while few values are known."""
    own = frame.dropna(subset="c")
    same, all_of_them = own.groupby(["key", "c"]).cumcount(), own.groupby("key").cumcount()
    values = (same == 0).groupby(own["key"]).cumsum() - (same == 0)
    return -np.log10((same + 0.5) / (all_of_them + 0.5 * (values + 1)))


def season(frame, period="1d", slots=96, alpha=0.03, zone="UTC"):
    """By slot, while the mean of a slot's values has more weight than alpha; see `means`."""
    own, length = timed(frame), span_ms(period)
    clock = pd.to_datetime(own["t"], unit="ms", utc=True).dt.tz_convert(zone).dt.tz_localize(None)
    local = (clock - pd.Timestamp(0)) / pd.Timedelta("1ms")
    slot = np.floor(local % length / length * slots)
    usual = means(by_key(own.assign(key=own["key"].astype(str) + slot.astype(str))), alpha)
    last = by_key(own).shift()
    return (own["x"] - usual.fillna(last)).fillna(0.0)


def means(grouped, alpha):
    """What is usual before each value: a mean of all, or one half of it the last value."""
    after = grouped.ewm(alpha=0.5, adjust=False) if alpha == 0.5 else grouped.expanding()
    return flat(after.mean()).groupby(grouped.ngroup()).shift()


def shingle(frame, window):
    """A column for each of the last values, the oldest first; all or none."""
    grouped = by_key(known(frame))
    columns = pd.concat([grouped.shift(window - 1 - i) for i in range(window)], axis=1)
    return columns.where(columns.notna().all(axis=1))


FUNCTIONS = {
    "lag": lambda frame, steps=1: by_key(known(frame)).shift(steps),
    "diff": lambda frame, steps=1: by_key(known(frame)).diff(steps),
    "rate": rate,
    "mean": window_of("mean"),
    "std": window_of("std"),
    "min": window_of("min"),
    "max": window_of("max"),
    "median": lambda frame, window: rolled(frame, window, "median"),
    "quantile": lambda frame, window, q: rolled(frame, window, "quantile", q=q),
    "ewma": ewma,
    "trend": trend,
    "zscore": zscore,
    "season": season,
    "shingle": shingle,
    "count": lambda frame, window: rolled_by_time(frame, window, "count"),
    "gap": gap,
    "rarity": rarity,
}
