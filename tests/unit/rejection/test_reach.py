"""The T that leaves enough anomalies to be called so, against the whole table of ranks."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from detectd.errors import ConfigError
from detectd.rejection import (
    Costs,
    default_T,
    expected_anomalies,
    quick_stability,
    reach,
    reach_warnings,
    reachability_warnings,
    smallest_n_reaching,
    stability,
    zone,
)
from detectd.rejection.promise import Terms, planned_zone, threshold
from detectd.rejection.reach import largest_T_reaching, smallest_contamination_reaching
from detectd.rejection.stability import QUICK_T

LOG_2 = math.log(2.0)
SIZES = st.integers(2, 3000)
SHARES = st.integers(1, 500).map(lambda thousandths: thousandths / 1000)


def zone_at(n, contamination, T):
    return zone(stability(n, expected_anomalies(n, contamination)), T)


def reach_at(n, contamination, T):
    return reach(zone_at(n, contamination, T), contamination)


@settings(deadline=None)
@given(SIZES, SHARES)
def test_the_default_is_the_largest_that_leaves_three_quarters(n, contamination):
    """By trying the zone on both sides of every T at which it changes."""
    if not expected_anomalies(n, contamination):
        with pytest.raises(ConfigError, match="expect no anomaly"):
            default_T(n, contamination)
        return
    T = default_T(n, contamination)
    margins = -stability(n, expected_anomalies(n, contamination)).log_p_normal
    candidates = [32.0, *np.nextafter(margins[(margins > LOG_2) & (margins <= 32)], 0).tolist()]
    left = {each: reach_at(n, contamination, each) for each in candidates if each > LOG_2}
    enough = [each for each, share in left.items() if share >= 0.75]
    if enough:
        assert max(enough) == T
    else:
        best = max(left.values())
        assert max(each for each, share in left.items() if share == best) == T


@pytest.mark.slow
@pytest.mark.parametrize("contamination", [0.001, 0.05, 0.5])
def test_a_million_scores_need_no_table(contamination):
    T = default_T(1_000_000, contamination)
    assert T <= 32
    assert reach_at(1_000_000, contamination, T) >= 0.75


def test_reach_is_the_share_of_gaps_over_the_contamination():
    held = zone_at(1000, 0.1, 32)
    assert (held.rank_low, held.rank_high) == (814, 958)
    assert reach(held, 0.1) == pytest.approx((1000 - 958) / 1001 / 0.1, rel=1e-15)
    assert reach(zone_at(1000, 0.01, 32), 0.01) == 0.0
    # 0.29 is 29/100 and not the double next to it.
    held = zone_at(100, 0.29, 2)
    assert reach(held, 0.29) == float(Fraction(100 - held.rank_high, 101) / Fraction(29, 100))


@pytest.mark.slow
@settings(deadline=None)
@given(SHARES.filter(lambda share: share >= 0.005), st.none() | st.floats(0.7, 60))
@example(0.467, 4.0)  # 28 scores leave half of them, 29 would not
def test_the_n_named_leaves_half_of_them_and_so_do_larger_ones(contamination, T):
    n = smallest_n_reaching(contamination, T)
    for size in (n, n + 1, math.ceil(1.1 * n), 2 * n):
        at = default_T(size, contamination) if T is None else T
        assert reach_at(size, contamination, at) >= 0.5


@pytest.mark.slow
@settings(deadline=None)
@given(st.integers(50, 2000), SHARES, st.none() | st.floats(0.7, 60))
def test_whatever_a_warning_names_leaves_half_of_them(n, contamination, T):
    if not expected_anomalies(n, contamination):
        return
    held = zone_at(n, contamination, default_T(n, contamination) if T is None else T)
    warnings = reach_warnings(held, contamination, T)
    low = reach(held, contamination) < 0.5
    assert len(warnings) == (low and held.anomaly_reachable)
    if not low:
        return
    larger = smallest_contamination_reaching(held, T)
    if larger is not None:
        at = default_T(n, larger) if T is None else T
        assert reach_at(n, larger, at) >= 0.5
    smaller = largest_T_reaching(held, contamination)
    if smaller is not None:
        assert reach_at(n, contamination, smaller) >= 0.5


def test_a_warning_names_the_scores_that_are_left_and_every_fix():
    (line,) = reach_warnings(zone_at(1000, 0.05, 32), 0.05, 32.0)
    assert "with this zone 26.0% of the expected anomalies" in line
    assert "only a score above all but 12 of the 1,000 calibration scores can be called" in line
    for fix in ("n >= 3,020", "contamination of at least 0.15", "T of at most 11.22"):
        assert fix in line
    (line,) = reach_warnings(zone_at(100, 0.02, default_T(100, 0.02)), 0.02, None)
    assert "only a score above all 100 calibration scores can be called anomaly" in line
    assert "rejector.T" not in line
    assert reach_warnings(zone_at(1000, 0.05, default_T(1000, 0.05)), 0.05, None) == []


def test_one_expected_anomaly_is_out_of_reach_of_every_t_and_the_warning_says_so():
    held = zone_at(100, 0.01, default_T(100, 0.01))
    assert held.T == 32
    (line,) = reachability_warnings(held, 0.01, chosen=True)
    assert "can never say anomaly" in line
    assert "n >= 300" in line
    assert reach_warnings(held, 0.01, None) == []


@settings(deadline=None, max_examples=50)
@given(st.integers(2, 20_000), SHARES)
@example(929, 0.041)  # the last probabilities above the least double are imprecise
def test_the_zone_of_the_quick_table_is_that_of_the_exact_one(n, contamination):
    m = expected_anomalies(n, contamination)
    if not m:
        return
    quick, exact = quick_stability(n, m), stability(n, m)
    T = default_T(n, contamination, quick)
    assert pytest.approx(default_T(n, contamination), rel=1e-9) == T
    held = zone_at(n, contamination, default_T(n, contamination))
    assert (zone(quick, T).rank_low, zone(quick, T).rank_high) == (held.rank_low, held.rank_high)
    seen = exact.margin <= QUICK_T
    np.testing.assert_allclose(quick.margin[seen], exact.margin[seen], rtol=1e-8)


@pytest.mark.parametrize("T", [8.0, QUICK_T, 500.0, 597.0, 690.0, 5000.0])
def test_what_is_planned_is_what_will_be_held_for_every_t(T):
    planned = planned_zone(929, Terms(0.041, T, None, 0.1, Costs(1.0, 1.0, 0.5)))
    assert planned == zone_at(929, 0.041, T)


@pytest.mark.parametrize("n", [60, 929, 5000])
def test_what_is_planned_within_a_budget_is_what_will_be_held(n):
    for budget in (0.01, 0.2, 0.9, 0.999, 1.0):
        terms = Terms(0.041, None, budget, 0.1, Costs(1.0, 1.0, 0.5))
        planned, held = planned_zone(n, terms), zone_at(n, 0.041, threshold(n, terms))
        assert (planned.rank_low, planned.rank_high) == (held.rank_low, held.rank_high)
        assert pytest.approx(held.T, rel=1e-9) == planned.T
