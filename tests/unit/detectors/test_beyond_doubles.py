"""Rows near the ends of a double: never normal by a way out, and the same by kernel and by PyOD."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import pytest

from detectd.detectors import choose
from detectd.detectors.kernels import MODULES
from detectd.models.model import Recipe
from detectd.models.training import complete_rows, train
from detectd.pipeline.judging import ModelScorer
from detectd.pipeline.records import Record, Topic
from detectd.pipeline.schema import Schema
from detectd.rejection import rejector
from tests.support.judging import judge_records

COLUMNS = ("a", "b", "c")
SCHEMA = Schema(COLUMNS)
ENDS = [sign * size for size in (1e160, 1e300, 1.7e308) for sign in (1, -1)]
# PyOD takes half a millisecond for each of INNE's samples and rows.
PARAMS = {"INNE": {"n_estimators": 3}, "IForest": {"n_estimators": 20}}
# Those that measure distances, whose squares are more than a double holds, and one that adds up.
OVERFLOW = {"ABOD", "CBLOF", "GMM", "HDBSCAN", "KDE", "KNN", "LOF", "MCD", "PCA", "Sampling"}
OVERFLOW |= {"TailSum"}


def far_rows() -> np.ndarray:
    rows = [[end if i == column else 0.1 for i in range(3)] for column in range(3) for end in ENDS]
    return np.array([*rows, *([end] * 3 for end in ENDS), [1.7e308, -1.7e308, 1.7e308]])


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*MODULES, *OVERFLOW}))
def test_what_a_detector_cannot_reckon_with_is_an_anomaly(name: str) -> None:
    rows = np.random.default_rng(0).normal(size=(300, 3))
    recipe = Recipe(name, 0.1, params=PARAMS.get(name, {}))
    model = train(rows, recipe, COLUMNS, datetime(2026, 1, 1, tzinfo=UTC))
    ranks = rejector(model.calibration, 0.1, 2.0)
    far = far_rows()
    values = [json.dumps(dict(zip(COLUMNS, row, strict=True))).encode() for row in far.tolist()]
    records = [Record(f"t:{i}", value) for i, value in enumerate(values)]
    outputs = []
    for kernels in (True, False):
        scorer = choose(model.detector, complete_rows(model), kernels=kernels)
        judge = ModelScorer(model.version, scorer, ranks, model.medians, explains=True)
        scored = judge_records(records, SCHEMA, judge)
        wild = np.isinf(scored.scores)
        assert wild.any() == (name in OVERFLOW)
        for out, is_wild in zip(scored.outgoing, wild.tolist(), strict=True):
            body = json.loads(out.value)
            assert out.topic is not Topic.DEAD_LETTER
            assert (body["score"] is None) == is_wild
            assert (body["reason"] == "score_not_finite") == is_wild
            assert out.topic is Topic.ANOMALY or not is_wild
        alone = [judge_records([each], SCHEMA, judge).outgoing[0] for each in records]
        assert alone == scored.outgoing
        outputs.append([out.topic for out in scored.outgoing])
    assert outputs[0] == outputs[1]


def test_the_feature_that_is_beyond_is_the_one_that_is_named() -> None:
    rows = np.random.default_rng(0).normal(size=(300, 3))
    model = train(rows, Recipe("KNN", 0.1), COLUMNS, datetime(2026, 1, 1, tzinfo=UTC))
    scorer = choose(model.detector, complete_rows(model))
    ranks = rejector(model.calibration, 0.1, 2.0)
    judge = ModelScorer("v", scorer, ranks, model.medians, explains=True)
    record = Record("t:1", b'{"a": 0.1, "b": -1e200, "c": 0.2}')
    (out,) = judge_records([record], SCHEMA, judge).outgoing
    parts = json.loads(out.value)["explanation"]["features"]
    assert parts == {"b": np.finfo(np.float64).max, "a": None, "c": None}
