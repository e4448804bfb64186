"""The evidence against the promise: its arithmetic, its false alarms, and what it sees."""

import itertools
import json
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from detectd.rejection import rejector
from detectd.rejection.confidence_sequence import rate_interval
from detectd.rejection.drift import BINS, FORGETTING, EDetector
from detectd.rejection.tie_breaking import lot


def watch_of(n, average_run_length=1e7, seed=0, grid=None):
    scores = np.random.default_rng(seed).normal(size=n)
    judge = rejector(scores if grid is None else np.round(scores * grid) / grid, 0.1, 8.0)
    return judge, EDetector(judge, average_run_length)


def ranks(judge, scores):
    found = judge.judge(scores)
    return found.below, found.rank


def watched_in_fractions(watch, judge, below, rank):
    """R after each event and the numbers of the events that alarm, by the formulas alone."""
    gaps, zone = judge.zone.n + 1, judge.zone
    cuts = sorted(
        {round(i * gaps / BINS) for i in range(BINS + 1)} | {zone.rank_low} | {zone.rank_high + 1}
    )
    bins = list(itertools.pairwise(cuts))
    forgetting = [Fraction(1, 100), Fraction(1, 500)]
    means, alarms, run = [], [], 0
    for number, (low, high) in enumerate(zip(below.tolist(), rank.tolist(), strict=True)):
        if run == 0:
            R = [Fraction(0), Fraction(0)]
            seen = [0] * len(bins)
            often = [[Fraction(b - a, gaps) for a, b in bins] for _ in R]
        # Among equal calibration scores, above those whose lot is smaller.
        place = low + sum(each < lot(number) for each in watch._lots[low:high])
        here = next(i for i, (a, b) in enumerate(bins) if a <= place < b)
        a, b = bins[here]
        urn = Fraction(b - a + seen[here], gaps + run)
        for i, forget in enumerate(forgetting):
            alternative = urn / 2 + often[i][here] / 2
            R[i] = (R[i] + 1) * alternative / urn
            often[i] = [(1 - forget) * f for f in often[i]]
            often[i][here] += forget
        seen[here] += 1
        run += 1
        means.append(sum(R) / 2)
        if means[-1] >= watch.average_run_length:
            alarms.append(number + 1)
            run = 0
    return means, alarms


def test_the_evidence_is_that_of_exact_arithmetic():
    judge, watch = watch_of(60)
    places = np.random.default_rng(3).integers(0, 61, size=150)
    expected, _ = watched_in_fractions(watch, judge, places, places)
    now = watch.begin()
    for place, exact in zip(places, expected, strict=True):
        now, alarms = watch.advance(now, np.array([place]), np.array([place]))
        assert not alarms
        assert math.isclose(now.evidence, exact, rel_tol=1e-11)
    assert np.array_equal(FORGETTING, [0.01, 0.002])


@pytest.mark.parametrize("grid", [None, 2.0], ids=["continuous", "tied"])
def test_alarms_and_what_follows_them_are_those_of_exact_arithmetic(grid):
    judge, watch = watch_of(80, 25.0, grid=grid)
    fresh = np.random.default_rng(9).normal(0.3, 1.2, size=400)
    below, rank = ranks(judge, fresh if grid is None else np.round(fresh * grid) / grid)
    means, expected = watched_in_fractions(watch, judge, below, rank)
    now, alarms = watch.advance(watch.begin(), below, rank)
    assert len(expected) > 3
    assert [alarm.event for alarm in alarms] == expected
    assert [alarm.number for alarm in alarms] == list(range(1, len(expected) + 1))
    assert np.array_equal([alarm.after for alarm in alarms], np.diff(expected, prepend=0))
    assert now.since == 400 - expected[-1]
    assert math.isclose(now.evidence, means[-1], rel_tol=1e-11)


def test_ranks_of_exchangeable_scores_follow_the_urn():
    """By counting: 3 calibration scores and 3 events, in all 720 orders."""
    counted = {}
    for order in itertools.permutations(range(6)):
        calibration = sorted(order[:3])
        places = tuple(sum(c < event for c in calibration) for event in order[3:])
        counted[places] = counted.get(places, 0) + 1
    for places in itertools.product(range(4), repeat=3):
        urn = Fraction(1)
        for t, place in enumerate(places):
            urn *= Fraction(1 + places[:t].count(place), 4 + t)
        assert Fraction(counted[places], 720) == urn


