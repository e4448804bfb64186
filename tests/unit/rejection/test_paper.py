from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from pyod.models.base import BaseDetector
from scipy import stats

from detectd.rejection import (
    ABSTAIN,
    ANOMALY,
    NORMAL,
    Costs,
    expected_anomalies,
    paper_promise,
    rejector,
    stability,
    zone,
)
from detectd.rejection.paper import hoeffding_left_margin, left_margin, right_margin

COSTS = Costs(2.0, 5.0, 0.5)
DELTA = 0.1
tables = cache(stability)


class FirstColumn(BaseDetector):
    """PyOD's machinery over scores that are given: the first column."""

    def __init__(self, contamination=0.1):
        super().__init__(contamination=contamination)

    def fit(self, X, y=None):
        self._set_n_classes(None)
        self.decision_scores_ = self.decision_function(X)
        self._process_decision_scores()
        return self

    def decision_function(self, X):
        return X[:, 0].copy()


def pyod_figures(n, contamination, T):
    detector = FirstColumn(contamination=contamination).fit(np.arange(float(n))[:, None])
    return detector.compute_rejection_stats(
        T=T,
        delta=DELTA,
        c_fp=COSTS.false_positive,
        c_fn=COSTS.false_negative,
        c_r=COSTS.rejection,
    )


def promise_of(n, contamination, T):
    where = zone(tables(n, expected_anomalies(n, contamination)), T)
    return paper_promise(where, contamination, DELTA, COSTS)


