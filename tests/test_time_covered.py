"""What training rows cannot show for want of time."""

import pytest

from detectd.time_covered import DAY_MS, HOUR_MS, TimeCovered, widened

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
