"""Each function of a key's history against pandas: streams with gaps, clock steps and many keys."""

import math

import numpy as np
import pandas as pd
import pytest

from detectd.features.catalogue import CATALOGUE
from detectd.features.declaring import declare
from detectd.features.program import compiled_program
from detectd.features.state import FeatureState, KeyBounds
from tests.support.feature_rows import run
from tests.support.pandas_reference import FUNCTIONS, SLICES

# What pandas knows nothing of; see test_series_steps.py.
ELSEWHERE = {"code", "frozen", "series"}

BERLIN, LORD_HOWE = "Europe/Berlin", "Australia/Lord_Howe"

BY_VALUES = [
    {"of": "x", "fn": "lag"},
    {"of": "x", "fn": "lag", "steps": 4},
    {"of": "x", "fn": "diff"},
    {"of": "x", "fn": "diff", "steps": 3},
    *(
        {"of": "x", "fn": fn, "window": window}
        for fn in ("mean", "std", "min", "max", "median")
        for window in (2, 7, 60)
    ),
    *({"of": "x", "fn": "quantile", "window": window, "q": 0.9} for window in (2, 7, 60)),
    *({"of": "x", "fn": "trend", "window": window} for window in (2, 7, 60)),
    *({"of": "x", "fn": "ewma", "half_life": half} for half in (0.5, 10, "30s", "1h")),
    {"of": "x", "fn": "zscore"},
    {"of": "x", "fn": "zscore", "window": 5, "robust": False},
    *({"of": "x", "fn": "season", "period": "1h", "slots": 12, "alpha": a} for a in (1e-4, 0.5)),
    *({"of": "x", "fn": "season", "slots": 24, "alpha": a, "zone": BERLIN} for a in (1e-4, 0.5)),
    {"of": "x", "fn": "season", "period": "7d", "slots": 168, "alpha": 0.5, "zone": LORD_HOWE},
    {"of": "x", "fn": "shingle", "window": 3},
    {"of": "x", "fn": "rate"},
    {"of": "c", "fn": "rarity"},
]
BY_TIME = [
    *(
        {"of": "x", "fn": fn, "window": window}
        for fn in ("mean", "std", "min", "max")
        for window in ("1s", "1m", "1h")
    ),
    *({"fn": "count", "window": window} for window in ("1s", "1m", "1h")),
    {"fn": "gap"},
]


def stream(*, keys=5, n=600, gaps=0.1, steps_back=0.0, seed=0):
    """Events of keys that take turns at random; values and times are missing here and there.

    Times often stand still; now and then a clock is set back, by seconds or by an hour.
    """
    rng = np.random.default_rng(seed)
    steps = rng.choice([0, 0, 0, 250, 1_000, 7_321, 60_000], n).astype(float)
    back = rng.random(n) < steps_back
    steps[back] = rng.choice([-900, -30_000, -3_600_000], back.sum())
    frame = pd.DataFrame(
        {
            "key": rng.integers(0, keys, n),
            "t": 1.7e12 + np.cumsum(steps),
            "x": rng.normal(100, 10, n).round(3),
            "c": rng.integers(0, 6, n).astype(float),
        }
    )
    for column in ("t", "x", "c"):
        frame.loc[rng.random(n) < gaps / 2, column] = math.nan
    return frame


def around(day):
    """A fortnight of events around a day on which clocks are changed."""
    first = pd.Timestamp(day, tz="UTC").timestamp() * 1000 - 7 * 86_400_000
    return stream().assign(t=first + 2_016_000.0 * np.arange(600))


STREAMS = {
    "as usual": stream(),
    "many gaps": stream(gaps=1.2),
    "no gaps": stream(gaps=0.0),
    "one key": stream(keys=1),
    "one event a key": stream(n=80).assign(key=range(80)),
    "each second": stream(keys=1).assign(t=1.7e12 + 1000 * np.arange(600)),
    "one time": stream().assign(t=1.7e12),
    "one value": stream().assign(x=3.0),
    "into summer time": around("2026-03-29"),
    "out of summer time": around("2026-10-25"),
    "southern autumn": around("2026-04-05"),
}
STEPS_BACK = {f"clock steps {seed}": stream(steps_back=0.1, seed=seed) for seed in range(3)}


def calculated(feature, frame):
    program = compiled_program([feature])
    columns = [feature.of] if feature.of else []
    table = np.zeros((frame["key"].max() + 1, program.words))
    keys, times = frame["key"].to_numpy(), frame["t"].to_numpy()
    return run(program, table, keys, times, frame[columns].to_numpy(dtype=float))


