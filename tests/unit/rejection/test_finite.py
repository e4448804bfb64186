"""The law of finite histories, and of looking again and again: sound models, counted."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from detectd.rejection import (
    Costs,
    exact_promise,
    finite_history,
    most_inside,
    observed_inside,
    promise_kept,
    rate_interval,
    stability,
    zone,
)
from detectd.rejection.exact import rate_upper
from detectd.rejection.finite import DRAWS, total_cost

DELTA = 0.1
COSTS = Costs(3.0, 7.0, 0.5)
ZONES = [(1000, 0.1, 32.0), (1000, 0.05, 8.0), (200, 0.1, 3.0)]


def at_most(share, runs):
    """What a frequency of `share` reaches in one of a million such experiments."""
    return stats.binom.isf(1e-6, runs, share) / runs


def worst_histories(where, contamination, events, runs, rng):
    """False alarms, missed anomalies and abstentions (runs,) of sound models, with the anomalies
    where they cost most."""
    gaps = (where.rank_low, where.width, where.n - where.rank_high)
    masses = rng.dirichlet(np.maximum(gaps, 1e-9), runs)
    normal, rejected, anomaly = masses.T
    missed = np.minimum(contamination, normal)
    left = contamination - missed
    found = np.maximum(0.0, left - rejected)
    kinds = np.stack([anomaly - found, missed, rejected], axis=1)
    rest = np.clip(1.0 - kinds.sum(axis=1, keepdims=True), 0.0, None)
    chances = np.hstack([kinds, rest])
    return rng.multinomial(events, chances / chances.sum(axis=1, keepdims=True)).T[:3]


@pytest.mark.parametrize(("n", "contamination", "T"), ZONES)
@pytest.mark.parametrize("events", [50, 1000, 30_000])
def test_a_sound_history_is_kept_as_often_as_promised(n, contamination, T, events):
    where, rng, runs = zone(stability(n, int(n * contamination)), T), np.random.default_rng(3), 8000
    allowed = finite_history(where, (contamination,), events, DELTA, COSTS)
    alarms, missed, abstained = worst_histories(where, contamination, events, runs, rng)
    limit = at_most(DELTA, runs) + 3 / np.sqrt(DRAWS)
    assert np.mean(alarms > allowed.false_positives) < limit
    assert np.mean(missed > allowed.false_negatives) < limit
    cost = total_cost(COSTS, alarms, missed, abstained)
    assert 0.07 < np.mean(cost > allowed.cost) < limit


def test_the_bound_of_a_mass_is_no_bound_for_a_history():
    """What the law of finite histories is for: half of all histories miss more than their mean."""
    where, rng = zone(stability(1000, 50), 8.0), np.random.default_rng(3)
    _, missed, _ = worst_histories(where, 0.05, 1000, 8000, rng)
    bound = exact_promise(where, 0.05, DELTA, Costs(0, 1, 0)).cost_upper
    assert np.mean(missed / 1000 > bound) > 0.4


def test_the_bound_of_a_long_history_is_that_of_the_mass():
    where = zone(stability(1000, 50), 8.0)
    allowed = finite_history(where, (0.05,), 10**9, DELTA, COSTS)
    expected = exact_promise(where, 0.05, DELTA, COSTS).cost_upper
    assert allowed.cost / 10**9 == pytest.approx(expected, rel=3e-3)


def test_false_alarms_are_beta_binomial():
    where = zone(stability(1000, 100), 8.0)
    gaps = where.n - where.rank_high
    law = stats.betabinom(500, gaps, where.n + 1 - gaps)
    found = finite_history(where, (0.1,), 500, DELTA, COSTS).false_positives
    assert abs(found - law.ppf(1 - DELTA)) <= 1


@pytest.mark.parametrize("ranks", ["none", "all"])
def test_models_that_abstain_never_or_always(ranks):
    where = zone(stability(60, 30), 500.0)
    if ranks == "none":
        where = type(where)(60, 6, 1.0, 54, 53)
    allowed = finite_history(where, (0.1,), 100, DELTA, Costs(0, 0, 1))
    assert allowed.cost == (100 if ranks == "all" else 0)
    assert most_inside(where, 100, DELTA) == (100 if ranks == "all" else 0)


@pytest.mark.parametrize("events", [1, 30, 5000])
def test_the_most_that_is_inside_is_inside_and_one_more_is_not(events):
    where = zone(stability(1000, 100), 8.0)
    most = most_inside(where, events, DELTA)
    assert observed_inside(where, events, most, DELTA)
    assert most == events or not observed_inside(where, events, most + 1, DELTA)


LOOKS = np.unique(np.concatenate([np.arange(1, 20), np.geomspace(20, 1e8, 40)]).astype(np.int64))


def most_kept(scored, events):
    """The largest count of `events` that is still judged to keep the promise."""
    low, high = 0, events + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if scored(events, middle) else (low, middle)
    return low


def ever(where, scored, runs, rng):
    """The share of sound models that are ever found not to keep their promise."""
    rates = rng.beta(where.width, where.n + 1 - where.width, runs)
    abstained, found, before = np.zeros(runs), np.zeros(runs, dtype=bool), 0
    for events in LOOKS.tolist():
        abstained += rng.binomial(events - before, rates)
        found |= abstained > most_kept(scored, events)
        before = events
    return found.mean()


@pytest.mark.parametrize(("n", "contamination", "T"), [(1000, 0.05, 8.0), (50, 0.2, 4.0)])
def test_looking_again_and_again_finds_no_more_than_was_promised(n, contamination, T):
    where, runs = zone(stability(n, int(n * contamination)), T), 5000

    def kept(events, abstained):
        return promise_kept(where, events, abstained, DELTA)

    assert 0.01 < ever(where, kept, runs, np.random.default_rng(5)) <= at_most(DELTA, runs)


def test_one_look_is_no_law_for_many():
    where, runs = zone(stability(1000, 50), 8.0), 5000

    def inside(events, abstained):
        return observed_inside(where, events, abstained, DELTA)

    assert ever(where, inside, runs, np.random.default_rng(5)) > 0.2


def test_a_broken_promise_is_found_and_a_kept_one_stands():
    where = zone(stability(1000, 100), 32.0)
    bound = rate_upper(1000, where.width, DELTA / 2)
    assert promise_kept(where, 0, 0, DELTA)
    assert promise_kept(where, 10**7, int(bound * 10**7), DELTA)
    assert not promise_kept(where, 10**7, int(1.01 * bound * 10**7), DELTA)
    assert not promise_kept(where, 1000, 300, DELTA)
    assert rate_interval(1000, 300, DELTA / 2)[0] > bound
