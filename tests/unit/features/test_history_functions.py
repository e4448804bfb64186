"""Each function of a key's history, against the plainest way to calculate it."""

import math

import numpy as np
import pytest

from detectd.features.catalogue import CATALOGUE
from detectd.features.declaring import declare
from detectd.features.program import compiled_program
from tests.support.feature_reference import FUNCTIONS
from tests.support.feature_rows import run

# Those of the preset `series` have tests of their own.
ELSEWHERE = {"season", "code", "frozen", "series"}

TABLES = [
    {"of": "a", "fn": "lag"},
    {"of": "a", "fn": "lag", "steps": 7},
    {"of": "a", "fn": "diff"},
    {"of": "a", "fn": "diff", "steps": 3},
    {"of": "a", "fn": "rate"},
    *(
        {"of": "a", "fn": fn, "window": window}
        for fn in ("mean", "std", "min", "max")
        for window in (1, 2, 5, 17, 100, "1s", "1m", "1h")
    ),
    *({"of": "a", "fn": "median", "window": window} for window in (1, 2, 5, 100)),
    *({"of": "a", "fn": "quantile", "window": 17, "q": q} for q in (0.1, 0.5, 0.99, 1)),
    *({"of": "a", "fn": "trend", "window": window} for window in (2, 5, 17, 100)),
    *({"of": "a", "fn": "ewma", "half_life": half} for half in (0.5, 10, "30s", "1h")),
    *(
        {"of": "a", "fn": "zscore", "window": window, "robust": robust}
        for window in (2, 5, 100)
        for robust in (True, False)
    ),
    {"of": "a", "fn": "shingle", "window": 3},
    *({"fn": "count", "window": window} for window in ("1s", "1m", "1h")),
    {"fn": "gap"},
    {"of": "c", "fn": "rarity"},
]
KEYS = 5


def stream(seed, n=400):
    """Keys (n,), times (n,) and values (n, 2) of a number and a category.

    Keys take turns at random, and every thirtieth has one event only. Values and times are missing
    here and there; times stand still, run back by seconds, and once by an hour.
    """
    rng = np.random.default_rng(seed)
    keys = rng.integers(0, KEYS, n)
    alone = np.arange(n) % 30 == 0
    keys[alone] = KEYS + np.arange(alone.sum())
    steps = rng.choice([0, 0, 250, 1_000, 7_321, 60_000, -900, -3_000], n).astype(float)
    steps[n // 2] = -3_600_000
    times = 1.7e12 + np.cumsum(steps)
    times[rng.random(n) < 0.02] = math.nan
    values = np.column_stack((rng.normal(100, 10, n).round(1), rng.integers(0, 6, n) + 0.0))
    values[rng.random((n, 2)) < 0.05] = math.nan
    return keys, times, values


def calculated(program, keys, times, values):
    table = np.zeros((keys.max() + 1, program.words))
    return run(program, table, keys, times, values)


def expected(feature, keys, times, values):
    histories = [[] for _ in range(keys.max() + 1)]
    found = []
    for key, t, x in zip(keys, times, values, strict=True):
        histories[key].append((t, x))
        found.append(FUNCTIONS[feature.fn](histories[key], **dict(feature.params)))
    return np.array(found).reshape(len(keys), -1)


def test_no_function_is_forgotten():
    assert {table["fn"] for table in TABLES} | ELSEWHERE == set(CATALOGUE)


@pytest.mark.slow
@pytest.mark.parametrize("table", TABLES, ids=lambda table: declare(table).label)
def test_a_function_is_what_it_says(table):
    feature = declare(table)
    column = 0 if feature.of != "c" else 1
    program = compiled_program([feature])
    for seed in range(3):
        keys, times, values = stream(seed)
        read = values[:, [column]] if feature.of else np.empty((len(keys), 0))
        np.testing.assert_allclose(
            calculated(program, keys, times, read),
            expected(feature, keys, times, values[:, column]),
            rtol=1e-9,
            atol=1e-9,
        )