@pytest.mark.slow
def test_the_mean_evidence_is_the_number_of_events():
    """Over all streams of three events, each with its probability under the urn."""
    _, watch = watch_of(30)
    gaps, mean = 31, 0.0
    for places in itertools.product(range(gaps), repeat=3):
        probability = 1.0
        for t, place in enumerate(places):
            probability *= (1 + places[:t].count(place)) / (gaps + t)
        now, _ = watch.advance(watch.begin(), np.array(places), np.array(places))
        mean += probability * now.evidence
    assert math.isclose(mean, 3.0, rel_tol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("grid", [None, 2.0], ids=["continuous", "tied"])
def test_the_time_to_each_false_alarm_is_at_least_the_average_run_length(grid):
    A, runs = 300, 200
    rng = np.random.default_rng(4)
    times = []
    for run in range(runs):
        judge, watch = watch_of(200, A, seed=run, grid=grid)
        now, alarms = watch.begin(), []
        while len(alarms) < 2:
            fresh = rng.normal(size=500)
            fresh = fresh if grid is None else np.round(fresh * grid) / grid
            now, more = watch.advance(now, *ranks(judge, fresh))
            alarms += more
        times.append([alarm.after for alarm in alarms[:2]])
    standard_error = np.std(times, axis=0) / math.sqrt(runs)
    assert (np.mean(times, axis=0) > A - 2 * standard_error).all()


@pytest.mark.parametrize(
    ("stream", "within", "word"),
    [
        (lambda rng, k: rng.normal(0.5, 1, k), 600, "more a"),
        (lambda rng, k: rng.normal(1.0, 1, k), 250, "more a"),
        (lambda rng, k: rng.normal(-0.7, 1, k), 600, "lower scores"),
        (lambda rng, k: rng.normal(0, 1.6, k), 600, "both ends"),
        (lambda rng, k: np.where(rng.random(k) < 0.2, 4.0, 0) + rng.normal(size=k), 600, "more an"),
    ],
)
def test_a_change_is_seen_soon_and_named(stream, within, word):
    """After 5,000 events without one; at a false alarm in ten million."""
    delays, words = [], []
    for seed in range(15):
        rng = np.random.default_rng(100 + seed)
        judge, watch = watch_of(1000, seed=seed)
        now, alarms = watch.advance(watch.begin(), *ranks(judge, rng.normal(size=5000)))
        assert not alarms
        _, alarms = watch.advance(now, *ranks(judge, stream(rng, 3000)))
        delays.append(alarms[0].event - 5000 if alarms else math.inf)
        words += [alarms[0].moved] if alarms else []
    assert np.median(delays) < within
    assert sum(each.startswith(word) for each in words) > len(words) / 2, words


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=6), st.sampled_from([None, 3.0]))
def test_batches_of_any_size_and_a_restart_leave_the_same_evidence(sizes, grid):
    judge, watch = watch_of(150, 500.0, grid=grid)
    fresh = np.random.default_rng(5).normal(0.2, 1.1, size=sum(sizes))
    below, rank = ranks(judge, fresh if grid is None else np.round(fresh * grid) / grid)
    whole, alarms = watch.advance(watch.begin(), below, rank)
    now, found, start = watch.begin(), [], 0
    for size in sizes:
        part = slice(start, start + size)
        now, more = watch.advance(now, below[part], rank[part])
        now = EDetector(judge, 500.0).resume(json.loads(json.dumps(now.as_dict())))
        found += more
        start += size
    assert now.as_dict() == whole.as_dict()
    assert found == alarms


def test_nothing_is_changed_in_place():
    judge, watch = watch_of(150)
    was = watch.begin()
    before = was.as_dict()
    watch.advance(was, *ranks(judge, np.random.default_rng(6).normal(size=50)))
    assert was.as_dict() == before


def test_weights_do_not_overflow():
    judge, watch = watch_of(100)
    fresh = np.random.default_rng(7).normal(size=200_000)
    now, _ = watch.advance(watch.begin(), *ranks(judge, fresh))
    assert np.isfinite(now.weight).all()
    np.testing.assert_allclose(now.recent.sum(axis=1) / now.weight, 1.0, rtol=1e-9)


def test_equal_scores_take_a_place_among_them_by_lot():
    """A stream that is all ties falls between the lots of the scores that it equals."""
    judge, watch = watch_of(400, grid=1e-9)
    below, rank = ranks(judge, np.zeros(20_000))
    assert (rank - below == 400).all()
    now, alarms = watch.advance(watch.begin(), below, rank)
    assert not alarms
    gaps = np.diff(watch._lots, prepend=0, append=1)
    masses = np.add.reduceat(gaps, np.cumsum(now.widths) - now.widths)
    assert stats.chisquare(now.counts, 20_000 * masses).pvalue > 1e-3


def test_what_other_bins_left_is_not_taken_up():
    _, small = watch_of(12)
    judge, watch = watch_of(500)
    past, _ = watch.advance(watch.begin(), *ranks(judge, np.zeros(5)))
    assert small.resume(past.as_dict()).events == 0
    assert watch.resume({}).events == 0
    # As many bins, but the zone ends elsewhere.
    one, other = (EDetector(rejector(judge.scores, 0.1, T), 1e7) for T in (9.0, 10.0))
    past, _ = one.advance(one.begin(), *ranks(judge, np.zeros(5)))
    assert len(other.begin().widths) == len(past.widths)
    assert other.resume(past.as_dict()).events == 0
    assert one.resume(past.as_dict()).events == 5


@pytest.mark.slow
def test_the_interval_holds_the_true_rate_at_every_moment():
    rng, missed, runs, alpha = np.random.default_rng(8), 0, 200, 0.2
    for _ in range(runs):
        seen = np.cumsum(rng.random(2000) < 0.05)
        looks = [1, 2, 5, 10, 30, 100, 200, 400, 700, 1000, 1500, 2000]
        intervals = [rate_interval(t, int(seen[t - 1]), alpha) for t in looks]
        missed += any(not low <= 0.05 <= high for low, high in intervals)
    assert missed / runs < alpha


@pytest.mark.slow
@given(st.integers(1, 10**9), st.floats(0, 1), st.floats(1e-6, 0.5))
def test_the_interval_is_ordered_and_its_ends_are_just_plausible(events, share, alpha):
    abstained = round(share * events)
    low, high = rate_interval(events, abstained, alpha)
    assert 0.0 <= low <= abstained / events <= high <= 1.0
    wider_low, wider_high = rate_interval(events, abstained, alpha / 2)
    assert wider_low <= low
    assert high <= wider_high


def test_intervals_that_are_known():
    assert rate_interval(0, 0, 0.1) == (0.0, 1.0)
    low, high = rate_interval(10, 0, 0.1)
    assert low == 0.0
    # (1-p)^10 = 0.1 * B(1/2, 21/2) / B(1/2, 1/2)
    assert math.isclose(high, 1 - (0.1 * math.prod((k + 0.5) / (k + 1) for k in range(10))) ** 0.1)
    assert rate_interval(10, 10, 0.1) == (1 - high, 1.0)
