"""Ticks are round, few and inside; labels are what people write."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from detectd.models.score_grid import grid
from detectd.report.svg import axes, number_format

ends = st.floats(-1e15, 1e15, allow_subnormal=False)


@given(ends, ends, st.integers(2, 9))
def test_nice_ticks_are_round_even_inside_and_as_many_as_may_be(one, other, at_most):
    low, high = sorted([one, other])
    assume(high - low > 1e-9 * max(abs(low), abs(high), 1e-9))
    values = [tick.value for tick in axes.nice_ticks(low, high, at_most)]
    assert len(values) <= at_most
    assert len(values) >= at_most / 2.5 - 1  # the next smaller step has at most 2.5 times as many
    assert all(low <= value <= high for value in values)
    assert values == sorted(set(values))
    if len(values) > 1:
        step = (values[-1] - values[0]) / (len(values) - 1)
        mantissa = step / 10.0 ** math.floor(math.log10(step) + 1e-9)
        assert min(abs(mantissa - digit) for digit in (1, 2, 5)) < 1e-3
        assert np.allclose(np.diff(values), step, rtol=1e-3)


@pytest.mark.parametrize(
    ("low", "high", "at_most", "labels"),
    [
        (0.0, 1.0, 3, "0.0 0.5 1.0"),
        (0.0, 0.3, 4, "0.0 0.1 0.2 0.3"),
        (-51.2, 1.28, 5, "−40 −20 0"),
        (9560, 9998, 5, "9,600 9,700 9,800 9,900"),
        (-0.02, 1.02, 3, "0.0 0.5 1.0"),
        (0.0, 1e-9, 6, "0 2e−10 4e−10 6e−10 8e−10 1e−09"),
    ],
)
def test_ticks_as_they_are_read(low, high, at_most, labels):
    assert " ".join(tick.label for tick in axes.nice_ticks(low, high, at_most)) == labels


def test_a_tick_is_the_double_that_its_label_says():
    for tick in axes.nice_ticks(0.0, 0.7, 9):
        assert tick.value == float(Fraction(tick.label))


@given(st.floats(1e-6, 1.0), st.floats(0.05, 0.5))
def test_uneven_ticks_keep_their_distance(high, spacing):
    def place(values):
        return np.sqrt(values / high)

    ticks = axes.spaced_ticks(place, (0.0, high), spacing)
    places = [float(place(tick.value)) for tick in ticks]
    assert places[0] == 0
    assert all(later - earlier >= spacing for earlier, later in itertools.pairwise(places))
    assert places[-1] <= 1


def test_a_long_tail_names_powers_of_ten():
    cells = grid(np.exp(2.5 * np.random.default_rng(1).normal(size=2000)))
    assert cells.unit is not None
    ticks = axes.spaced_ticks(cells.place, (cells.low, cells.high), 0.13)
    assert {"0", "10", "100", "1,000"} <= {tick.label for tick in ticks}


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0%"),
        (1, "100%"),
        (0.9996, "100%"),
        (0.999, "99.9%"),
        (0.5, "50.0%"),
        (0.1449, "14.5%"),
        (0.0215, "2.15%"),
        (0.00211, "0.211%"),
        (5e-6, "0.000500%"),
        (1e-30, "1e-28%"),
    ],
)
def test_shares_have_three_digits(share, text):
    assert number_format.percent(share) == text


def test_counts_are_short_where_the_steps_are_large():
    labels = [t.label for t in axes.nice_ticks(0, 200_000, 5, number_format.count_label)]
    assert labels == ["0", "50k", "100k", "150k", "200k"]
    labels = [t.label for t in axes.nice_ticks(0, 5e6, 6, number_format.count_label)]
    assert labels == ["0", "1M", "2M", "3M", "4M", "5M"]
    labels = [t.label for t in axes.nice_ticks(0, 4_000, 5, number_format.count_label)]
    assert labels == ["0", "1,000", "2,000", "3,000", "4,000"]


def test_infinite_values_have_a_place():
    axis = axes.linear(0.0, 1.0)
    assert axis.at([-np.inf, 0.25, np.inf]).tolist() == [-axes.FARTHEST, 0.25, axes.FARTHEST]
    assert (axis.inside(-np.inf), axis.inside(np.inf)) == (0.0, 1.0)
    assert number_format.score(-math.inf) == "−∞"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (20, "2026-03-06 00:00 UTC"),
        (7200, "2026-03-06 00:00 to 02:00 UTC"),
        (90_000, "2026-03-06 00:00 to 2026-03-07 01:00 UTC"),
    ],
)
def test_a_stretch_of_time_says_nothing_twice(seconds, text):
    assert number_format.stretch(1_772_755_200, 1_772_755_200 + seconds) == text
