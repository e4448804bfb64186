"""Which features drove a score: against the detector's own parts, and by the definition."""

import json

import numpy as np
import pytest
from pyod.models.ecod import ECOD
from pyod.models.hbos import HBOS
from pyod.models.iforest import IForest

from detectd.detectors import choose
from detectd.pipeline.explain import explanations, occlusion
from detectd.pipeline.judging import ModelScorer
from detectd.pipeline.records import Record, Topic
from detectd.pipeline.schema import Schema
from detectd.rejection import rejector
from tests.support.judging import judge_records

FEATURES = ("a", "b", "c")


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(0).normal(size=(600, 3))


# Each of three features has one column.
EACH = np.eye(3, dtype=bool)


def scored(kind, rows):
    detector = kind().fit(rows)
    return detector, choose(detector, rows)


@pytest.mark.parametrize("kind", [HBOS, ECOD])
def test_parts_of_a_sum_are_its_terms_less_those_of_the_medians(kind, rows):
    _, scorer = scored(kind, rows)
    medians = np.median(rows, axis=0)
    fresh = np.random.default_rng(1).normal(size=(40, 3)) * 2
    scores = scorer.score(fresh)
    parts = occlusion(scorer, fresh, scores, medians, EACH)
    total = scores - scorer.score(medians[None])[0]
    np.testing.assert_allclose(parts.sum(axis=1), total, atol=1e-9)


def test_a_part_is_the_score_less_that_with_the_median_there(rows):
    detector, scorer = scored(IForest, rows)
    medians = np.median(rows, axis=0)
    fresh = np.array([[6.0, 0.0, 0.0], [0.1, -5.0, 4.0]])
    parts = occlusion(scorer, fresh, scorer.score(fresh), medians, EACH)
    for i, row in enumerate(fresh):
        for j in range(3):
            without = row.copy()
            without[j] = medians[j]
            alone = detector.decision_function(np.array([row, without]))
            assert parts[i, j] == pytest.approx(alone[0] - alone[1], abs=1e-12)


def test_the_columns_of_one_feature_are_taken_away_together(rows):
    _, scorer = scored(IForest, rows)
    medians = np.median(rows, axis=0)
    fresh = np.array([[6.0, 0.0, 0.0], [0.1, -5.0, 4.0]])
    columns = np.array([[True, False, False], [False, True, True]])
    parts = occlusion(scorer, fresh, scorer.score(fresh), medians, columns)
    without = np.column_stack((fresh[:, 0], np.tile(medians[1:], (2, 1))))
    np.testing.assert_allclose(parts[:, 1], scorer.score(fresh) - scorer.score(without))


def test_a_score_that_is_lost_without_a_feature_explains_nothing_there(rows):
    class Fragile:
        def score(self, rows):
            return np.where(rows[:, 0] == 0, np.inf, rows.sum(axis=1))

    parts = occlusion(Fragile(), np.ones((1, 2)), np.array([2.0]), np.zeros(2), EACH[:2, :2])
    assert np.isnan(parts[0, 0])
    assert parts[0, 1] == 1.0


@pytest.fixture
def judge(rows):
    _, scorer = scored(IForest, rows)
    judging = rejector(scorer.score(rows), 0.1, 8.0)
    return ModelScorer("v", scorer, judging, np.median(rows, axis=0), explains=True)


@pytest.mark.parametrize("original", [False, True])
def test_anomalies_and_abstentions_say_why_and_nothing_else_changes(judge, rows, original):
    events = [*rows[:300], np.array([9.0, 0.0, 0.0])]
    records = [
        Record(f"t:{i}", json.dumps(dict(zip(FEATURES, map(float, row), strict=True))).encode())
        for i, row in enumerate(events)
    ]
    told = judge_records(records, Schema(FEATURES), judge, original=original).outgoing
    silent = ModelScorer("v", judge.scorer, judge.rejector, judge.medians)
    plain = judge_records(records, Schema(FEATURES), silent, original=original).outgoing
    for out, without in zip(told, plain, strict=True):
        if out.topic is Topic.NORMAL:
            assert out == without
        elif original:
            assert out.value == without.value
            why = json.loads(dict(out.headers)["detectd-explanation"])
        else:
            body = json.loads(out.value)
            why = body.pop("explanation")
            assert body == json.loads(without.value)
        if out.topic is not Topic.NORMAL:
            parts = list(why["features"].values())
            assert parts == sorted(parts, reverse=True)
            assert set(why["features"]) == set(FEATURES)
    assert next(iter(why["features"])) == "a"


def test_the_nearest_calibration_scores_are_those_around(judge):
    calibration = judge.rejector.scores
    ends = np.array([calibration[-1] + 1, calibration[-1], calibration[550] + 1e-12])
    found = judge.rejector.judge(ends)
    rows = np.zeros((3, 3))
    medians = np.zeros(3)
    near = [
        json.loads(why)["nearest"]
        for _, why in explanations(
            judge.scorer, rows, ends, medians, FEATURES, found, lambda _: calibration
        )
    ]
    assert near[0] == {"below": {"rank": 600, "score": calibration[-1]}, "above": None}
    assert near[1]["above"] is None
    assert near[1]["below"]["score"] < calibration[-1]
    assert near[2]["below"]["rank"] + 1 == near[2]["above"]["rank"]
