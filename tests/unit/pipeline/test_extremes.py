"""Scores near the ends of a double: what is reckoned with them neither overflows nor loses any.

Warnings are errors here, so an overflow that numpy speaks of fails a test by itself.
"""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from detectd.detectors import far_outside
from detectd.errors import ConfigError, DetectdError
from detectd.models.contamination import _logs, _tells_apart
from detectd.models.model import Recipe
from detectd.models.observations import Observations
from detectd.models.score_grid import grid
from detectd.models.training import train
from detectd.pipeline.explain import occlusion
from detectd.rejection import Costs, rejector
from detectd.rejection.promise import Terms, promise
from detectd.report.svg.axes import linear
from detectd.report.svg.charts import scores_figure
from detectd.report.svg.markup import render
from tests.support.worlds import NOON

LARGEST = np.finfo(np.float64).max
SMALLEST = 5e-324
ENDS = [0.0, -0.0, SMALLEST, -SMALLEST, 2.3e-308, 1.0, 5.6e306, LARGEST, -LARGEST, 1e300, -1e300]
doubles = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(ENDS)
scores = st.lists(doubles, min_size=1, max_size=60)


@settings(deadline=None)
@given(scores, st.lists(doubles, max_size=60))
@example([0.0], [5.6e306])
@example([0.0] * 10 + [SMALLEST * i for i in range(1, 200)] + [1e300], [LARGEST, -LARGEST])
@example([1e10 + i * 2e-6 for i in range(30)] + [1e12], [0.0])
def test_the_grid_places_every_score(calibration, stream):
    cells = grid(np.array(calibration))
    assert np.isfinite(cells.edges).all()
    assert (np.diff(cells.edges) > 0).all()
    assert cells.count(np.array(stream)).sum() == len(stream)
    places = cells.place(np.sort(np.array([-math.inf, *stream, math.inf])))
    assert np.isfinite(places).all()
    assert (np.diff(places) >= 0).all()


@settings(deadline=None)
@given(scores, st.lists(doubles, max_size=60))
def test_ranks_are_those_of_a_plain_count(calibration, stream):
    judge = rejector(np.array(calibration * 2), 0.5, 0.7)
    calibration = calibration * 2
    found = judge.judge(np.array(stream))
    assert found.rank.tolist() == [sum(c <= s for c in calibration) for s in stream]
    assert found.below.tolist() == [sum(c < s for c in calibration) for s in stream]


@pytest.mark.slow
@settings(deadline=None)
@given(st.lists(doubles, min_size=20, max_size=60), st.lists(doubles, max_size=30))
@example([0.0] * 19 + [LARGEST], [-LARGEST])
@example([-LARGEST] * 10 + [LARGEST] * 10, [0.0])
def test_scores_are_drawn_whatever_they_are(calibration, stream):
    """No coordinate is infinite, and nothing overflows on the way."""
    judge = rejector(np.array(calibration), 0.1, 2.0)
    seen = Observations(judge.scores)
    seen.add({"normal": len(stream)}, np.array(stream), 1_772_755_200)
    drawn = render(scores_figure(judge, seen.grid, seen.histogram))
    for value in re.findall(r' (?:d|x|x1|x2|y1|y2|width|cx|cy)="([^"]*)"', drawn):
        assert not re.search("inf|nan", value)


@settings(deadline=None)
@given(st.lists(st.tuples(doubles, doubles), min_size=1, max_size=20))
def test_parts_of_a_score_are_finite_where_scores_are(pairs):
    ours, others = np.array(pairs).T

    class Fixed:
        def score(self, rows):
            return np.repeat(others, 2)

    parts = occlusion(Fixed(), np.zeros((len(pairs), 2)), ours, np.zeros(2), np.eye(2, dtype=bool))
    assert np.isfinite(parts).all()
    assert (
        np.sign(parts[:, 0]) == np.sign(np.array([float(a > b) - (a < b) for a, b in pairs]))
    ).all()


@settings(deadline=None)
@given(doubles, doubles, doubles)
def test_an_axis_places_every_double(low, high, value):
    low, high = sorted((low / 1e10, high / 1e10))
    if high - low < 1e-290:
        return
    assert math.isfinite(float(linear(low, high).at(value)))
    assert 0.0 <= linear(low, high).inside(math.copysign(math.inf, value)) <= 1.0


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e30, 1e150, 1e300])
@pytest.mark.parametrize("name", ["KNN", "IForest", "HBOS", "PCA", "ECOD", "LOF", "KDE", "MCD"])
def test_training_at_any_scale_is_sound_or_says_why(scale, name):
    rows = scale * np.random.default_rng(0).normal(size=(400, 2))
    try:
        model = train(rows, Recipe(name, 0.1), ("a", "b"), NOON)
    except DetectdError:
        return
    assert np.isfinite(model.calibration).all()
    assert promise(model.calibration, Terms(0.1, 2.0, None, 0.1, Costs(1, 1, 0.1))).rejector


def test_the_median_of_the_largest_rows_is_one_of_them():
    rows = np.full((400, 2), LARGEST)
    rows[:, 1] = np.arange(400.0)
    rows[::2, 0] = LARGEST / 2
    model = train(rows, Recipe("HBOS", 0.1), ("a", "b"), NOON)
    assert LARGEST / 2 <= model.medians[0] <= LARGEST


@settings(deadline=None)
@given(scores)
@example([-LARGEST, LARGEST])
@example([1e-20, 2e-20, 3e-20])
def test_a_panel_takes_scores_only_if_their_logarithms_differ(drawn):
    """Scores of 1e-20 are all 0.01 before the logarithm: standardised, that is 0 / 0."""
    if not _tells_apart(np.array(drawn)):
        return
    logs = _logs(np.array(drawn)[:, None])
    assert np.isfinite((logs - logs.mean(axis=0)) / logs.std(axis=0)).all()


@settings(deadline=None)
@given(st.lists(st.tuples(doubles, doubles), min_size=2, max_size=20))
def test_rows_far_outside_are_finite(rows):
    assert np.isfinite(far_outside(np.array(rows))).all()


def test_costs_that_would_overflow_are_refused():
    with pytest.raises(ConfigError, match=r"must lie in \[0, 1e\+100\]"):
        Costs(1e308, 1.0, 1.0)
    terms = Terms(0.1, 2.0, None, 0.1, Costs(1e100, 1e100, 1e100))
    assert promise(np.arange(1000.0), terms).exact.cost_upper < 3e100
