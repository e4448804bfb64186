from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectd.errors import ConfigError
from detectd.rejection import (
    ABSTAIN,
    ANOMALY,
    NORMAL,
    Zone,
    expected_anomalies,
    rank_figures,
    rejector,
    stability,
    zone,
)
from detectd.rejection.ranking import SHALLOW, magnitudes, ranking
from tests.support.binomial_reference import rank_log_tails

tables = cache(stability)


def zone_of(n, contamination, T):
    return zone(tables(n, expected_anomalies(n, contamination)), T)


def rejected_in_sixty_digits(n, m, c, T):
    return min(rank_log_tails(n, m, c)) >= -T


@pytest.mark.parametrize(
    ("n", "contamination", "T", "rank_low", "rank_high"),
    [(1000, 0.1, 32, 814, 958), (1000, 0.05, 8, 925, 971), (5000, 0.02, 32, 4807, 4959),
     (10_000, 0.1, 32, 8758, 9214), (10_000, 0.1, 40, 8724, 9239), (1000, 0.01, 32, 947, 1000)],
)  # fmt: skip
def test_known_zones(n, contamination, T, rank_low, rank_high):
    found = zone_of(n, contamination, T)
    assert (found.rank_low, found.rank_high) == (rank_low, rank_high)


@pytest.mark.slow
@pytest.mark.parametrize("T", [0.7, 1.0, 4.0, 32.0, 37.5, 100.0, 500.0])
@pytest.mark.parametrize("contamination", [0.001, 0.01, 0.1, 0.29, 0.5])
@pytest.mark.parametrize("n", [10, 37, 100, 1000, 10**4, 10**5, 10**6])
def test_the_zone_begins_and_ends_where_sixty_digits_say(n, contamination, T):
    m = expected_anomalies(n, contamination)
    if m < 1:
        with pytest.raises(ConfigError):
            rejector(np.arange(float(n)), contamination, T)
        return
    found = zone_of(n, contamination, T)
    for c in (found.rank_low - 1, found.rank_high + 1):
        assert not (0 <= c <= n and rejected_in_sixty_digits(n, m, c, T))
    if found.empty:
        if found.rank_low <= n:
            log_anomaly, log_normal = rank_log_tails(n, m, found.rank_low)
            assert log_anomaly > log_normal
        if found.rank_low > 0:
            log_anomaly, log_normal = rank_log_tails(n, m, found.rank_low - 1)
            assert log_anomaly < log_normal
    else:
        assert rejected_in_sixty_digits(n, m, found.rank_low, T)
        assert rejected_in_sixty_digits(n, m, found.rank_high, T)


def test_a_zone_that_reaches_rank_n_can_never_say_anomaly():
    trap = zone_of(1000, 0.01, 32)
    assert not trap.anomaly_reachable
    assert trap.normal_reachable
    fit = rejector(np.arange(1000.0), 0.01, 32)
    assert fit.score_high == math.inf
    assert fit.judge(np.array([1e300])).verdict.tolist() == [ABSTAIN]


def test_a_zone_of_all_ranks_says_neither():
    everything = zone_of(30, 0.1, 500)
    assert (everything.rank_low, everything.rank_high, everything.width) == (0, 30, 31)
    assert not everything.anomaly_reachable
    assert not everything.normal_reachable
    fit = rejector(np.arange(30.0), 0.1, 500)
    assert (fit.score_low, fit.score_high) == (-math.inf, math.inf)
    assert set(fit.judge(np.array([-1e9, 0.0, 1e9])).verdict) == {ABSTAIN}
    assert fit.plug_in_rejection_rate == 1.0


def test_an_empty_zone_may_still_have_no_anomaly_rank():
    lone = zone_of(1000, 0.001, 0.7)
    assert lone.empty
    assert lone.rank_low == 1001
    assert not lone.anomaly_reachable
    fit = rejector(np.arange(1000.0), 0.001, 0.7)
    assert set(fit.judge(np.array([-1.0, 999.0, 1e9])).verdict) == {NORMAL}


@pytest.mark.parametrize("T", [math.log(2.0), 0.0, -1.0, math.nan, math.inf])
def test_a_threshold_that_could_reject_nothing_or_is_no_number_is_refused(T):
    with pytest.raises(ConfigError, match="log 2"):
        zone(stability(10, 5), T)


def literal_verdict(calibration, score, table, T):
    """The rule as it is stated: the verdicts at both ranks must agree."""

    def at(rank):
        log_anomaly, log_normal = table.log_p_anomaly[rank], table.log_p_normal[rank]
        if min(log_anomaly, log_normal) >= -T:
            return ABSTAIN
        return ANOMALY if log_anomaly > log_normal else NORMAL

    below, rank = at(np.sum(calibration < score)), at(np.sum(calibration <= score))
    return below if below == rank else ABSTAIN


@settings(deadline=None)
@given(
    calibration=st.lists(st.integers(0, 12), min_size=4, max_size=60),
    contamination=st.sampled_from([0.25, 0.3, 0.4, 0.5]),
    T=st.floats(0.6932, 12.0),
)
def test_the_two_comparisons_are_the_literal_rule_under_heavy_ties(calibration, contamination, T):
    scores = np.array(calibration, dtype=np.float64)
    fit = rejector(scores, contamination, T)
    fresh = np.arange(-1.0, 14.0, 0.5)
    scored = fit.judge(fresh)
    expected = [literal_verdict(scores, s, fit.stability, T) for s in fresh]
    assert scored.verdict.tolist() == expected
    own = [literal_verdict(scores, s, fit.stability, T) for s in scores]
    assert fit.plug_in_rejection_rate == own.count(ABSTAIN) / len(own)


