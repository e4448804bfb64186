"""Outputs read again, whoever wrote them; and what is remembered of them."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectd.models.recent_anomalies import FEATURES, KEPT, RecentAnomalies, together
from detectd.pipeline.anomaly_records import LONGEST, Anomaly, Feature, reader
from detectd.pipeline.fields import before
from detectd.pipeline.records import Outgoing, Record, Topic
from detectd.report.anomaly_selection import Selection, by_key

ENVELOPE = {"verdict": "anomaly", "score": 2.5, "p_value": 0.01, "model": "m", "id": "e.jsonl:7"}
HEADERS = (
    ("detectd-id", b"forged"),  # of whoever produced the record: before ours
    ("detectd-verdict", b"anomaly"),
    ("detectd-score", b"2.5"),
    ("detectd-model", b"m"),
    ("detectd-p-value", b"0.01"),
    ("detectd-id", b"e.jsonl:7"),
)


def envelope(event, **more):
    frame = json.dumps(ENVELOPE | more)[:-1]
    return f'{frame},"event":{event}}}'.encode()


def read(value, *, names=("a", "b"), **more):
    return reader(names, original=False)(Record("anomaly.jsonl@0", value, **more))


def test_an_envelope_and_an_original_say_the_same():
    event = '{"a": 1.5, "b": 2}'
    one = read(envelope(event, key="h", timestamp=5))
    original = Record("t/0/0", event.encode(), b"h", HEADERS, timestamp_ms=5)
    assert one == reader(("a", "b"), original=True)(original)
    assert one == Anomaly(
        "e.jsonl:7", "anomaly", 5, "h", 2.5, 0.01, "m", (Feature("a", 1.5), Feature("b", 2))
    )


@pytest.mark.parametrize(
    ("parts", "shares"),
    [
        ({"b": 3.0, "a": 1.0}, [("b", 0.75), ("a", 0.25)]),
        ({"a": 2.0, "b": -1.0}, [("a", 1.0), ("b", 0.0)]),
        ({"a": None, "b": -1.0}, [("a", None), ("b", None)]),
        ({"a": 1.7e308, "b": 1.7e308}, [("a", 0.5), ("b", 0.5)]),
    ],
)
def test_shares_are_of_what_raised_the_score(parts, shares):
    found = read(envelope('{"a": 1, "b": 2}', explanation={"features": parts}))
    assert [(feature.name, feature.share) for feature in found.features] == shares


@pytest.mark.parametrize(
    ("event", "shown"),
    [
        ('{"a": 1e400, "b": 2}', ("inf", 2)),
        ('{"a": 123456789012345678901234567890, "b": true}', ("123456789012345678901234567890", 1)),
        ('{"a": {"x": 1}, "b": "text"}', (None, "text")),
        (r'{"a": "\ud83d", "b": 2}', (r"\ud83d", 2)),
        ("[" * 400 + "]" * 400, (None, None)),
        ('{"a": "' + "x" * 70_000 + '"}', (None, None)),
        ("7", (None, None)),
    ],
)
def test_no_event_is_too_strange_to_be_listed(event, shown):
    found = read(envelope(event))
    assert tuple(feature.value for feature in found.features) == shown
    json.dumps([feature.value for feature in found.features], allow_nan=False)


def test_keys_that_are_no_text_or_long_are_shown_all_the_same():
    assert read(envelope("{}", key_base64="/w==")).key == r"\xff"
    assert read(envelope("{}"), key=b"\xff").key == r"\xff"
    long, other = (read(envelope("{}", key="x" * 10_000 + end)).key for end in "ab")
    assert long != other
    assert len(long) < LONGEST + 60


@given(st.binary() | st.none() | st.recursive(st.none(), st.lists).map(json.dumps).map(str.encode))
def test_what_is_no_output_is_none(value):
    for original in (False, True):
        assert reader(("a",), original=original)(Record("x", value)) is None


anomalies = st.lists(
    st.builds(
        Anomaly,
        id=st.uuids().map(str),
        verdict=st.just("anomaly"),
        time_ms=st.none() | st.integers(0, 9),
        key=st.sampled_from([None, "", "a", "b", "=a"]),
        score=st.floats(0, 9),
        p_value=st.sampled_from([0.1, 0.2]),
    ),
    max_size=40,
)


@given(anomalies)
def test_grouping_by_key_is_what_it_says(found):
    groups = {group.key: group for group in by_key(found)}
    assert set(groups) == {each.key for each in found}
    for key, group in groups.items():
        own = [each for each in found if each.key == key]
        assert (group.count, group.error) == (len(own), 0)
        assert (group.latest.time_ms or 0) == max(each.time_ms or 0 for each in own)
        assert group.strongest.strength == max(each.strength for each in own)
    counts = [group.count for group in by_key(found)]
    assert counts == sorted(counts, reverse=True)


@given(anomalies, st.none() | st.integers(0, 9))
def test_a_selection_counts_what_it_leaves_out(found, since):
    by_id = {each.id: each for each in found}
    selection = Selection(lambda record: by_id.get(record.id), since)
    records = [Record(each.id, b"") for each in found] + [Record("?", b"")]
    chosen = list(selection.of([records[:3], records[3:]]))
    if since is None:
        assert chosen == found
    else:
        assert chosen == [
            each
            for each in found
            if (each.time_ms or -1) >= since or (since == 0 and each.time_ms == 0)
        ]
        assert selection.timeless == sum(each.time_ms is None for each in found)
    assert (selection.matched, selection.unreadable) == (len(chosen), 1)


def outgoing(n, score, key=None):
    value = envelope('{"a": 1}', score=score, id=f"e:{n}", p_value=0.01)
    headers = (("detectd-score", b"9e9"), ("detectd-score", json.dumps(score).encode()))
    return Outgoing(Topic.ANOMALY, value, key, headers)


@pytest.mark.parametrize("size", [1, 3, 100, 1000])
def test_the_latest_and_the_strongest_are_remembered_however_batches_are_cut(size):
    draw = random.Random(5)
    stream = [outgoing(n, draw.random(), b"k%d" % (n % 9)) for n in range(500)]
    recent = RecentAnomalies(("a",), original=False)
    for start in range(0, 500, size):
        normal = Outgoing(Topic.NORMAL, b"{}")
        recent.see([normal, *stream[start : start + size]])
    told = recent.as_dict()
    scores = [json.loads(out.value)["score"] for out in stream]
    assert [each["id"] for each in told["latest"]] == [f"e:{n}" for n in range(500 - KEPT, 500)]
    assert [each["score"] for each in told["strongest"]] == sorted(scores)[: -KEPT - 1 : -1]
    assert {key["key"]: key["count"] for key in told["keys"]} == {
        f"k{i}": len(range(i, 500, 9)) for i in range(9)
    }


@pytest.mark.slow
def test_what_is_remembered_survives_a_restart_and_stays_small():
    names = [f"feature {i}" for i in range(1000)]
    recent = RecentAnomalies(names, original=False)
    for n in range(200):
        recent.see([outgoing(n, n, b"\xff" * 10_000 + b"%d" % n)])
    told = json.loads(json.dumps(recent.as_dict(), allow_nan=False))
    assert len(json.dumps(told)) < 150_000
    assert {len(each["features"]) for each in told["latest"]} == {FEATURES}
    again = RecentAnomalies(names, original=False)
    again.resume(told)
    assert json.loads(json.dumps(again.as_dict())) == told
    for damaged in (None, 3, {"latest": 3}, {"keys": [{"key": "a", "count": -1}]}):
        again.resume(damaged)
        assert again.as_dict() == {"latest": [], "strongest": [], "keys": []}


def test_two_processes_remember_as_one():
    one, two = (RecentAnomalies(("a",), original=False) for _ in range(2))
    one.see([outgoing(n, n, b"k") for n in range(0, 60, 2)])
    two.see([outgoing(n, n, b"k") for n in range(1, 60, 2)])
    told = together([one.as_dict(), two.as_dict(), None])
    assert [each["score"] for each in told["strongest"]] == list(range(59, 59 - KEPT, -1))
    assert (len(told["latest"]), told["keys"]) == (KEPT, [{"key": "k", "count": 60, "error": 0}])


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2h", 10_000_000 - 7_200_000),
        ("90 s", 10_000_000 - 90_000),
        ("1.5m", 10_000_000 - 90_000),
        ("0d", 10_000_000),
        ("1970-01-01T00:00:05Z", 5000),
        ("1970-01-01T01:00:05+01:00", 5000),
        ("2 hours", None),
        ("-2h", None),
        ("", None),
        ("yesterday", None),
    ],
)
def test_a_time_is_a_span_before_now_or_a_moment(text, ms):
    assert before(text, 10_000_000) == ms
