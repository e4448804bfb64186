"""A slip in the name of a key or a time is seen in the first events, and no other time."""

from __future__ import annotations

import json

import pytest

from detectd.pipeline.absence import names_of
from detectd.pipeline.field_watch import FieldWatch
from detectd.pipeline.records import Record
from detectd.pipeline.schema import Schema

SCHEMA = Schema(features=("a",), key="host", timestamp="time")
GOOD = {"host": "x", "time": "2026-11-23T12:00:00Z", "a": 1}


def records(count, event=GOOD, key=None):
    return [Record(f"f:{i}", json.dumps(event).encode(), key=key) for i in range(count)]


def lacking(*names, **others):
    return {k: v for k, v in (GOOD | others).items() if k not in names}


@pytest.mark.parametrize("event", [GOOD, GOOD | {"time": 1_764_000_000}])
def test_there_is_nothing_to_say_of_events_that_have_them(event):
    watch = FieldWatch(SCHEMA)
    assert not watch.look(records(300, event))
    assert watch.warnings == []


def test_a_hundred_records_are_looked_at_over_several_batches():
    watch = FieldWatch(SCHEMA)
    assert not watch.look(records(60, lacking("host", hosts="x")))
    assert not watch.look([Record("f:60", b"no json")] * 50)
    assert not watch.look(records(39, lacking("host", hosts="x")))
    assert watch.look(records(1, lacking("host", hosts="x")))
    (warning,) = watch.warnings
    assert warning.startswith("event.key: 'host' is in none of the first 100 records; did you mean")
    assert "'hosts'" in warning
    assert not watch.look(records(10, lacking("host")))


def test_one_record_with_it_among_them_is_enough():
    watch = FieldWatch(SCHEMA)
    watch.look([*records(99, lacking("host", "time")), *records(1)])
    assert watch.warnings == []


def test_it_ends_when_the_field_comes_after_all():
    watch = FieldWatch(SCHEMA)
    watch.look(records(100, lacking("host")))
    assert watch.warnings
    assert watch.look(records(1))
    assert watch.warnings == []


def test_a_short_stream_is_judged_at_its_end():
    watch = FieldWatch(SCHEMA)
    assert not watch.look(records(3, lacking("time")))
    assert watch.look([], last=True)
    assert watch.warnings[0].startswith("event.timestamp: 'time' is in none of the records")
    empty = FieldWatch(SCHEMA)
    assert not empty.look([], last=True)


def test_a_record_with_a_key_of_its_own_needs_no_field():
    watch = FieldWatch(SCHEMA)
    watch.look(records(100, lacking("host"), key=b"k"))
    assert watch.warnings == []


@pytest.mark.parametrize("value", ["yesterday", True, {"s": 1}, -5])
def test_a_field_that_holds_no_time_is_shown(value):
    watch = FieldWatch(SCHEMA)
    watch.look(records(100, GOOD | {"time": value}))
    (warning,) = watch.warnings
    assert warning.startswith("event.timestamp: 'time' holds no time in the first 100 records")
    assert repr(value) in warning


def test_a_feature_whose_median_would_be_taken_for_ever_is_said():
    watch = FieldWatch(Schema(features=("a", "cpuu"), missing="median"))
    watch.look(records(100, GOOD | {"cpu": 1}))
    (warning,) = watch.warnings
    assert warning.startswith("event.features: 'cpuu' is in none of the first 100 records; did you")
    assert "'cpu'" in warning
    dead = FieldWatch(Schema(features=("a", "cpuu")))  # its records are dead letters, which say so
    dead.look(records(100))
    assert dead.warnings == []


def test_without_key_and_time_nothing_is_looked_at():
    watch = FieldWatch(Schema(features=("a",)))
    assert not watch.look(records(100, {}))


def test_names_are_paths():
    event = {"a": 1, "b": {"c": {"d": None}}, "e": [1, {"f": 2}], "g": {}}
    assert list(names_of(event)) == ["a", "b.c.d", "e.0", "e.1.f"]
