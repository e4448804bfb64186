"""A verdict that routine decides: in the record, in the counts, and when something else breaks."""

import json

import numpy as np
import pytest

from detectd.features.program import compiled_program
from detectd.features.state import FeatureState, KeyBounds
from detectd.pipeline import encode, scoring
from detectd.pipeline.judging import ModelScorer
from detectd.pipeline.records import Record, Topic
from detectd.pipeline.schema import Schema
from detectd.pipeline.scoring import collect_vectors, judge_vectors
from detectd.pipeline.vectors import vectors
from detectd.rejection import rejector

SCHEMA = Schema(("a",), ("host",), "t")
EVIL = 666.0
DAY = 86_400


class Fragile:
    """Scores rows by their value; breaks on EVIL."""

    def score(self, rows):
        if (rows == EVIL).any():
            raise TypeError("no")
        return rows[:, 0] * 1.0


@pytest.fixture(scope="module")
def judge():
    """0 to 199 calibrate: 500 is an anomaly, 183 is in the zone, 100 is normal."""
    return ModelScorer("v", Fragile(), rejector(np.arange(200.0), 0.1, 2.0), np.zeros(1), True)


def state(min_events=0):
    bounds = KeyBounds(routine=True, min_events=min_events)
    return FeatureState(compiled_program(SCHEMA.features), bounds)


def record(number, value, *, day=None, host="h"):
    at = 1_800_000_000 + DAY * (number if day is None else day)
    return Record(f"t:{number}", json.dumps({"host": host, "t": at, "a": value}).encode())


def judged(records, judge, features=None, **options):
    batch = vectors(records, SCHEMA, features or state())
    return judge_vectors(records, batch, SCHEMA, judge, **options)


def topics(scored):
    return [out.topic.value for out in scored.outgoing]


def test_what_is_reached_on_two_other_days_is_normal_and_says_why(judge):
    nights = [record(night, 500) for night in range(3)]
    scored = judged(nights, judge)
    assert topics(scored) == ["anomaly", "anomaly", "normal"]
    before, after = (json.loads(out.value) for out in scored.outgoing[1:])
    assert (after["verdict"], after["reason"]) == ("normal", "routine")
    assert "explanation" in before
    assert "explanation" not in after
    figures = ("score", "rank", "p_value", "confidence", "log_p_anomaly", "log_p_normal", "model")
    assert [after[name] for name in figures] == [before[name] for name in figures]
    assert list(scored.routine) == [2]
    # What the model found remains what it found.
    assert scored.found.verdict.tolist() == [1, 1, 1]
    headers = dict(judged(nights, judge, original=True).outgoing[2].headers)
    assert (headers["detectd-verdict"], headers["detectd-reason"]) == (b"normal", b"routine")
    assert "detectd-explanation" not in headers


def test_a_larger_score_and_one_that_is_not_finite_are_no_routine(judge):
    nights = [record(night, value) for night, value in enumerate([500, 600, 550, 500, 500])]
    assert topics(judged(nights, judge)) == ["anomaly"] * 3 + ["normal"] * 2
    wild = ModelScorer("v", Wild(), judge.rejector, judge.medians)
    assert topics(judged(nights, wild)) == ["anomaly"] * 5


class Wild:
    def score(self, rows):
        return np.full(len(rows), np.inf)


def test_an_abstention_is_routine_too_and_what_is_normal_stays_what_it_is(judge):
    nights = [record(night, value) for night, value in enumerate([183, 183, 183, 100])]
    scored = judged(nights, judge)
    assert topics(scored) == ["abstain", "abstain", "normal", "normal"]
    assert [json.loads(out.value)["reason"] for out in scored.outgoing[2:]] == ["routine", None]
    assert list(scored.routine) == [2]


def test_without_a_time_there_is_no_routine(judge):
    timeless = [Record(f"t:{i}", b'{"host": "h", "a": 500}') for i in range(5)]
    assert topics(judged(timeless, judge)) == ["anomaly"] * 5


def test_scores_of_another_unit_are_not_compared(judge):
    features = state()
    nights = [record(night, 500) for night in range(7)]
    assert topics(judged(nights[:3], judge, features))[2] == "normal"
    other = ModelScorer("w", Fragile(), judge.rejector, judge.medians, unit=2.0)
    assert topics(judged(nights[3:6], other, features)) == ["anomaly", "anomaly", "normal"]
    same = ModelScorer("x", Fragile(), judge.rejector, judge.medians, unit=2.0)
    assert topics(judged(nights[6:], same, features)) == ["normal"]


def test_events_that_nothing_judged_are_not_remembered(judge):
    features = state(min_events=2)
    nights = [record(night, 500) for night in range(6)]
    assert (
        topics(judged(nights, judge, features))
        == ["abstain"] * 2 + ["anomaly"] * 2 + ["normal"] * 2
    )
    features = state()
    collect_vectors(nights[:3], vectors(nights[:3], SCHEMA, features))
    assert topics(judged(nights[3:], judge, features)) == ["anomaly", "anomaly", "normal"]


def test_a_key_that_begins_during_a_warm_up_does_not_find_what_another_left(judge):
    """With one row for all keys, an event without a score is the first of its key."""
    features = FeatureState(compiled_program(SCHEMA.features), KeyBounds(max_keys=1, routine=True))
    judged([record(night, 500, host="a") for night in range(2)], judge, features)
    first = [record(2, 1, host="b")]
    collect_vectors(first, vectors(first, SCHEMA, features))
    assert topics(judged([record(3, 500, host="b")], judge, features)) == ["anomaly"]


@pytest.mark.parametrize("stage", ["score", "encode"])
def test_a_record_that_breaks_changes_no_other(judge, stage, monkeypatch):
    nights = [record(night, 500) for night in range(4)]
    nights.insert(2, record(9, EVIL if stage == "score" else 777, day=1))
    whole = judged([night for night in nights if night.id != "t:9"], judge)
    if stage == "encode":
        inner = encode.envelopes

        def envelopes(answers, scores, records, events, imputed):
            if any(b"777" in event.json for event in events):
                raise TypeError("no")
            return inner(answers, scores, records, events, imputed)

        monkeypatch.setattr(scoring, "envelopes", envelopes)
    features = state()
    scored = judged(nights, judge, features)
    assert scored.outgoing[2].topic is Topic.DEAD_LETTER
    assert scored.outgoing[:2] + scored.outgoing[3:] == whole.outgoing
    assert (list(scored.routine), list(whole.routine)) == ([3, 4], [2, 3])
