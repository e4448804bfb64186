"""Guesses why events are late: right ones, and none if there is nothing to see."""

import random

from detectd.features.lateness import Late, guess

NOW = 1_760_000_000_000.0
HOUR = 3_600_000.0


def late(*lags, time=NOW):
    return [Late(time, lag) for lag in lags]


def test_a_time_zone_shows_in_whole_quarters_of_an_hour():
    assert "late by 2 h" in guess(late(*(2 * HOUR + each for each in range(-30_000, 30_000, 997))))
    assert "late by 5.5 h" in guess(late(*[5.5 * HOUR] * 9, 17.0))
    assert guess(late(*[5.5 * HOUR] * 7, *[17.0] * 3)) is None  # not most of them


def test_other_lags_are_no_time_zone():
    rng = random.Random(0)
    assert guess(late(*(rng.uniform(0, 10 * HOUR) for _ in range(200)))) is None
    assert guess(late(*(rng.uniform(0, 30_000) for _ in range(200)))) is None
    assert guess(late(*(48 * HOUR for _ in range(200)))) is None


def test_times_in_another_unit_are_from_before_1990_or_in_the_far_future():
    assert "before 1990" in guess(late(NOW - NOW / 1000, time=NOW / 1000))
    assert "far in the future" in guess(late(NOW * 999))
