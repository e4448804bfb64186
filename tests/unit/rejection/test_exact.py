from __future__ import annotations

import math
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats

from detectd.errors import ConfigError
from detectd.rejection import (
    Costs,
    Zone,
    exact_promise,
    expected_anomalies,
    largest_width,
    observed_inside,
    rejector,
    stability,
    zone,
)
from detectd.rejection.exact import rate_upper
from detectd.rejection.quadrature import beta_mean

UNIT = Costs(1.0, 1.0, 1.0)
tables = cache(stability)


def zone_of(n, contamination, T):
    return zone(tables(n, expected_anomalies(n, contamination)), T)


def gaps(n, normal, rejected):
    """A zone with `normal` gaps below and `rejected` gaps in it."""
    return Zone(n, 1, 2.0, normal, normal + rejected - 1)


def worst_cost(N, R, A, g, costs):
    """As the placement of anomalies states it."""
    missed = np.minimum(g, N)
    caught = np.maximum(0.0, g - missed - R)
    return costs.false_negative * missed + costs.false_positive * (A - caught) + costs.rejection * R


@pytest.mark.parametrize(
    ("n", "contamination", "T", "expected", "upper"),
    [(1000, 0.1, 32, 0.144855145, 0.159252633), (1000, 0.05, 8, 0.046953047, 0.055690886),
     (5000, 0.02, 32, 0.030593881, 0.033752109), (10_000, 0.1, 32, 0.045695430, 0.048390139),
     (10_000, 0.1, 40, 0.051594841, 0.054448053), (1000, 0.01, 32, 0.053946054, 0.063265161)],
)  # fmt: skip
def test_known_figures(n, contamination, T, expected, upper):
    promise = exact_promise(zone_of(n, contamination, T), contamination, 0.1, UNIT)
    assert round(promise.expected_rejection_rate, 9) == expected
    assert round(promise.rejection_rate_upper, 9) == upper


@pytest.mark.parametrize(("n", "width"), [(10, 3), (1000, 145), (10**6, 1), (10**6, 4572)])
@pytest.mark.parametrize("delta", [1e-9, 0.01, 0.1, 0.5, 0.9])
def test_the_upper_rate_is_the_quantile_in_binomial_terms(n, width, delta):
    """Beta(w, n+1−w) exceeds x exactly as often as fewer than w of n uniforms lie below x."""
    upper = rate_upper(n, width, delta)
    assert stats.binom.cdf(width - 1, n, upper) == pytest.approx(delta, rel=1e-8)


