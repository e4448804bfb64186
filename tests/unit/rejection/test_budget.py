from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectd.errors import ConfigError
from detectd.rejection import (
    Stability,
    expected_anomalies,
    largest_T,
    reachability_warnings,
    smallest_n,
    stability,
    zone,
)
from detectd.rejection.exact import rate_upper


@settings(deadline=None)
@given(
    n=st.integers(20, 2000),
    contamination=st.sampled_from([0.05, 0.1, 0.29, 0.5]),
    max_rate=st.floats(0.01, 0.99),
    delta=st.sampled_from([0.01, 0.1, 0.5]),
)
def test_the_largest_threshold_keeps_the_budget_and_the_next_double_breaks_it(
    n, contamination, max_rate, delta
):
    table = stability(n, expected_anomalies(n, contamination))
    T = largest_T(table, max_rate, delta)
    assert rate_upper(n, zone(table, T).width, delta) <= max_rate
    wider = zone(table, math.nextafter(T, math.inf))
    assert wider.width == n + 1 or rate_upper(n, wider.width, delta) > max_rate


def test_a_budget_for_everything_gives_the_threshold_that_rejects_everything():
    table = stability(30, 3)
    T = largest_T(table, 1.0, 0.1)
    assert zone(table, T).width == 31
    assert zone(table, math.nextafter(T, 0.0)).width == 30


def test_a_budget_too_small_for_any_rank_gives_a_model_that_never_abstains():
    table = stability(50, 5)
    assert zone(table, largest_T(table, 0.001, 0.1)).empty
    assert zone(table, largest_T(table, 0.0, 0.1)).empty


def test_a_budget_that_the_narrowest_zone_breaks_is_refused_with_the_rate_that_would_do():
    """A fair coin at rank 1; no model is known to have one, so it is made by hand."""
    coin = Stability(2, 1, np.log([0.1, 0.5, 0.9]), np.log([0.9, 0.5, 0.1]))
    with pytest.raises(ConfigError, match=r"2 calibration scores: .* up to 0\.684;"):
        largest_T(coin, 0.01, 0.1)


@pytest.mark.parametrize("max_rate", [-0.1, 1.1, math.nan])
def test_a_budget_that_is_no_rate_is_refused(max_rate):
    with pytest.raises(ConfigError, match="abstention rate"):
        largest_T(stability(50, 5), max_rate, 0.1)


@pytest.mark.parametrize("T", [0.7, 1.0, 2.0, 4.0, 8.0])
@pytest.mark.parametrize("contamination", [0.05, 0.1, 0.29, 1 / 3, 0.5])
def test_the_smallest_n_is_the_first_of_all_that_reach_both_verdicts(contamination, T):
    found = smallest_n(contamination, T)
    for n in range(2, found + 1):
        m = expected_anomalies(n, contamination)
        if m >= 1:
            where = zone(stability(n, m), T)
            assert (where.anomaly_reachable and where.normal_reachable) == (n == found)


@pytest.mark.parametrize("T", [16.0, 32.0, 100.0, 500.0])
@pytest.mark.parametrize("contamination", [0.001, 0.01, 0.1, 0.5])
def test_the_smallest_n_reaches_both_verdicts_and_one_less_does_not(contamination, T):
    found = smallest_n(contamination, T)
    for n, reaches in ((found, True), (found - 1, False)):
        where = zone(stability(n, expected_anomalies(n, contamination)), T)
        assert (where.anomaly_reachable and where.normal_reachable) is reaches


def test_a_model_that_can_say_both_gives_no_warning():
    assert reachability_warnings(zone(stability(1000, 100), 32), 0.1) == []


def test_a_model_that_can_never_say_anomaly_is_told_the_n_and_the_threshold_that_cure_it():
    (line,) = reachability_warnings(zone(stability(1000, 10), 32), 0.01)
    assert "can never say anomaly" in line
    assert "n >= 1700" in line
    assert "T of at most 16.06" in line
    assert "\n" not in line
    assert zone(stability(1000, 10), 16.06).anomaly_reachable
    assert not zone(stability(1000, 10), 16.07).anomaly_reachable
    assert zone(stability(1700, 17), 32).anomaly_reachable


def test_a_model_that_can_say_neither_is_told_of_both():
    lines = reachability_warnings(zone(stability(30, 3), 500), 0.1)
    assert ["anomaly" in line for line in lines] == [True, False]
    assert ["say normal" in line for line in lines] == [False, True]


def test_the_n_in_a_warning_is_larger_than_the_n_it_warns_of():
    """With m = 3 rank n is just reached at the first n, and out of reach again a little later."""
    contamination = 0.1
    margin_first = stability(30, 3).margin[30]
    margin_later = stability(39, 3).margin[39]
    assert margin_first > margin_later
    T = (margin_first + margin_later) / 2
    assert smallest_n(contamination, T) == 30
    (line,) = reachability_warnings(zone(stability(39, 3), T), contamination)
    assert "n >= 40" in line