def expected(feature, frame):
    found = FUNCTIONS[feature.fn](frame, **dict(feature.params))
    return found.reindex(frame.index).to_numpy(dtype=float).reshape(len(frame), -1)


def require_same(feature, frame):
    # pandas adds and subtracts as values come and go, which leaves some rounding behind.
    np.testing.assert_allclose(
        calculated(feature, frame), expected(feature, frame), rtol=1e-7, atol=1e-6
    )


def test_no_function_is_forgotten():
    assert {table["fn"] for table in BY_VALUES + BY_TIME} | ELSEWHERE == set(CATALOGUE)


@pytest.mark.slow
@pytest.mark.parametrize("table", BY_VALUES, ids=lambda table: declare(table).label)
@pytest.mark.parametrize(
    "frame", [*STREAMS.values(), *STEPS_BACK.values()], ids=[*STREAMS, *STEPS_BACK]
)
def test_windows_of_values(table, frame):
    require_same(declare(table), frame)


@pytest.mark.parametrize("name", ["into summer time", "out of summer time"])
def test_a_rhythm_by_the_clock_is_one_in_local_time_only(name):
    """What happens at eight each morning stays usual when the clocks are changed."""
    frame = STREAMS[name].assign(key=0)
    clock = pd.to_datetime(frame["t"], unit="ms", utc=True).dt.tz_convert(BERLIN)
    frame["x"] = np.where(clock.dt.hour == 8, 50.0, 0.0)
    table = {"of": "x", "fn": "season", "slots": 24}
    by_utc, by_clock = (
        calculated(declare(table | zone), frame)[200:, 0] for zone in ({}, {"zone": BERLIN})
    )
    assert not by_clock.any()
    assert np.abs(by_utc).max() > 40


@pytest.mark.slow
@pytest.mark.parametrize("table", BY_TIME, ids=lambda table: declare(table).label)
@pytest.mark.parametrize("frame", STREAMS.values(), ids=STREAMS)
def test_windows_of_time(table, frame):
    require_same(declare(table), frame)


@pytest.mark.parametrize("how", ["count", "mean", "min", "max", "std"])
def test_late_events_join_the_window_that_their_time_is_in(how):
    """By a join of each event with those before it. Events are late by less than the window."""
    frame = stream(keys=3, n=500, gaps=0.0)
    rng = np.random.default_rng(3)
    frame["t"] -= np.where(rng.random(500) < 0.3, rng.integers(0, 50_000, 500), 0)
    feature = declare(
        {"of": "x", "fn": how, "window": "1m"} if how != "count" else {"fn": how, "window": "1m"}
    )
    frame["slice"] = np.floor(frame["t"] / 1000)
    frame = frame.reset_index(names="row")
    pairs = frame.merge(frame, on="key", suffixes=("", "_before"))
    age = pairs["slice"] - pairs["slice_before"]
    pairs = pairs[(pairs["row_before"] <= pairs["row"]) & (age >= 0) & (age < SLICES)]
    found = pairs.groupby("row")["x_before"].agg(how)
    in_time = frame["slice"] >= frame.groupby("key")["slice"].cummax()
    assert 50 < (~in_time).sum() < 400
    np.testing.assert_allclose(
        calculated(feature, frame)[in_time, 0], found[in_time], rtol=1e-9, atol=1e-9
    )


@pytest.mark.slow
def test_a_hundred_thousand_keys():
    frame = stream(keys=100_000, n=300_000, steps_back=0.01)
    features = [
        declare(table)
        for table in (
            {"of": "x", "fn": "lag"},
            {"of": "x", "fn": "diff"},
            {"of": "x", "fn": "mean", "window": 2},
            {"of": "x", "fn": "ewma", "half_life": 3},
            {"of": "x", "fn": "rate"},
            {"of": "x", "fn": "shingle", "window": 2},
            {"of": "c", "fn": "rarity", "top": 6},
        )
    ]
    state = FeatureState(compiled_program(features), KeyBounds())
    keys = [b"host-%d" % key for key in frame["key"].tolist()]
    values = frame[["x", "c"]].to_numpy()
    parts = [
        state.rows(["t/0"] * len(keys[part]), keys[part], frame["t"].to_numpy()[part], values[part])
        for part in (slice(0, 123_456), slice(123_456, None))
    ]
    rows = np.vstack([part.rows for part in parts])
    assert len(state.tables.of("t/0")) == frame["key"].nunique() > 90_000
    found = [expected(each, frame) for each in features[:-1]]
    found.append(FUNCTIONS["rarity"](frame).reindex(frame.index).to_numpy()[:, None])
    np.testing.assert_allclose(rows, np.hstack(found), rtol=1e-9, atol=1e-9)
