"""What fields are taken for, and why."""

from __future__ import annotations

import random

import pytest

from detectd.pipeline.field_guessing import guess

COUNT = 200
DRAW = random.Random(3)
X = [DRAW.gauss(50, 9) for _ in range(COUNT)]
NAMES = [f"web-{i % 7}" for i in range(COUNT)]


def guessed(rows=False, **columns):
    """The columns are added to a feature `x`; None leaves a field out of the event."""
    columns = {"x": X, **columns}
    events = [
        {name: values[i] for name, values in columns.items() if values[i] is not None}
        for i in range(COUNT)
    ]
    return guess(events, rows=rows)


def why(name, values, **others):
    """Why a field is left out; None if it is a feature."""
    found = guessed(**others, **{name: values})
    assert "x" in [field.name for field in found.features]
    left_out = {field.name: field.why for field in found.left_out}
    assert (name in left_out) != (name in [field.name for field in found.features])
    return left_out.get(name)


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("n", range(COUNT), "a counter"),
        ("requests_total", [i // 3 * 10 for i in range(COUNT)], "a counter"),
        ("kwh", [i * 0.25 for i in range(COUNT)], "a counter"),
        ("rack", [7] * COUNT, "always 7"),
        ("up", [i % 2 == 0 for i in range(COUNT)], "a flag, true or false"),
        ("busy", [i % 2 for i in range(COUNT)], "a flag, 0 or 1"),
        ("user_id", [DRAW.randrange(10**6) for _ in range(COUNT)], "an identifier"),
        ("status", [DRAW.choice([200, 404, 500]) for _ in range(COUNT)], "a code"),
        ("is_anomaly", [i % 3 for i in range(COUNT)], "a label"),
        ("note", [f"line {i}" for i in range(COUNT)], "text, like 'line 0'"),
        ("region", ["eu"] * COUNT, "text, always 'eu'"),
        ("sparse", [i * 0.5 % 7 if i % 3 == 0 else None for i in range(COUNT)], "missing in 66%"),
        ("mixed", [X[i] if i % 5 else "n/a" for i in range(COUNT)], "not always a number: 'n/a'"),
    ],
)
def test_what_is_no_feature_is_left_out_with_the_reason(name, values, reason):
    assert reason in why(name, values)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("latency", [DRAW.expovariate(1) for _ in range(COUNT)]),
        ("queue", [DRAW.randrange(9) for _ in range(COUNT)]),
        ("memory_bytes", [1.7e9 + DRAW.randrange(10**6) for _ in range(COUNT)]),  # no epoch time
        ("big", [DRAW.randrange(10**18) for _ in range(COUNT)]),
    ],
)
def test_numbers_that_vary_are_features(name, values):
    assert why(name, values) is None


def test_a_counter_of_each_key_is_one():
    per_key = [1000 * (i % 7) + i // 7 for i in range(COUNT)]
    assert "a counter" in why("sent", per_key, host=NAMES)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("ts", [f"2026-11-23T12:{i // 60:02}:{i % 60:02}Z" for i in range(COUNT)]),
        ("timestamp", [1_764_000_000 + i for i in range(COUNT)]),
        ("@timestamp", [1_764_000_000_123 + i for i in range(COUNT)]),
        ("created_at", [f"2026-11-23 12:{i // 60:02}:{i % 60:02}" for i in range(COUNT)]),
        ("seen", [f"2026-11-{1 + i % 28:02}" for i in range(COUNT)]),
    ],
)
def test_times_are_found_by_value_and_numbers_by_name_too(name, values):
    assert guessed(**{name: values}).time.name == name


def test_of_several_times_the_best_named_is_taken():
    times = [f"2026-11-23T12:{i // 60:02}:{i % 60:02}Z" for i in range(COUNT)]
    found = guessed(booked=times, time=times)
    assert found.time.name == "time"
    assert [(field.name, field.why) for field in found.left_out] == [("booked", "another time")]


@pytest.mark.parametrize(
    ("name", "values", "is_key"),
    [
        ("host", NAMES, True),
        ("instance", [3 + i % 4 for i in range(COUNT)], True),
        ("sensor_id", [f"s{i % 9}" for i in range(COUNT)], True),
        ("region", NAMES, False),
        ("user_id", [f"u{i}" for i in range(COUNT)], False),  # none comes again
        ("load.node", X, False),  # no name has decimals
    ],
)
def test_a_key_is_known_by_its_name_and_comes_again(name, values, is_key):
    found = guessed(**{name: values})
    assert (found.key is not None and found.key.name == name) == is_key


def test_gaps_and_numbers_in_text_are_said():
    found = guessed(y=[None if i % 9 == 0 else X[i] + 1 for i in range(COUNT)])
    assert (found.gaps, found.numeric_strings) == (True, False)
    assert guessed(y=[f"{x:.2f}" for x in X]).numeric_strings
    assert not guessed(rows=True, y=[f"{x:.2f}" for x in X]).numeric_strings
    assert guessed(rows=True, y=["" if i % 9 == 0 else f"{X[i]:.2f}" for i in range(COUNT)]).gaps


def test_few_events_are_not_enough_to_tell_a_counter():
    found = guess([{"a": i, "b": 2 * i + 1} for i in range(4)], rows=False)
    assert [field.name for field in found.features] == ["a", "b"]