PLACES = [
    (1000, 0.1, 32.0), (1000, 0.05, 8.0), (1000, 0.01, 32.0), (10, 0.5, 2.0), (10, 0.5, 0.7),
    (50, 0.5, 3.0), (3, 0.34, 1.0), (10**6, 0.1, 32.0), (10**6, 0.001, 1.0), (10**6, 0.5, 5.0),
]  # fmt: skip
PRICES = [
    Costs(1, 1, 0.1), Costs(5, 10, 1), Costs(1, 0, 3), Costs(0, 0, 1), UNIT, Costs(0, 1, 0)
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("costs", PRICES)
@pytest.mark.parametrize("place", PLACES)
def test_cost_figures_agree_with_simulated_masses(place, costs):
    n, contamination, _ = place
    where, delta, runs = zone_of(*place), 0.1, 20_000
    parameters = np.array([where.rank_low, where.width, n - where.rank_high])
    masses = np.zeros((runs, 3))
    random = np.random.default_rng([n, round(1000 * contamination)])
    masses[:, parameters > 0] = random.dirichlet(parameters[parameters > 0], runs)
    lowest, within, highest = masses.T
    cost = worst_cost(lowest, within, highest, contamination, costs)

    promise = exact_promise(where, contamination, delta, costs)
    error = 5 * cost.std() / math.sqrt(runs) + 1e-12
    assert promise.expected_cost_bound == pytest.approx(cost.mean(), abs=error)
    # An atom at the quantile makes the two shares differ; without one they are alike.
    above = np.count_nonzero(cost > promise.cost_upper + 1e-9)
    from_there = np.count_nonzero(cost >= promise.cost_upper - 1e-9)
    assert stats.binomtest(above, runs, delta, alternative="greater").pvalue > 1e-4
    assert stats.binomtest(from_there, runs, delta, alternative="less").pvalue > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("costs", [Costs(2, 5, 1), Costs(1, 0, 3), Costs(1, 10, 0.5)])
@pytest.mark.parametrize(
    ("n", "normal", "rejected", "g"),
    [(10, 5, 3, 0.45), (10, 2, 8, 0.4), (40, 30, 4, 0.1), (40, 18, 5, 0.5), (3, 1, 2, 0.3)],
)
def test_cost_quantile_agrees_with_plain_integration(n, normal, rejected, g, costs):
    """Conditioned on A, where the package conditions on R + A or on their ratio."""
    anomaly = n + 1 - normal - rejected
    promise = exact_promise(gaps(n, normal, rejected), g, 0.1, costs)
    t = promise.cost_upper

    def within(A):
        """P(cost ≤ t | A), from N = (1−A) x with x ~ Beta(a, w)."""

        def cost(x):
            N = (1 - A) * x
            return float(worst_cost(N, 1 - A - N, A, g, costs))

        knots = sorted({0.0, 1.0, *[x for x in (g / (1 - A),) if 0 < x < 1]})
        share = 0.0
        for left, right in pairwise(knots):  # linear between knots
            at_left, at_right = cost(left) - t, cost(right) - t
            if at_left > 0 and at_right > 0:
                continue
            root = left
            if at_left > 0 or at_right > 0:
                root += (right - left) * at_left / (at_left - at_right)
            low, high = (root if at_left > 0 else left), (root if at_right > 0 else right)
            share += special.betainc(normal, rejected, high)
            share -= special.betainc(normal, rejected, low)
        return share

    if anomaly == 0:
        assert within(0.0) == pytest.approx(0.9, abs=1e-9)
        return
    density = stats.beta(anomaly, n + 1 - anomaly).pdf
    edges = np.linspace(0.0, 1.0, 201)
    total = math.fsum(
        integrate.fixed_quad(lambda a: density(a) * np.array([within(x) for x in a]), *edge, n=12)[
            0
        ]
        for edge in pairwise(edges)
    )
    assert total == pytest.approx(0.9, abs=2e-6)


@pytest.mark.parametrize("place", PLACES)
def test_where_only_abstaining_costs_the_cost_is_the_rate(place):
    promise = exact_promise(zone_of(*place), place[1], 0.05, Costs(0, 0, 3))
    assert promise.cost_upper == pytest.approx(3 * promise.rejection_rate_upper, abs=1e-10)
    assert promise.expected_cost_bound == pytest.approx(3 * promise.expected_rejection_rate)


def test_where_only_misses_cost_the_quantile_is_that_of_one_beta():
    promise = exact_promise(gaps(50, 20, 12), 0.5, 0.1, Costs(0, 2, 0))
    assert promise.cost_upper == pytest.approx(2 * stats.beta(20, 31).ppf(0.9), abs=1e-9)


def test_where_abstaining_costs_as_much_as_a_false_alarm_the_quantile_is_that_of_one_beta():
    promise = exact_promise(gaps(1000, 800, 145), 0.1, 0.1, Costs(1, 5, 1))
    expected = 5 * 0.1 + stats.beta(201, 800).ppf(0.9)
    assert promise.cost_upper == pytest.approx(expected, abs=1e-9)


def test_on_the_triangle_of_uniform_masses_the_quantile_is_a_matter_of_areas():
    """Dirichlet(1, 1, 1), cost 2R + A with γ out of the way: P(cost > t) = (2−t)²/2 for t ≥ 1."""
    promise = exact_promise(gaps(2, 1, 1), 1e-12, 0.1, Costs(1, 0, 2))
    assert promise.cost_upper == pytest.approx(2 - math.sqrt(0.2), abs=1e-9)
    assert promise.expected_cost_bound == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("normal", "rejected", "expected", "upper", "cost"),
    [(0, 11, 1.0, 1.0, 3.0), (11, 0, 0.0, 0.0, 0.2 * 5), (0, 0, 0.0, 0.0, 0.8 * 2)],
)
def test_a_model_with_one_answer_has_figures_without_doubt(normal, rejected, expected, upper, cost):
    promise = exact_promise(gaps(10, normal, rejected), 0.2, 0.1, Costs(2, 5, 3))
    assert promise.expected_rejection_rate == expected
    assert promise.rejection_rate_upper == upper
    assert promise.expected_cost_bound == pytest.approx(cost, rel=1e-15)
    assert promise.cost_upper == pytest.approx(cost, rel=1e-15)


def test_without_costs_nothing_costs():
    promise = exact_promise(zone_of(1000, 0.1, 32.0), 0.1, 0.1, Costs(0, 0, 0))
    assert (promise.expected_cost_bound, promise.cost_upper) == (0.0, 0.0)