@pytest.mark.parametrize("T", [4, 6.5, 10, 16])
@pytest.mark.parametrize(
    ("n", "contamination"),
    [(50, 0.5), (100, 0.2), (1000, 0.1), (1000, 0.01), (10_000, 0.02), (10**6, 0.25)],
)
def test_figures_are_those_of_pyod_where_it_is_sound(n, contamination, T):
    expected, upper, cost = pyod_figures(n, contamination, float(T))
    promise = promise_of(n, contamination, T)
    assert promise.expected_rejection_rate == pytest.approx(expected, abs=1e-9)
    assert promise.rejection_rate_upper == pytest.approx(upper, abs=1e-9)
    assert promise.cost_upper == pytest.approx(cost, abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("T", [8, 16, 32])
@pytest.mark.parametrize("contamination", [0.05, 0.1, 0.3])
def test_verdicts_are_those_of_pyod_where_it_is_sound(contamination, T):
    random = np.random.default_rng(T)
    calibration, fresh = random.normal(size=1000), random.normal(size=5000)
    detector = FirstColumn(contamination=contamination).fit(calibration[:, None])
    theirs = detector.predict_with_rejection(fresh[:, None], T=T, c_r=1)
    ours = rejector(calibration, contamination, T).judge(fresh).verdict
    names = {0: NORMAL, 1: ANOMALY, -2: ABSTAIN}
    assert ours.tolist() == [names[label] for label in theirs]


@pytest.mark.parametrize("T", [0.7, 4.0, 32.0, 40.0, 500.0])
@pytest.mark.parametrize(("n", "contamination"), [(20, 0.5), (1000, 0.01), (10**6, 0.1)])
def test_the_roots_are_roots_for_every_threshold(n, contamination, T):
    m = expected_anomalies(n, contamination)
    promise = promise_of(n, contamination, T)
    assert 0.0 < promise.q1 < m / n
    assert stats.binom.logsf(m - 1, n, promise.q1) == pytest.approx(-T, rel=1e-9)
    if promise.q2 < 0.999:
        assert stats.binom.logcdf(m - 1, n, promise.q2) == pytest.approx(-T, rel=1e-9)


def test_pyod_for_threshold_of_38_and_more_loses_its_lower_root_and_breaks_its_own_bound():
    expected, upper, _ = pyod_figures(10_000, 0.1, 38.0)
    assert expected > upper
    promise = promise_of(10_000, 0.1, 38.0)
    assert promise.valid
    assert promise.q1 > 0.05
    assert promise.expected_rejection_rate < promise.rejection_rate_upper


def test_pyod_for_threshold_of_39_and_more_rejects_everything():
    calibration = np.random.default_rng(5).normal(size=1000)
    fresh = np.array([-10.0, 0.0, 10.0])
    detector = FirstColumn(contamination=0.1).fit(calibration[:, None])
    assert set(detector.predict_with_rejection(fresh[:, None], T=39, c_r=1)) == {-2}
    verdicts = rejector(calibration, 0.1, 39).judge(fresh).verdict
    assert verdicts.tolist() == [NORMAL, NORMAL, ANOMALY]


def test_pyod_loses_an_expected_anomaly_to_float_error():
    assert int(100 * 0.29) == 28
    theirs = pyod_figures(100, 0.29, 5.0)[0]
    ours = promise_of(100, 0.29, 5.0)
    assert ours.expected_rejection_rate != pytest.approx(theirs, abs=1e-3)
    where = zone(tables(100, 28), 5.0)
    assert paper_promise(where, 0.29, DELTA, COSTS).expected_rejection_rate == pytest.approx(
        theirs, abs=1e-9
    )


def test_pyod_calls_tied_scores_normal_or_anomaly_that_are_both():
    """Half the scores are one value: a score of it has ranks from surely normal to surely not."""
    calibration = np.concatenate([np.arange(500.0) - 1000.0, np.zeros(500)])
    detector = FirstColumn(contamination=0.1).fit(calibration[:, None])
    assert detector.predict_with_rejection(np.zeros((1, 1)), T=8, c_r=1).tolist() == [0]
    fit = rejector(calibration, 0.1, 8)
    assert fit.judge(np.zeros(1)).verdict.tolist() == [ABSTAIN]
    assert fit.plug_in_rejection_rate == 0.5


def test_pyod_raises_for_a_large_n_and_an_integer_threshold():
    n = 660_562
    with pytest.raises(TypeError, match="sqrt"):
        pyod_figures(n, 0.1, 32)
    theirs = pyod_figures(n, 0.1, 32.0)
    ours = promise_of(n, 0.1, 32)
    assert ours.valid
    assert ours.rejection_rate_upper == pytest.approx(theirs[1], abs=1e-9)


def test_the_left_margin_in_use_may_fall_inside_the_zone_and_is_then_no_bound():
    promise = promise_of(1000, 0.05, 4.0)
    assert promise.t1 == pytest.approx(0.936803, abs=5e-7)
    assert zone(tables(1000, 50), 4.0).rank_low == 936
    assert not promise.valid
    assert hoeffding_left_margin(1000, 0.05, 4.0) < 0.936


def test_an_imaginary_left_margin_gives_figures_that_are_finite_and_not_valid():
    assert left_margin(1000, 0.05, 3.0) is None
    promise = promise_of(1000, 0.05, 3.0)
    assert not promise.valid
    assert promise.t1 == hoeffding_left_margin(1000, 0.05, 3.0)
    assert math.isfinite(promise.rejection_rate_upper)


@pytest.mark.parametrize("T", [0.7, 2.0, 3.99])
def test_below_four_there_is_no_bound(T):
    assert not promise_of(100, 0.5, T).valid


@pytest.mark.parametrize("T", [4.0, 8.0, 32.0, 100.0, 500.0])
@pytest.mark.parametrize(("n", "contamination"), [(30, 0.5), (1000, 0.05), (10**5, 0.003)])
def test_hoeffdings_margins_enclose_every_zone(n, contamination, T):
    where = zone(tables(n, expected_anomalies(n, contamination)), T)
    assert hoeffding_left_margin(n, contamination, T) <= where.rank_low / n
    assert where.rank_high / n <= right_margin(n, contamination, T)


@pytest.mark.parametrize("T", [8.0, 32.0, 500.0])
def test_a_valid_bound_holds_in_simulated_fits(T):
    promise = promise_of(200, 0.1, T)
    assert promise.valid
    random = np.random.default_rng(11)
    for _ in range(400):
        fit = rejector(random.standard_normal(200), 0.1, T)
        mass = stats.norm.cdf(fit.score_high) - stats.norm.cdf(fit.score_low)
        assert mass <= promise.rejection_rate_upper
