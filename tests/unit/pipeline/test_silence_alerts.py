"""A silence as a record: in words, and under an id that is its own."""

import json
import math

import pytest

from detectd.features.key_rows import kept
from detectd.features.silence import Silence
from detectd.pipeline.alerts import silence_alert
from detectd.pipeline.output_detail import shown

NOON = 1_767_268_800_000.0  # of the first day of 2026
OPEN = Silence("open", b"web-3", NOON, 7, math.nan)
CLOSE = Silence("close", b"web-3", NOON, 7, NOON + 90_000.0)


def read(silence, partition="t/0"):
    out = silence_alert(partition, silence, "10m")
    return out, json.loads(out.value)


def test_both_ends_say_what_happened_to_whom():
    out, told = read(OPEN)
    assert out.key == b"web-3"
    assert told["since"] == "2026-01-01T12:00:00.000Z"
    assert told["until"] is None
    assert told["summary"].startswith("web-3: silent for more than 10m, last event 2026-01-01T12")
    _, back = read(CLOSE)
    assert (back["until"], back["reason"]) == ("2026-01-01T12:01:30.000Z", "returned")
    assert back["summary"] == "web-3: back after 0:01:30"
    _, gone = read(CLOSE._replace(until_ms=math.nan, forgotten=True))
    assert (gone["until"], gone["reason"]) == (None, "forgotten")
    assert "keys.max" in gone["summary"]


def test_the_id_is_that_of_one_silence():
    assert read(OPEN)[1]["id"] == read(CLOSE)[1]["id"]
    others = [
        read(OPEN, "t/1"),
        read(OPEN._replace(key=b"web-4")),
        read(OPEN._replace(key=None)),
        read(OPEN._replace(key=b"")),
        read(OPEN._replace(since_ms=NOON + 1)),
        read(OPEN._replace(since_ms=math.nan)),
        read(OPEN._replace(events=8)),
    ]
    assert len({told["id"] for _, told in [read(OPEN), *others]}) == 8


@pytest.mark.parametrize("time_ms", [math.nan, 1e300, -1e17, 9.3e18])
def test_a_time_that_no_calendar_has_is_null(time_ms):
    _, told = read(OPEN._replace(since_ms=time_ms))
    assert told["since"] is None
    assert told["summary"] == "web-3: silent for more than 10m"
    _, back = read(CLOSE._replace(until_ms=time_ms))
    assert (back["until"], back["summary"]) == (None, "web-3: back")
    assert read(CLOSE._replace(since_ms=time_ms))[1]["summary"] == "web-3: back"


def test_any_key_can_be_told():
    out, told = read(OPEN._replace(key=None))
    assert (out.key, told["key"]) == (None, None)
    assert told["summary"].startswith("events without a key: silent")
    assert read(OPEN._replace(key=b"\xff\n"))[1]["key"] == "\\xff\n"
    out, told = read(OPEN._replace(key=kept(b"k" * 1_000_000)))
    assert told["key"].startswith("kkkk")
    assert len(out.value) < 1000
    assert b"\n" not in out.value


def test_there_is_no_figure_in_it_to_be_left_out():
    out, _ = read(OPEN)
    assert shown([out], "verdict", original=False) == [out]