@pytest.mark.parametrize("delta", [0.0, 1.0, -0.1, math.nan])
def test_delta_out_of_range_is_refused(delta):
    with pytest.raises(ConfigError, match="delta"):
        exact_promise(gaps(10, 5, 2), 0.2, delta, UNIT)


@pytest.mark.parametrize("bad", [-1.0, math.inf, math.nan])
def test_a_cost_that_is_none_is_refused_by_name(bad):
    with pytest.raises(ConfigError, match="cost_false_negative"):
        Costs(1.0, bad, 1.0)


@settings(deadline=None)
@given(
    n=st.integers(1, 10**6),
    max_rate=st.floats(0.0, 1.0),
    delta=st.floats(1e-6, 1 - 1e-6),
)
def test_the_largest_width_fits_and_one_more_does_not(n, max_rate, delta):
    width = largest_width(n, max_rate, delta)
    assert rate_upper(n, width, delta) <= max_rate
    assert width == n + 1 or rate_upper(n, width + 1, delta) > max_rate


@settings(deadline=None)
@given(
    n=st.integers(1, 300),
    events=st.integers(1, 300),
    delta=st.sampled_from([0.01, 0.1, 0.5]),
    data=st.data(),
)
def test_observed_inside_is_the_beta_binomial_quantile(n, events, delta, data):
    width = data.draw(st.integers(1, n))
    abstained = data.draw(st.integers(0, events))
    reached = stats.betabinom.sf(abstained - 1, events, width, n + 1 - width)
    if abs(reached - delta) > 1e-9:
        assert observed_inside(gaps(n, 0, width), events, abstained, delta) == (reached > delta)


def test_observed_inside_of_a_very_long_stream_is_the_upper_rate():
    where, events = zone_of(10_000, 0.1, 32.0), 10**9
    limit = rate_upper(10_000, where.width, 0.1)
    assert observed_inside(where, events, int(events * (limit - 1e-6)), 0.1)
    assert not observed_inside(where, events, int(events * (limit + 1e-6)), 0.1)


def test_observed_inside_of_models_that_abstain_always_or_never():
    assert observed_inside(gaps(10, 0, 11), 7, 7, 0.1)
    assert observed_inside(gaps(10, 5, 0), 7, 0, 0.1)
    assert not observed_inside(gaps(10, 5, 0), 7, 1, 0.1)
    assert observed_inside(gaps(10, 5, 2), 0, 0, 0.1)


@pytest.mark.slow
@pytest.mark.parametrize(("alpha", "beta"), [(1, 1), (1, 10**6), (145, 856), (4572, 995_429)])
def test_beta_means_of_straight_and_of_kinked_functions(alpha, beta):
    law = stats.beta(alpha, beta)
    assert beta_mean(lambda x: x, alpha, beta) == pytest.approx(law.mean(), rel=1e-11)
    for deviations in np.linspace(-0.9, 3.0, 131):
        knot = law.mean() + deviations * law.std()
        if knot >= 1.0:
            continue
        kinked = beta_mean(lambda x, knot=knot: np.minimum(x / knot, 1.0), alpha, beta)
        below = law.mean() / knot * special.betainc(alpha + 1, beta, knot)
        assert kinked == pytest.approx(law.sf(knot) + below, abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(("contamination", "T"), [(0.1, 8.0), (0.2, 32.0), (0.05, 2.0)])
def test_the_promise_is_broken_by_a_share_delta_of_fits_neither_more_nor_less(contamination, T):
    """Fits on normal scores; the masses of each are known from the normal distribution."""
    n, fits, delta, costs = 200, 1500, 0.1, Costs(2.0, 5.0, 1.0)
    random = np.random.default_rng(round(100 * T))
    low, high = np.empty(fits), np.empty(fits)
    for i in range(fits):
        fit = rejector(random.standard_normal(n), contamination, T)
        low[i], high[i] = stats.norm.cdf([fit.score_low, fit.score_high])
    promise = exact_promise(fit.zone, contamination, delta, costs)

    abstained = high - low
    broken = np.count_nonzero(abstained > promise.rejection_rate_upper)
    assert stats.binomtest(broken, fits, delta).pvalue > 0.001
    error = 4 * abstained.std() / math.sqrt(fits)
    assert abstained.mean() == pytest.approx(promise.expected_rejection_rate, abs=error)
    cost = worst_cost(low, abstained, 1 - high, contamination, costs)
    dearer = np.count_nonzero(cost > promise.cost_upper)
    assert stats.binomtest(dearer, fits, delta).pvalue > 0.001
