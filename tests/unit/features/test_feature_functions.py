"""Features that are calculated from the event's time."""

import json
import math
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectd.errors import ConfigError
from detectd.features import FUNCTIONS, Function, as_data, from_data, in_words
from detectd.features.zones import local_ms
from detectd.pipeline.decode import decode
from detectd.pipeline.fast_json import typed_reader
from detectd.pipeline.records import Record, Stage
from detectd.pipeline.schema import Schema
from detectd.settings.loader import settle

HOUR, WEEKDAY = Function("hour", "hour"), Function("weekday", "weekday")
moments = st.integers(0, 253_402_300_799_999)


def reference(fn, ms):
    """By the calendar."""
    moment = datetime.fromtimestamp(ms // 1000, UTC)
    passed = moment.hour + moment.minute / 60 + (moment.second + ms % 1000 / 1000) / 3600
    turn = passed / 24 if fn == "hour" else moment.weekday() / 7
    return math.sin(2 * math.pi * turn), math.cos(2 * math.pi * turn)


@given(moments, st.sampled_from(sorted(FUNCTIONS)))
def test_columns_are_those_of_the_calendar(ms, fn):
    np.testing.assert_allclose(
        Function(fn, fn).values(np.array([float(ms)]))[0], reference(fn, ms), atol=1e-9
    )


@given(st.lists(moments, min_size=1, max_size=70), st.integers(0, 70))
def test_values_do_not_depend_on_where_a_batch_is_cut(times, cut):
    times = np.array(times, dtype=float)
    for function in (HOUR, WEEKDAY, Function("hour", "local", "Europe/Berlin")):
        parts = [function.values(times[:cut]), function.values(times[cut:])]
        assert np.vstack(parts).tobytes() == function.values(times).tobytes()


ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC")


@given(moments.filter(lambda ms: ms < 253_400_000_000_000), st.sampled_from(ZONES))
def test_local_time_is_that_of_the_calendar_there(ms, zone):
    local = datetime.fromtimestamp(ms // 1000, ZoneInfo(zone)).replace(tzinfo=UTC)
    wall = round(local.timestamp()) * 1000 + ms % 1000
    for fn in FUNCTIONS:
        found = Function(fn, fn, zone).values(np.array([float(ms)]))[0]
        np.testing.assert_allclose(found, reference(fn, wall), atol=1e-9)


@pytest.mark.parametrize(
    ("zone", "change"),
    [
        ("Europe/Berlin", "2026-03-29T01:00:00+00:00"),  # 02:00 becomes 03:00
        ("Europe/Berlin", "2026-10-25T01:00:00+00:00"),  # 03:00 becomes 02:00
        ("America/New_York", "2026-11-01T06:00:00+00:00"),
        ("Australia/Lord_Howe", "2026-04-04T15:00:00+00:00"),  # by half an hour
        ("Africa/Monrovia", "1972-01-07T00:44:30+00:00"),  # at no whole minute
    ],
)
def test_the_second_at_which_clocks_are_changed(zone, change):
    at = datetime.fromisoformat(change).timestamp()
    seconds = [at - 3600, at - 1, at, at + 1, at + 3600]
    together = local_ms(zone, np.array(seconds) * 1000) - np.array(seconds) * 1000
    for second, found in zip(seconds, together.tolist(), strict=True):
        passed = datetime.fromtimestamp(second, ZoneInfo(zone)).utcoffset()
        assert found == passed.total_seconds() * 1000
    assert together[1] != together[2]


def test_no_time_is_no_local_time_and_the_last_one_is_one():
    found = Function("hour", "hour", "Asia/Tokyo").values(np.array([np.nan, 253_402_300_799_999.0]))
    assert np.isnan(found[0]).all()
    assert np.isfinite(found[1]).all()


def test_midnight_is_near_itself():
    before, after = HOUR.values(np.array([86_399_000.0, 86_401_000.0]))
    assert np.abs(before - after).max() < 1e-3


def test_columns_stand_where_the_feature_is_declared():
    schema = Schema(("a", HOUR, "b", WEEKDAY), timestamp="at")
    assert schema.columns == (*("a", "hour_sin", "hour_cos", "b", "weekday_sin", "weekday_cos"),)
    assert typed_reader(schema)
    event = b'{"a": 1, "b": 2, "at": "1970-01-05T06:00:00Z"}'  # a Monday
    (row,) = decode([Record("t:1", event)], schema).rows
    np.testing.assert_allclose(row, [1, 1, 0, 2, 0, 1], atol=1e-12)


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (b'{"a": 1, "at": "soon"}', "holds none"),
        (b'{"a": 1, "at": null}', "holds none"),
        (b'{"a": 1, "a_t": 5}', "is missing; did you mean 'a_t'? the fields are a, a_t"),
        (b'{"a": 1, "when": 5}', "is missing; did you mean 'a'? the fields are a, when"),
    ],
)
def test_an_event_without_a_time_is_a_dead_letter_or_gets_medians(event, why):
    dead = decode([Record("t:1", event)], Schema(("a", HOUR), timestamp="at")).dead
    assert dead[0].stage is Stage.FEATURES
    assert dead[0].error == f"feature 'hour' needs a time, and 'at' (event.timestamp) {why}"
    imputed = decode([Record("t:1", event)], Schema(("a", HOUR), timestamp="at", missing="median"))
    np.testing.assert_array_equal(imputed.rows, [[1, np.nan, np.nan]])


