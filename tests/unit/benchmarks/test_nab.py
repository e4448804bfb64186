"""The scoring of the Numenta Anomaly Benchmark, against its definition and its published scores."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import nab
from benchmarks.series import above_warm_up

STANDARD, LOW_FALSE_ALARMS, LOW_MISSES = (
    nab.Profile(0.11, 1.0),
    nab.Profile(0.22, 1.0),
    nab.Profile(0.11, 2.0),
)
PROFILES = (STANDARD, LOW_FALSE_ALARMS, LOW_MISSES)

# At the best threshold, by profile, on the thirteen files of these categories.
PUBLISHED = {
    "contextOSE": ("68.98282", "64.22110", "72.65521"),
    "numenta": ("76.38970", "69.98276", "82.92647"),
    "randomCutForest": ("60.55044", "50.65064", "69.70029"),
}
FILES = 13


def series(length, *spans):
    return nab.labelled("one", np.arange(length), np.zeros(length), spans)


def flags(length, *at):
    raised = np.zeros(length, dtype=bool)
    raised[list(at)] = True
    return raised


def scored(one, *at, profile=STANDARD):
    return nab.count([one], [flags(len(one.values), *at)]).score(profile)


@pytest.mark.parametrize("profile", PROFILES)
def test_silence_is_worth_nothing_and_the_first_points_of_all_windows_100(profile):
    one = series(1000, (300, 399), (700, 799))
    assert scored(one, profile=profile) == pytest.approx(0.0)
    assert scored(one, 300, 700, profile=profile) == pytest.approx(100.0)


def test_an_alarm_earns_less_the_later_it_comes_and_only_the_first_counts():
    one = series(1000, (300, 399))
    rewards = [scored(one, at) for at in range(300, 400)]
    assert rewards == sorted(rewards, reverse=True)
    assert scored(one, 350, 399) == scored(one, 350)
    at_the_middle = (2 / (1 + math.exp(-2.5)) - 1) / (2 / (1 + math.exp(-5)) - 1)
    assert scored(one, 350) == pytest.approx(100 * (at_the_middle + 1) / 2)


def test_a_false_alarm_costs_less_just_after_a_window():
    one = series(1000, (300, 399))
    cost = [scored(one, 300) - scored(one, 300, at) for at in (250, 401, 450, 600, 900)]
    assert cost[0] == cost[4] == pytest.approx(100 * 0.11 / 2)
    assert 0 < cost[1] < cost[2] < cost[3] < cost[4]


def test_probation_counts_for_nothing_but_opens_an_episode():
    one = series(1000, (300, 399))
    assert one.probation == 150
    assert series(20_000).probation == 750
    counted = nab.count([one], [nab.episodes(flags(1000, 149, 160, 300), 50)])
    assert (counted.alarms, counted.false_alarms, counted.found) == (1, 0, 1)


def test_an_episode_ends_after_quiet_points():
    raised = flags(300, 0, 50, 100, 151, 260)
    assert np.flatnonzero(nab.episodes(raised, 50)).tolist() == [0, 151, 260]
    assert not nab.episodes(flags(10), 50).any()


levels = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=60, max_size=60)


@given(st.lists(levels, min_size=2, max_size=2), st.sampled_from(PROFILES))
def test_the_best_threshold_is_the_best_of_all(scores, profile):
    pair = [series(60, (20, 29)), series(60, (12, 15), (40, 55))]
    scores = [np.array(one) for one in scores]
    best = max(
        nab.count(pair, [one >= threshold for one in scores]).score(profile)
        for threshold in (0.0, 0.25, 0.5, 1.0, 2.0)
    )
    assert nab.best(pair, scores, profile) == pytest.approx(best)


def test_the_threshold_without_labels_is_that_of_all_warm_ups_together():
    pair = [series(1000), series(1000)]
    scores = [np.zeros(1000), np.arange(1000.0)]
    raised = above_warm_up(pair, scores)
    assert not raised[0].any()
    assert np.flatnonzero(raised[1])[0] == 146  # 4 of all 300, and none of the quiet one


@pytest.fixture(scope="module")
def data():
    """The directory of the benchmark's files and of what was published for them."""
    given = os.environ.get("NAB_DATA")
    if not given:
        pytest.skip("NAB_DATA does not name a directory with the Numenta Anomaly Benchmark")
    return Path(given)


@pytest.mark.parametrize("detector", PUBLISHED)
def test_published_detectors_have_their_published_scores(data, detector):
    files = nab.read(data)
    if len(files) != FILES:
        pytest.skip(f"the figures are those of {FILES} files, and here are {len(files)}")
    scores = nab.published(data, detector, files)
    found = [nab.best(files, scores, profile) for profile in nab.profiles(data).values()]
    assert tuple(f"{score:.5f}" for score in found) == PUBLISHED[detector]