def test_an_empty_zone_still_abstains_on_a_score_tied_across_it():
    calibration = np.array([0.0] * 3 + [1.0] * 4 + [2.0] * 3)
    fit = rejector(calibration, 0.5, 0.7)
    assert fit.zone.empty
    assert fit.judge(np.array([0.5, 1.0, 1.5])).verdict.tolist() == [NORMAL, ABSTAIN, ANOMALY]
    assert fit.plug_in_rejection_rate == 0.4


def test_a_judgement_gives_ranks_p_values_and_confidence():
    calibration = np.array([3.0, 1.0, 2.0, 2.0, 5.0, 4.0, 9.0, 7.0, 8.0, 6.0])
    fit = rejector(calibration, 0.2, 2.0)
    fresh = np.array([0.0, 2.0, 9.0, 10.0])
    scored = fit.judge(fresh)
    assert scored.rank.tolist() == [0, 3, 10, 10]
    assert scored.p_value.tolist() == [1.0, 10 / 11, 2 / 11, 1 / 11]
    assert scored.log_p_anomaly.tolist() == fit.stability.log_p_anomaly[[0, 3, 10, 10]].tolist()
    assert scored.log_p_normal.tolist() == fit.stability.log_p_normal[[0, 3, 10, 10]].tolist()
    larger = np.maximum(scored.log_p_anomaly, scored.log_p_normal)
    np.testing.assert_allclose(scored.confidence, np.exp(larger))
    assert (scored.confidence >= 0.5).all()
    assert scored.rank.dtype == np.int64
    assert scored.verdict.dtype == np.int8
    assert scored.below.tolist() == [0, 1, 9, 10]
    for i, (rank, below) in enumerate(zip(scored.rank, scored.below, strict=True)):
        figures = (scored.p_value, scored.confidence, scored.log_p_anomaly, scored.log_p_normal)
        assert rank_figures(fit.stability, rank, below) == tuple(column[i] for column in figures)


@pytest.mark.parametrize(
    "make",
    [
        lambda rng, n: rng.normal(size=n),
        lambda rng, n: rng.standard_cauchy(size=n),  # far tails stretch the buckets
        lambda rng, n: np.exp(30 * rng.normal(size=n)),
        lambda rng, n: rng.choice([-1.0, 1.0], n) * np.exp(30 * rng.normal(size=n)),
        lambda rng, n: np.round(rng.normal(size=n), 1),  # ties
        lambda rng, n: np.full(n, 3.0),
        lambda rng, n: 1e308 * rng.uniform(-1, 1, size=n),  # a range that is no double
        lambda rng, n: 5e-324 * rng.integers(0, 9, size=n),
        lambda rng, n: np.concatenate([np.zeros(n - 1), [1e300]]),
    ],
)
@pytest.mark.parametrize("n", [10, 11, 999, 10_000])
def test_ranks_and_verdicts_are_those_of_a_plain_search(make, n):
    rng = np.random.default_rng(n)
    fit = rejector(make(rng, n), 0.1, 3.0)
    own = fit.scores
    fresh = np.concatenate(
        [own, np.nextafter(own, np.inf), make(rng, n), [0.0, -0.0, 1.7e308, -1.7e308, 5e-324]]
    )
    fresh = fresh[np.isfinite(fresh)]
    scored = fit.judge(fresh)
    assert np.array_equal(scored.rank, np.searchsorted(own, fresh, side="right"))
    assert np.array_equal(scored.below, np.searchsorted(own, fresh, side="left"))
    plain = np.full(len(fresh), ABSTAIN)
    plain[fresh < fit.score_low] = NORMAL
    plain[fresh > fit.score_high] = ANOMALY
    assert np.array_equal(scored.verdict, plain)


def test_no_scores_give_no_answers():
    scored = rejector(np.arange(10.0), 0.2, 2.0).judge(np.empty(0))
    figures = (scored.verdict, scored.rank, scored.p_value, scored.confidence)
    assert [column.shape for column in figures] == [(0,)] * 4


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_scores_that_are_not_finite_never_get_a_verdict(bad):
    fit = rejector(np.arange(10.0), 0.2, 2.0)
    with pytest.raises(ValueError, match="not finite"):
        fit.judge(np.array([1.0, bad]))
    with pytest.raises(ValueError, match="not finite"):
        rejector(np.array([1.0, 2.0, bad]), 0.5, 2.0)


def test_the_caller_keeps_its_scores_as_they_were():
    calibration = np.array([3.0, -0.0, 1.0, 2.0])
    fit = rejector(calibration, 0.5, 0.7)
    assert calibration.tolist() == [3.0, 0.0, 1.0, 2.0]
    assert np.signbit(calibration[1])
    assert not np.signbit(fit.scores).any()
    with pytest.raises(ValueError, match="read-only"):
        fit.scores[0] = 1.0


def test_width_counts_both_ends():
    assert Zone(10, 3, 2.0, 5, 8).width == 4
    assert Zone(10, 3, 2.0, 5, 4).width == 0


@pytest.mark.parametrize("width", [0.1, 1.0, 3.0, 30.0])
def test_a_long_tail_does_not_lengthen_the_search(width):
    scores = np.sort(np.exp(width * np.random.default_rng(0).normal(size=10_000)))
    assert ranking(scores).depth < SHALLOW


def test_magnitudes_have_the_order_of_the_scores():
    scores = np.array([-np.inf, -1e300, -1.0, -5e-324, 0.0, 5e-324, 1.0, 1e300, np.inf])
    assert (np.diff(magnitudes(scores)) > 0).all()
    assert magnitudes(np.array([-0.0])) == magnitudes(np.array([0.0]))
