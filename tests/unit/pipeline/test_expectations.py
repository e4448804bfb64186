"""How features were off: too high or too low, and what would have been expected, as declared."""

import json
import math

import numpy as np
import pytest

from detectd.features.declaring import declare
from detectd.features.program import compiled_program
from detectd.features.state import FeatureState, KeyBounds
from detectd.pipeline.expectations import Expectations
from detectd.pipeline.judging import ModelScorer
from detectd.pipeline.records import Record
from detectd.pipeline.schema import Schema
from detectd.pipeline.scoring import judge_vectors
from detectd.pipeline.vectors import vectors
from detectd.rejection import rejector

DAY, STEP = 86_400, 300
FEATURES = (
    "x",
    declare({"of": "x", "fn": "mean", "window": 5}),
    declare({"of": "x", "fn": "season", "name": "season"}),
    declare({"of": "x", "fn": "mean", "window": 5, "surprise": True, "name": "level"}),
    declare({"of": "x", "fn": "season", "surprise": True, "name": "hours"}),
    declare({"of": "x", "fn": "mean", "window": 5, "surprise": "exact", "name": "exact"}),
    declare({"of": "x", "fn": "frozen", "name": "frozen"}),
    declare({"of": "x", "fn": "series"}),
    declare({"fn": "hour"}),
)
SCHEMA = Schema(FEATURES, ("host",), "t")
MEDIANS = np.full(len(SCHEMA.columns), 0.5)


def usual(i):
    """50 on average, 60 in the morning and 40 in the evening."""
    return 50 + 10 * math.sin(i * STEP / DAY * 2 * math.pi)


def stream(*last, days=5):
    """A key's values over days, and the last of them as given."""
    noise = np.random.default_rng(0).normal(0, 0.5, days * DAY // STEP)
    values = [usual(i) + x for i, x in enumerate(noise.tolist())]
    return values + [usual(len(values) + i) if x is None else x for i, x in enumerate(last)]


def records(values, first=0):
    return [
        Record(
            f"t:{first + i}", json.dumps({"host": "h", "t": (first + i) * STEP, "x": x}).encode()
        )
        for i, x in enumerate(values)
    ]


def off(values, feature, state=None):
    """How the feature of the last event was off."""
    state = state or FeatureState(compiled_program(FEATURES), KeyBounds())
    batch = vectors(records(values), SCHEMA, state)
    expectations = Expectations(SCHEMA, batch.rows, MEDIANS, batch.background)
    return expectations.off(len(values) - 1, feature)


def test_a_field_and_a_plain_function_are_held_against_the_training_median():
    assert off(stream(90.0), "x") == {"way": "high", "value": 90.0, "expected": 0.5}
    assert off(stream(-3.0), "x") == {"way": "low", "value": -3.0, "expected": 0.5}
    values = stream(90.0)
    told = off(values, "x_mean_5")
    assert (told["way"], told["expected"]) == ("high", 0.5)
    assert told["value"] == pytest.approx(np.mean(values[-5:]))


@pytest.mark.parametrize(("last", "way"), [(90.0, "high"), (10.0, "low")])
@pytest.mark.parametrize("feature", ["season", "hours"])
def test_a_season_is_held_against_what_the_key_has_at_this_time(feature, last, way):
    told = off(stream(*[None] * 72, last), feature)
    assert (told["way"], told["value"]) == (way, last)
    assert told["expected"] == pytest.approx(usual(72), abs=1.5)
    assert set(told) == {"way", "value", "expected"}


def test_a_surprise_is_held_against_the_keys_own_median():
    told = off(stream(*[90.0] * 5), "level")
    assert told == {"way": "high", "value": 90.0, "expected": pytest.approx(50, abs=2)}
    assert off(stream(*[90.0] * 5), "exact") == {"way": "high", "value": 90.0}
    assert off(stream(*[10.0] * 5), "exact") == {"way": "low", "value": 10.0}
    assert off(stream(*[33.0] * 40), "frozen") == {"way": "high", "value": 40.0, "expected": 1.0}


def test_of_several_columns_it_is_the_one_that_is_farthest_off():
    told = off(stream(*[None] * 72, 90.0), "x_series")
    assert told["column"] == "x_series_day"
    assert (told["way"], told["value"]) == ("high", 90.0)
    assert told["expected"] == pytest.approx(usual(72), abs=1.5)
    frozen = off(stream(*[usual(0)] * 60), "x_series")
    assert frozen["column"] in {"x_series_frozen", "x_series_day", "x_series_week"}


def test_nothing_is_said_of_the_hour_nor_of_what_is_not_known():
    assert off(stream(90.0), "hour") is None
    assert off([1.0], "level") is None
    assert off([1.0, 2.0], "exact") is None
    assert off([0.5], "x") is None


def test_rows_keep_what_is_behind_them():
    """Of several partitions, in several batches, without those that no model judges, one by one."""
    values = stream(90.0, 10.0, days=3)
    state = FeatureState(compiled_program(FEATURES), KeyBounds(min_events=5))
    found = []
    for first in range(0, len(values), 100):
        part = records(values[first : first + 100], first)
        both = [
            Record(f"{topic}/{i}", record.value, partition=i % 2)
            for i, record in enumerate(part)
            for topic in ("a/0", "a/1")
        ]
        batch = vectors(both, SCHEMA, state)
        expected = Expectations(SCHEMA, batch.rows, MEDIANS, batch.background)
        for row in range(0, len(batch.rows), 2):
            alone = batch.only(row)
            single = Expectations(SCHEMA, alone.rows, MEDIANS, alone.background)
            assert expected.off(row, "hours") == expected.off(row + 1, "hours")
            assert single.off(0, "hours") == expected.off(row, "hours")
            found.append(expected.off(row, "hours"))
    assert len(found) == len(values) - 5
    assert [each["value"] for each in found[-2:]] == [90.0, 10.0]
    assert found[-1] == off(values, "hours")


@pytest.mark.parametrize("explains", [True, False])
def test_explanations_say_it_of_what_raised_the_score(explains):
    class Sum:
        def score(self, rows):
            return rows[:, 0] + rows[:, 4]

    judge = ModelScorer("v", Sum(), rejector(np.arange(60.0), 0.1, 2.0), MEDIANS, explains)
    values = stream(*[None] * 72, 90.0)
    state = FeatureState(compiled_program(FEATURES), KeyBounds())
    batch = vectors(records(values), SCHEMA, state)
    body = json.loads(judge_vectors(records(values), batch, SCHEMA, judge).outgoing[-1].value)
    if not explains:
        assert "explanation" not in body
        return
    told = body["explanation"]
    assert list(told) == ["features", "off", "nearest"]
    assert list(told["off"]) == [name for name, part in told["features"].items() if part > 0]
    assert told["off"]["x"] == {"way": "high", "value": 90.0, "expected": 0.5}
    assert told["off"]["hours"]["expected"] == pytest.approx(usual(72), abs=1.5)
