"""The cost bound over a distribution of contaminations, against the known one and simulation."""

from dataclasses import astuple
from functools import cache

import numpy as np
import pytest
from scipy import stats

from detectd.errors import ConfigError
from detectd.rejection import Costs, exact_promise, expected_anomalies, stability, zone
from detectd.rejection.contamination_uncertainty import uncertain_promise

PLACES = [(300, 0.05, 8.0), (200, 0.1, 4.0), (60, 0.05, 32.0), (20, 0.5, 40.0)]
PRICES = [Costs(1, 1, 0.05), Costs(5, 10, 1), Costs(1, 0, 3), Costs(0, 0, 0)]


@cache
def zone_of(n, contamination, T):
    return zone(stability(n, expected_anomalies(n, contamination)), T)


def spread(contamination, count):
    """Equally likely contaminations, from nearly none to several times as many."""
    return stats.beta.ppf((np.arange(count) + 0.5) / count, 2, 2 / contamination - 2).tolist()


@pytest.mark.parametrize("costs", PRICES)
@pytest.mark.parametrize("place", PLACES)
def test_a_point_is_the_known_contamination(place, costs):
    known = exact_promise(zone_of(*place), place[1], 0.1, costs)
    for count in (1, 2):
        same = uncertain_promise(zone_of(*place), [place[1]] * count, 0.1, costs)
        assert astuple(same) == pytest.approx(astuple(known), rel=0, abs=1e-9)


@pytest.mark.parametrize("costs", PRICES[:2])
@pytest.mark.parametrize("place", PLACES[:2])
def test_the_bound_is_the_quantile_of_simulated_costs(place, costs):
    """Masses from the Dirichlet, a contamination for each, and anomalies where they cost most."""
    found, draws = zone_of(*place), 200_000
    rng = np.random.default_rng(1)
    points = np.minimum(spread(place[1], 6), 0.5)
    gaps = np.maximum([found.rank_low, found.width, found.n - found.rank_high], 1e-12)
    N, R, A = rng.dirichlet(gaps, size=draws).T
    g = rng.choice(points, size=draws)
    missed = np.minimum(g, N)
    caught = np.maximum(0.0, g - missed - R)
    cost = costs.false_negative * missed + costs.false_positive * (A - caught)
    cost += costs.rejection * R
    promise = uncertain_promise(found, points.tolist(), 0.1, costs)
    assert promise.expected_cost_bound == pytest.approx(cost.mean(), rel=5e-3)
    assert np.mean(cost > promise.cost_upper) == pytest.approx(0.1, abs=4e-3)


def test_the_bound_lies_between_those_of_its_contaminations():
    found, costs = zone_of(300, 0.05, 8.0), Costs(1, 1, 0.05)
    points = spread(0.05, 5)
    known = [exact_promise(found, g, 0.1, costs) for g in points]
    mixed = uncertain_promise(found, points, 0.1, costs)
    uppers = [each.cost_upper for each in known]
    assert min(uppers) < mixed.cost_upper < max(uppers)
    means = [each.expected_cost_bound for each in known]
    assert mixed.expected_cost_bound == pytest.approx(np.mean(means), rel=1e-12)
    assert mixed.rejection_rate_upper == known[0].rejection_rate_upper


def test_a_delta_out_of_range_is_refused():
    with pytest.raises(ConfigError, match="delta is 1"):
        uncertain_promise(zone_of(200, 0.1, 4.0), [0.1], 1.0, PRICES[0])
