"""The promises of many zones, against a stream that keeps or breaks them."""

import numpy as np
import pytest
from scipy import special, stats

from detectd.rejection.exact import Costs, rate_upper
from detectd.rejection.key_promise import ODDS, KeyCounts, KeyPromises
from detectd.rejection.promise import Terms
from detectd.rejection.zone import Zone

DELTA = 0.1


def zone(n, low, high):
    return Zone(n, max(1, n // 20), 8.0, low, high)


ZONES = [zone(200, 170, 189), zone(400, 350, 385), zone(1000, 920, 965), zone(3000, 2850, 2900)]


def urn(zones, rates, events, rng):
    """Counts after `events` of each zone that fall into it at these rates."""
    return KeyCounts(np.array(events), rng.binomial(events, rates))


def masses(zones, rng):
    return np.array([rng.beta(each.width, each.n + 1 - each.width) for each in zones])


def test_the_mixture_is_that_of_the_zones_that_answered():
    promises = KeyPromises(ZONES)
    weights = np.array([10, 0, 30, 60])
    expected = (
        sum(w * z.width / (z.n + 1) for w, z in zip(weights, ZONES, strict=True)) / weights.sum()
    )
    assert promises.mixture(weights, DELTA).rejection_rate == pytest.approx(expected)
    above = (
        sum(w * (z.n - z.rank_high) / (z.n + 1) for w, z in zip(weights, ZONES, strict=True))
        / weights.sum()
    )
    assert promises.mixture(weights, DELTA).anomaly_rate == pytest.approx(above)
    one = np.array([0, 5, 0, 0])
    assert promises.mixture(one, DELTA).rejection_rate_upper == rate_upper(400, 36, DELTA)


@pytest.mark.parametrize("delta", [0.05, 0.1, 0.3])
def test_the_bound_of_the_mixture_is_exceeded_no_more_often_than_promised(delta):
    rng, promises = np.random.default_rng(3), KeyPromises(ZONES)
    for weights in (np.ones(4), np.array([50.0, 1.0, 1.0, 1.0])):
        found = promises.mixture(weights, delta)
        upper = found.rejection_rate_upper
        rates = np.array([masses(ZONES, rng) @ weights for _ in range(4000)]) / weights.sum()
        assert (rates > upper).mean() <= delta
        assert upper < 2.5 * found.rejection_rate


def drawn_costs(rng, weights, gamma, costs):
    """The cost of an event at the worst, for 4,000 draws of the masses of all zones."""
    cost = np.zeros(4000)
    for share, each in zip(weights, ZONES, strict=True):
        gaps = (each.rank_low, each.width, each.n - each.rank_high)
        normal, rejected, anomaly = rng.dirichlet(gaps, 4000).T
        cost += share * (
            costs.false_negative * np.minimum(gamma, normal)
            + costs.false_positive * np.minimum(anomaly, 1 - gamma)
            + costs.rejection * rejected
        )
    return cost


@pytest.mark.parametrize("costs", [Costs(1.0, 1.0, 0.05), Costs(10.0, 0.0, 3.0), Costs(0, 5, 1)])
def test_the_bound_on_the_cost_is_exceeded_no_more_often_than_promised(costs):
    rng, promises, gamma = np.random.default_rng(4), KeyPromises(ZONES), 0.05
    weights = np.array([0.4, 0.3, 0.2, 0.1])
    found = promises.exact(weights, Terms(gamma, 8.0, None, DELTA, costs))
    cost = drawn_costs(rng, weights, gamma, costs)
    assert (cost > found.cost_upper).mean() <= DELTA
    error = 5 * cost.std() / np.sqrt(4000) + 1e-12
    assert cost.mean() == pytest.approx(found.expected_cost_bound, abs=error)


def test_the_evidence_is_a_ratio_of_urns_drawn_one_by_one():
    promises, rng = KeyPromises(ZONES[:1]), np.random.default_rng(1)
    drawn = rng.random(60) < 0.3
    counts = KeyCounts(np.array([60]), np.array([drawn.sum()]))
    p = 20 / 201
    for odds, found in zip(ODDS, promises._log_evidence(counts)[0], strict=True):
        tilted = p * odds / (1 + p * (odds - 1))
        log = 0.0
        for i, inside in enumerate(drawn):
            before = drawn[:i].sum()
            urns = [(201 * share + before) / (201 + i) for share in (tilted, p)]
            log += np.log(urns[0] / urns[1]) if inside else np.log((1 - urns[0]) / (1 - urns[1]))
        assert found == pytest.approx(log)


@pytest.mark.slow
def test_a_sound_stream_is_hardly_ever_found_to_break_its_promises_however_often_one_looks():
    rng, promises, runs = np.random.default_rng(5), KeyPromises(ZONES), 200
    broken = 0
    for _ in range(runs):
        rates, counts = masses(ZONES, rng), KeyCounts.none(len(ZONES))
        for _ in range(40):
            events = rng.integers(0, 60, len(ZONES))
            fresh = rng.binomial(events, rates)
            counts = KeyCounts(counts.events + events, counts.abstained + fresh)
            if not promises.kept(counts, DELTA):
                broken += 1
                break
    # A share of δ at most, by a binomial test that fails with probability 1e-6.
    assert broken <= stats.binom.isf(1e-6, runs, DELTA)


def test_one_key_that_goes_astray_and_a_small_excess_of_all_are_both_seen():
    rng = np.random.default_rng(8)
    zones = [zone(500, 450, 480) for _ in range(100)]
    promises, p = KeyPromises(zones), 31 / 501
    events = np.full(100, 2000)
    assert promises.kept(urn(zones, masses(zones, rng), events, rng), DELTA)
    one = masses(zones, rng)
    one[17] = 0.25
    counts = urn(zones, one, events, rng)
    assert not promises.kept(counts, DELTA)
    assert promises.excess(counts).argmax() == 17
    assert not promises.kept_by(17, counts, DELTA)
    assert promises.kept_by(18, counts, DELTA)
    every = urn(zones, np.full(100, 1.2 * p), events, rng)
    assert not promises.kept(every, DELTA)


def test_the_excess_is_in_deviations_of_the_urn():
    promises = KeyPromises([zone(300, 250, 280)])
    n, w, events = 300, 31, 500
    law = stats.betabinom(events, w, n + 1 - w)
    counts = KeyCounts(np.array([events]), np.array([80]))
    assert promises.excess(counts)[0] == pytest.approx((80 - law.mean()) / law.std())
    assert promises.excess(KeyCounts.none(1)).tolist() == [0.0]


def test_zones_without_a_gap_or_with_all_of_them_tell_nothing():
    promises = KeyPromises([zone(100, 95, 94), zone(10, 0, 10)])
    counts = KeyCounts(np.array([50, 50]), np.array([3, 50]))
    assert promises.kept(counts, DELTA)
    assert np.isfinite(promises._log_evidence(counts)).all()
    assert special.logsumexp(promises._log_evidence(counts)) < 4.0


def test_a_last_zone_of_the_scores_of_all_is_no_evidence_and_adds_its_deviation():
    zones = [*ZONES[:2], zone(600, 520, 580)]
    apart, mixed = KeyPromises(zones), KeyPromises(zones, mixed=True)
    strange = KeyCounts(np.array([100, 100, 500]), np.array([9, 8, 500]))
    assert not apart.kept(strange, DELTA)
    assert mixed.kept(strange, DELTA)
    astray = KeyCounts(np.array([900, 100, 0]), np.array([600, 8, 0]))
    assert not mixed.kept(astray, DELTA)
    weights = np.array([2.0, 3.0, 5.0])
    p = np.array([z.width / (z.n + 1) for z in zones])
    n = np.array([z.n for z in zones])
    deviation = float(weights @ np.sqrt(p * (1 - p) / (n + 2))) / 10
    found = mixed.mixture(weights, DELTA)
    cantelli = deviation * np.sqrt((1 - DELTA) / DELTA)
    assert found.rejection_rate_upper == pytest.approx(found.rejection_rate + cantelli)
    assert found.rejection_rate_upper > apart.mixture(weights, DELTA).rejection_rate_upper


def test_the_bound_holds_where_the_last_zone_has_the_scores_of_a_key_as_well():
    """One key of 400 scores; the others share the zone of its scores and of 20 of their own."""
    rng, own, weights = np.random.default_rng(6), zone(400, 350, 385), np.array([1.0, 1.0])
    shared = zone(420, 368, 404)
    upper = KeyPromises([own, shared], mixed=True).mixture(weights, DELTA).rejection_rate_upper
    over = 0
    for _ in range(3000):
        key = np.sort(rng.random(400))
        both = np.sort(np.concatenate([key, rng.random(20)]))
        mass = key[own.rank_high] - key[own.rank_low - 1]
        over += (mass + both[shared.rank_high] - both[shared.rank_low - 1]) / 2 > upper
    assert over / 3000 <= DELTA


def test_an_estimated_contamination_is_averaged_over_all_that_are_plausible():
    rng, costs, plausible = np.random.default_rng(9), Costs(1.0, 10.0, 0.05), (0.01, 0.05, 0.12)
    weights, promises = np.array([0.4, 0.3, 0.2, 0.1]), KeyPromises(ZONES)
    terms = Terms(0.06, 8.0, None, DELTA, costs, plausible)
    found = promises.exact(weights, terms)
    alone = [promises.exact(weights, Terms(g, 8.0, None, DELTA, costs)) for g in plausible]
    mean = np.mean([each.expected_cost_bound for each in alone])
    assert found.expected_cost_bound == pytest.approx(mean)
    cost = drawn_costs(rng, weights, rng.choice(plausible, 4000), costs)
    assert (cost > found.cost_upper).mean() <= DELTA


def test_the_same_counts_are_judged_once(monkeypatch):
    promises, looked = KeyPromises(ZONES), []
    counts = KeyCounts(np.array([9, 9, 9, 9]), np.array([1, 1, 0, 0]))
    evidence = promises._log_evidence

    def look(counts):
        looked.append(counts)
        return evidence(counts)

    monkeypatch.setattr(promises, "_log_evidence", look)
    assert promises.kept(counts, DELTA) == promises.kept(counts, DELTA)
    assert len(looked) == 1
    promises.kept(counts, DELTA / 2)
    promises.kept(KeyCounts.none(4), DELTA / 2)
    assert len(looked) == 3
