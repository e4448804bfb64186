"""A zone for each key: held against a rejector of that key's scores alone."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectd.errors import ConfigError
from detectd.rejection import ABSTAIN, ANOMALY, Costs
from detectd.rejection.key_zones import MOST_KEYS, own_keys, promises_by_key
from detectd.rejection.promise import Terms, promise
from detectd.rejection.reach import smallest_n_reaching

COSTS = Costs(1.0, 1.0, 0.1)
TERMS = Terms(0.05, None, None, 0.1, COSTS)
SIZES = {11: 400, 12: 900, 13: 30, 14: 25, 0: 500}


def drawn(sizes=SIZES, seed=0):
    """Ascending scores of keys that differ in their scale, and whose each is."""
    rng = np.random.default_rng(seed)
    parts = [(key, rng.gamma(3.0, 1.0 + key, n)) for key, n in sizes.items()]
    scores = np.concatenate([part for _, part in parts])
    keys = np.concatenate([np.full(len(part), key, dtype=np.uint64) for key, part in parts])
    order = np.argsort(scores, kind="stable")
    return scores[order], keys[order]


def of(scores, keys, *wanted):
    return scores[np.isin(keys, np.array(wanted, dtype=np.uint64))]


@pytest.mark.parametrize(
    ("terms", "own"),
    [
        (TERMS, (11, 12)),
        (Terms(0.05, 3.0, None, 0.1, COSTS), (11, 12)),
        (Terms(0.1, None, 0.2, 0.1, COSTS), (11, 12, 13)),
        (Terms(0.05, None, None, 0.1, COSTS, calibration="cross"), (11, 12)),
    ],
)
def test_each_key_is_judged_as_by_a_model_of_its_scores_alone(terms, own):
    scores, keys = drawn()
    shared, zones = promises_by_key(scores, keys, terms)
    assert zones.digests.tolist() == [*own]
    assert not zones.mixed
    fresh = np.random.default_rng(1).gamma(3.0, 12.0, 2000)
    fresh[:30] = scores[::50][:30]  # ties
    alone = {key: promise(of(scores, keys, key), terms).rejector for key in own}
    rest = promise(of(scores, keys, *(SIZES.keys() - own)), terms).rejector
    assert shared.rejector.zone == rest.zone
    for key in (11, 12, 13, 14, 0, 99):
        expected = alone.get(key, rest)
        places = zones.places(np.full(len(fresh), key, dtype=np.uint64))
        found, wanted = zones.judge(fresh, places), expected.judge(fresh)
        assert zones.zones[places[0]] == expected.zone
        assert np.array_equal(zones.scores_of(places[0]), expected.scores)
        for name in ("verdict", "rank", "below"):
            assert np.array_equal(getattr(found, name), getattr(wanted, name))
    assert np.array_equal(zones.pooled.scores, scores)
    sizes = [SIZES[key] for key in own]
    assert zones.shares == pytest.approx(np.array([*sizes, 1855 - sum(sizes)]) / 1855)


@pytest.fixture(scope="module")
def zones():
    """Those of the keys that are drawn."""
    scores, keys = drawn()
    return promises_by_key(scores, keys, TERMS)[1]


@given(st.integers(0, 400), st.integers(0, 2**32 - 1))
def test_where_a_batch_is_cut_does_not_matter(zones, cut, seed):
    rng = np.random.default_rng(seed)
    fresh = rng.gamma(3.0, 12.0, 400)
    places = zones.places(rng.choice(np.array([0, 11, 12, 13, 77], dtype=np.uint64), 400))
    whole = zones.judge(fresh, places)
    parts = [zones.judge(fresh[part], places[part]) for part in (slice(cut), slice(cut, None))]
    for name in ("verdict", "rank", "below", "places"):
        joined = np.concatenate([getattr(part, name) for part in parts])
        assert np.array_equal(getattr(whole, name), joined)


def test_infinity_is_above_all_scores(zones):
    found = zones.judge(np.array([np.inf, np.inf]), np.array([0, 2]))
    assert found.rank.tolist() == [400, 555]
    assert found.verdict.tolist() == [ANOMALY, ANOMALY]


@pytest.mark.parametrize("T", [None, 8.0])
@pytest.mark.parametrize("contamination", [0.02, 0.05, 0.1])
def test_enough_is_what_lets_a_key_reach_half_of_its_anomalies(contamination, T):
    terms = Terms(contamination, T, None, 0.1, COSTS)
    enough = smallest_n_reaching(contamination, T)
    sizes = [enough, round(enough * 0.8), 1, 2 * enough]
    keys = np.repeat(np.array([4, 5, 6, 7], dtype=np.uint64), sizes)
    assert own_keys(keys, terms).tolist() == [4, 7]
    assert promise(np.arange(float(enough)), terms).reach >= 0.5


def test_a_key_does_not_lose_its_zone_by_one_score_more_whatever_all_scores_leave():
    """At T = 8 and γ = 0.05, 660 to 679 scores leave half in reach, and 680 to 699 do not."""
    terms = Terms(0.05, 8.0, None, 0.1, COSTS)
    assert smallest_n_reaching(0.05, 8.0) == 700
    for n in (400, 679, 680, 699, 700, 701, 720):
        assert (own_keys(np.full(n, 7, dtype=np.uint64), terms).tolist() == [7]) == (n >= 700)


def test_under_a_budget_that_leaves_little_in_reach_a_key_needs_as_much_as_all_scores_leave():
    terms = Terms(0.1, None, 0.2, 0.1, COSTS)
    scores, keys = drawn()
    shared, zones = promises_by_key(scores, keys, terms)
    assert promise(scores, terms).reach < 0.5
    assert zones.digests.tolist() == [11, 12, 13]
    assert shared.rejector.zone.anomaly_reachable


def test_with_too_few_others_they_share_the_zone_of_all_scores():
    scores, keys = drawn({11: 400, 12: 300, 13: 20})
    shared, zones = promises_by_key(scores, keys, TERMS)
    assert zones.own == 2
    assert zones.mixed
    assert np.array_equal(shared.rejector.scores, scores)
    assert zones.pooled is shared.rejector


def test_without_a_key_of_enough_scores_all_share_one_zone():
    scores, keys = drawn({11: 20, 12: 20, 13: 20})
    shared, zones = promises_by_key(scores, keys, TERMS)
    assert zones.own == 0
    assert not zones.mixed
    places = zones.places(np.array([11, 12, 5], dtype=np.uint64))
    assert places.tolist() == [0, 0, 0]
    assert np.array_equal(
        zones.judge(scores, np.zeros(60, dtype=np.intp)).verdict,
        shared.rejector.judge(scores).verdict,
    )


def test_rows_without_a_key_never_have_a_zone_of_their_own():
    keys = np.repeat(np.array([0, 7], dtype=np.uint64), 500)
    assert own_keys(keys, TERMS).tolist() == [7]


def test_of_too_many_keys_those_with_the_most_scores_have_a_zone(monkeypatch):
    monkeypatch.setattr("detectd.rejection.key_zones.MOST_KEYS", 2)
    keys = np.repeat(np.array([5, 6, 7, 8], dtype=np.uint64), [300, 500, 400, 301])
    assert own_keys(keys, TERMS).tolist() == [6, 7]
    assert MOST_KEYS >= 1000


def test_scores_that_expect_no_anomaly_are_refused():
    with pytest.raises(ConfigError, match="expect no anomaly"):
        promises_by_key(np.arange(5.0), np.full(5, 3, dtype=np.uint64), TERMS)


def test_tied_scores_of_a_key_are_warned_of():
    scores, keys = drawn()
    assert not promises_by_key(scores, keys, TERMS)[0].tied
    own = keys == 12
    scores = np.where(own, scores.round(0), scores)
    order = np.argsort(scores, kind="stable")
    told, _ = promises_by_key(scores[order], keys[order], TERMS)
    assert told.tied
    assert not told.rate_bounded
    assert any("1 of 2 keys" in warning for warning in told.warnings)


def test_the_promise_of_all_is_that_of_the_zones_by_their_shares_in_calibration():
    scores, keys = drawn()
    told, zones = promises_by_key(scores, keys, TERMS)
    rates = [zone.width / (zone.n + 1) for zone in zones.zones]
    assert told.expected_rejection_rate == pytest.approx(float(zones.shares @ rates))
    assert told.exact.expected_rejection_rate == told.expected_rejection_rate
    assert told.exact.rejection_rate_upper == told.rejection_rate_upper
    assert told.expected_rejection_rate < told.rejection_rate_upper < 1.0
    assert told.shared.exact == promise(of(scores, keys, 13, 14, 0), TERMS).exact
    assert told.kept(1000, 10) is None
    unlawful = replace(TERMS, calibration="cross")
    assert promises_by_key(scores, keys, unlawful)[0].exact is None


def test_keys_of_different_scales_each_keep_their_promise_where_the_pooled_one_does_not():
    """Each key's abstained mass is Beta(w, n+1−w)."""
    n, stream, scales = 1000, 4000, 2.0 ** np.arange(8)
    rng = np.random.default_rng(7)
    calibration = np.concatenate([rng.exponential(scale, n) for scale in scales])
    keys = np.repeat(np.arange(1, 9, dtype=np.uint64), n)
    order = np.argsort(calibration)
    _, zones = promises_by_key(calibration[order], keys[order], TERMS)
    assert zones.own == len(scales)
    pooled = promise(calibration, TERMS)

    def margin(p, size):  # Four deviations: of the mass, and of the events given the mass.
        return 4 * np.sqrt(p * (1 - p) * (1 / (size + 2) + 1 / stream))

    p, p_pooled = zones.zones[0].width / (n + 1), pooled.expected_rejection_rate
    far = 0
    for i, scale in enumerate(scales):
        fresh = rng.exponential(scale, stream)
        own = zones.judge(fresh, np.full(stream, i)).verdict == ABSTAIN
        together = pooled.rejector.judge(fresh).verdict == ABSTAIN
        assert abs(own.mean() - p) < margin(p, n)
        far += abs(together.mean() - p_pooled) > margin(p_pooled, len(calibration))
    assert far >= 6


def test_the_first_event_does_not_wait_for_the_compiler(monkeypatch):
    """A call with arrays of the same types comes before it."""
    kinds = []

    def compiled(*given):
        kinds.append([(each.dtype, each.ndim, each.flags.writeable) for each in given])

    monkeypatch.setattr("detectd.rejection.ranking.rank_in_zones", compiled)
    scores, keys = drawn()
    _, zones = promises_by_key(scores, keys, TERMS)
    assert kinds
    before = list(kinds)
    zones.judge(np.array([1.0, 2.0]), zones.places(np.array([11, 99], dtype=np.uint64)))
    assert kinds[-1] in before