def test_a_record_s_own_time_does_without_a_field():
    schema = Schema(("a", HOUR))
    decoded = decode([Record("t:1", b'{"a": 1}', timestamp_ms=43_200_000)], schema)
    np.testing.assert_allclose(decoded.rows, [[1, 0, -1]], atol=1e-12)
    assert "set event.timestamp" in decode([Record("t:1", b'{"a": 1}')], schema).dead[0].error


def test_the_time_alone_is_no_event():
    schema = Schema(("a", "b", HOUR), timestamp="at", missing="median")
    dead = decode([Record("t:1", b'{"at": 5}')], schema).dead
    assert "every feature is missing: 'a, b'" in dead[0].error


def test_a_function_counts_as_one_of_the_missing():
    schema = Schema(("a", "b", HOUR), timestamp="at", missing="median", max_missing=1)
    assert (
        "2 of 3 features are missing" in decode([Record("t:1", b'{"a": 1}')], schema).dead[0].error
    )


def written(features, **event):
    return {
        "source": {"kind": "file", "path": "events.jsonl"},
        "sink": {"kind": "stdout"},
        "event": {"features": features, "timestamp": "at", **event},
    }


def test_declared_in_the_configuration():
    event = settle(written(["a", {"fn": "hour"}, {"fn": "weekday", "name": "day"}]), "x").event
    assert event.columns == ("a", "hour_sin", "hour_cos", "day_sin", "day_cos")
    assert event.labels == ("a", "hour", "day")
    assert event.fields == ("a",)


@pytest.mark.parametrize(
    ("features", "said"),
    [
        (
            ["a", {"fn": "huor"}],
            "x: event.features[1]: unknown function 'huor'; did you mean 'hour'?",
        ),
        (
            [{"fn": "zz"}],
            "x: event.features[0]: unknown function 'zz'; the functions are hour, week",
        ),
        ([{"fn": 3}], "x: event.features[0]: unknown function 3; the functions are"),
        ([{"of": "a"}], "x: event.features[0]: needs fn, the name of a function: hour, weekday"),
        (
            [{"fn": "hour", "nmae": "b"}],
            "[0]: function 'hour' takes no 'nmae'; did you mean 'name'?",
        ),
        (
            [{"fn": "hour", "window": 5}],
            "[0]: function 'hour' takes no 'window'; it takes name",
        ),
        ([{"fn": "hour", "name": 5}], "[0]: function 'hour': name must be text"),
        (
            [{"fn": "hour", "zone": "Europe/Berln"}],
            "x: event.features[0]: unknown zone 'Europe/Berln'; did you mean 'Europe/Berlin'?",
        ),
        ([{"fn": "hour", "zone": "europe/berlin"}], "did you mean 'Europe/Berlin'?"),
        ([{"fn": "hour", "zone": "../etc/passwd"}], "unknown zone '../etc/passwd'; "),
        ([{"fn": "hour", "zone": "Europe"}], "[0]: unknown zone 'Europe'; "),
        ([{"fn": "hour", "zone": "localtime"}], "differs between hosts; name the zone, as in"),
        ([{"fn": "hour", "zone": 2}], "[0]: function 'hour': zone must be text, in quotes"),
        ([7], "x: event.features[0]: must be text, in quotes, or a table like"),
        ([""], "x: event.features[0]: must not be empty"),
        (["hour", {"fn": "hour"}], "x: event.features: 'hour' is listed twice; list each feature"),
        (["hour_sin", {"fn": "hour"}], "x: event.features: 'hour_sin' is listed twice; a function"),
    ],
)
def test_mistakes_are_said_in_one_line(features, said):
    with pytest.raises(ConfigError) as refused:
        settle(written(features), "x")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_has_no_times_of_its_own():
    with pytest.raises(ConfigError, match=r"event.features: 'hour' needs the event's time; set"):
        settle(written(["a", {"fn": "hour"}], timestamp=None), "x")


def test_a_declaration_is_kept_as_it_is():
    berlin = Function("weekday", "day", "Europe/Berlin")
    declared = ("a", HOUR, berlin)
    assert from_data(json.loads(json.dumps(as_data(declared)))) == declared
    assert in_words(berlin) == '{fn = "weekday", name = "day", zone = "Europe/Berlin"}'
    features = ["a", {"fn": "hour"}, {"fn": "weekday", "name": "day", "zone": "Europe/Berlin"}]
    event = settle(written(features), "x").event
    assert event.declared == declared
    assert berlin.meaning == "day of the week (Europe/Berlin) on a circle of seven days"
