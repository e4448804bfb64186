"""What training rows cannot show for want of time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectd.pipeline.time_coverage import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    TimeCovered,
    portion,
    spanned,
    widened,
)

MONDAY = 4 * DAY_MS  # 5 January 1970


def test_no_time_covers_nothing():
    assert widened(None, [None, None]) is None
    assert widened(None, []) is None


def test_times_may_come_in_any_order_and_in_parts():
    covered = widened(widened(None, [5, None, 3]), [9, 4])
    assert covered == (3, 9)
    assert widened(covered, [None]) == covered


@pytest.mark.parametrize(
    ("span", "said"),
    [
        (0, "cover 0.0 hours: a daily cycle"),
        (5.5 * HOUR_MS, "cover 5.5 hours: a daily cycle"),
        (DAY_MS - 1, "cover 24.0 hours: a daily cycle"),
        (3 * DAY_MS, "cover 3.0 days, without a weekend: a weekly cycle"),
        (5 * DAY_MS, "cover 5.0 days, with a weekend: a weekly cycle"),
    ],
)
def test_short_spans_are_said(span, said):
    assert said in TimeCovered(MONDAY, MONDAY + int(span)).warning


def test_a_week_is_enough():
    assert TimeCovered(MONDAY, MONDAY + 7 * DAY_MS).warning is None


def test_too_few_times_span_nothing():
    assert [spanned(np.arange(count), DAY_MS) for count in range(3)] == [0, 0, 0]


@given(
    st.lists(st.integers(0, 20 * DAY_MS), min_size=3, max_size=300),
    st.integers(MINUTE_MS, 30 * DAY_MS),
    st.sampled_from([-3650, -365, 365, 3650]),
    st.randoms(),
)
def test_far_times_of_a_minority_span_nothing(times, span, days, random):
    """In any order, and never more than there is."""
    there = spanned(np.array(times), span)
    assert 0 <= there <= max(times) - min(times)
    far = [MONDAY + days * DAY_MS + 4000 * DAY_MS] * ((len(times) - 1) // 2)
    mixed = [4000 * DAY_MS + each for each in times] + far
    random.shuffle(mixed)
    assert spanned(np.array(mixed), span) <= max(times) - min(times)


@given(st.lists(st.integers(0, 20 * DAY_MS), min_size=3, max_size=99), st.integers(-50, 50))
def test_one_clock_that_is_wrong_spans_nothing(times, days):
    wrong = [*times, days * DAY_MS]
    assert spanned(np.array(wrong), 30 * DAY_MS) <= max(times) - min(times)


@pytest.mark.parametrize(
    ("covered", "span", "said"),
    [
        (2.39 * DAY_MS, 7 * DAY_MS, "2.3 of 7 days"),
        (0, 36 * HOUR_MS, "0 of 36 hours"),
        (119.99 * MINUTE_MS, 2 * HOUR_MS, "1.9 of 2 hours"),
        (30 * MINUTE_MS, 90 * MINUTE_MS, "30 of 90 minutes"),
        (1.5 * MINUTE_MS, 1.5 * MINUTE_MS, "1.5 of 1.5 minutes"),
    ],
)
def test_a_portion_is_never_rounded_up(covered, span, said):
    assert portion(covered, span) == said
