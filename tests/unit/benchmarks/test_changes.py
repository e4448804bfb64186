"""The scoring of change points, against figures by hand and against its definition."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import changes
from benchmarks.nab import Profile

STANDARD, LOW_FALSE_ALARMS, LOW_MISSES = PROFILES = tuple(changes.PROFILES.values())


def scored(true, seen, profile=STANDARD):
    arrays = [[np.array(times, dtype=float)] for times in (true, seen)]
    return changes.count(*arrays).score(profile)


@pytest.mark.parametrize("profile", PROFILES)
def test_silence_is_worth_nothing_and_an_alarm_at_every_change_100(profile):
    assert scored([100, 300], [], profile) == pytest.approx(0.0)
    assert scored([100, 300], [100, 300], profile) == pytest.approx(100.0)


def test_an_alarm_earns_less_the_later_it_comes_and_only_the_first_counts():
    worth = [scored([100], [time]) for time in range(100, 161)]
    assert all(before > after for before, after in itertools.pairwise(worth))
    # At the end it costs as much as a false alarm; what is left is that it was no miss.
    assert worth[-1] == pytest.approx(100 * (1 - 0.11) / 2)
    assert scored([100], [130, 150, 160]) == scored([100], [130])


def test_a_false_alarm_costs_the_same_wherever_it_lies():
    cost = [scored([100], [100]) - scored([100], [100, time]) for time in (161, 200, 5000)]
    cost.append(scored([100], [100]) - scored([100], [99, 100]))
    assert cost == pytest.approx([100 * 0.11 / 2] * 4)
    assert scored([100], [99, 100], LOW_FALSE_ALARMS) == pytest.approx(100 * (1 - 0.22 / 2))


def test_a_miss_costs_its_weight():
    assert scored([100, 300], [100]) == pytest.approx(50.0)
    assert scored([100, 300], [100, 50], LOW_MISSES) == pytest.approx(50.0 - 100 * 0.11 / 2 / 3)


def test_the_later_of_two_windows_that_overlap_begins_at_the_end_of_the_earlier_one():
    counted = changes.count([np.array([100.0, 157.0])], [np.array([158.0, 175.0])])
    assert counted.places == pytest.approx([58 / 60, (175 - 160) / (217 - 160)])
    assert (counted.windows, counted.missed, counted.false_alarms) == (2, 0, 0)


def test_files_are_counted_together():
    nothing = np.array([])
    counted = changes.count([np.array([100.0]), nothing], [nothing, np.array([100.0, 120.0])])
    assert (counted.places, counted.missed, counted.false_alarms) == ([], 1, 2)
    assert counted.score(Profile(0.25, 1.0)) == pytest.approx(100 * -0.5 / 2)


def plainly(true, seen, profile):
    """The score by the definition's own words, second by second."""
    reward = []
    for step in range(1000):
        x = -math.pi / 2 + math.pi * step / 999
        height = (1 + profile.false_alarm) / 2
        reward.append(
            -height * math.tanh(x) / math.tanh(math.pi / 2) + height - profile.false_alarm
        )
    raw, taken, end = 0.0, set(), -math.inf
    for change in true:
        begin, end = max(change, end), change + 60
        inside = [time for time in seen if begin <= time <= end]
        taken |= set(inside)
        if inside:
            raw += reward[min(int((inside[0] - begin) / (end - begin) * 1000), 999)]
        else:
            raw -= profile.miss
    raw -= profile.false_alarm * len(set(seen) - taken)
    silence = -profile.miss * len(true)
    return 100 * (raw - silence) / (len(true) - silence)


@given(
    st.lists(st.integers(1, 200), min_size=1, max_size=5),
    st.sets(st.integers(0, 1200), max_size=40),
    st.sampled_from(PROFILES),
)
def test_the_score_is_the_definitions(gaps, seen, profile):
    true, seen = np.cumsum(gaps), sorted(seen)
    assert scored(true, seen, profile) == pytest.approx(plainly(true, seen, profile))
