"""The surprise of a value among its key's own last ones: exactly, and by the aged sketch."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectd.features.kernels import _sketch as sketch
from detectd.features.kernels.surprise import step, step_exact, words, words_exact
from tests.support.steps import run_step, surprise

# Values that 32-bit floats hold, with many ties.
coarse = st.integers(-50, 50).map(float)
BOTH = (0.0, 0.0)


def exact(values, memory=5000, rest=BOTH):
    return run_step(step_exact, words_exact, (memory, *rest), values, width=2)[:, 0]


def sketched(values, memory=5000, rest=BOTH):
    return run_step(step, words, (memory, *rest), values, width=2)[:, 0]


def plain(values, memory=5000):
    return [surprise(values[max(0, i - memory) : i], x) for i, x in enumerate(values)]


@given(st.lists(coarse | st.floats(-1e6, 1e6), max_size=120), st.integers(25, 130))
def test_exactly_is_as_sorting_has_it(values, memory):
    np.testing.assert_allclose(exact(values, memory), plain(values, memory), rtol=1e-9, atol=1e-9)


@given(st.lists(coarse, max_size=65))
def test_a_sketch_that_holds_everything_is_exact(values):
    np.testing.assert_allclose(sketched(values), exact(values), rtol=1e-12, atol=1e-12)


@given(st.lists(coarse, max_size=200), st.integers(25, 64))
def test_a_short_memory_is_exact_for_ever(values, memory):
    found = sketched(values, memory)
    np.testing.assert_allclose(found, exact(values, memory), rtol=1e-12, atol=1e-12)


def extreme(values, i, x, memory=5000):
    """Whether x is beyond the most extreme values before it, on either side."""
    earlier = sorted(values[max(0, i - memory) : i])
    count = min(50, len(earlier) // 4)
    return len(earlier) >= 20 and not earlier[count - 1] <= x <= earlier[-count]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_tails_are_exact_until_values_grow_too_old(seed):
    rng = np.random.default_rng(seed)
    values = np.round(rng.standard_t(3, size=2000) * 64) / 64
    ours, theirs = sketched(values), exact(values)
    far = np.array([extreme(values, i, x) for i, x in enumerate(values)])
    assert far.sum() > 90
    np.testing.assert_allclose(ours[far], theirs[far], rtol=1e-6)
    # Between the tails it is interpolated, with no more than the tails' first surprise.
    assert np.abs(ours[~far] - theirs[~far]).max() < 1
    assert np.abs(ours[~far] - theirs[~far]).mean() < 0.2


def test_tails_stay_close_when_values_grow_old():
    rng = np.random.default_rng(0)
    values = rng.normal(size=12_000) + np.repeat(rng.normal(size=12), 1000)
    ours, theirs = sketched(values, 2000), exact(values, 2000)
    assert np.abs(ours - theirs)[theirs > 1.5].mean() < 0.25
    assert np.corrcoef(ours, theirs)[0, 1] > 0.95


@given(st.lists(coarse, min_size=20, max_size=300), st.integers(65, 200))
def test_a_tail_holds_only_what_is_recent_and_in_order(values, memory):
    params, state, out = np.array((memory, *BOTH), float), np.zeros(sketch.WORDS), np.empty(2)
    for x in values:
        step(state, x, math.nan, params, out)
    recent = sorted((x - state[sketch.ANCHOR] for x in values[-memory - 1 :]), reverse=True)
    for side, turned in ((0, 1), (1, -1)):
        length = int(state[sketch.LENGTH + side])
        both = state[sketch.VALUES : sketch.NUMBERS].view(np.float32)
        kept = turned * both[side * sketch.TAIL :][:length].astype(float)
        assert list(kept) == sorted(kept, reverse=side == 0)
        remaining = list(recent)
        for value in kept:
            remaining.remove(value)
        if len(values) <= memory:
            assert list(kept) == (recent if side == 0 else recent[::-1])[:length]


@given(st.lists(coarse, max_size=150), st.integers(-1000, 1000), st.sampled_from([0.5, 2.0, 64.0]))
def test_units_and_zero_points_do_not_count(values, shift, unit):
    moved = [unit * (x + shift) for x in values]
    np.testing.assert_allclose(sketched(moved), sketched(values), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(exact(moved), exact(values), rtol=1e-12, atol=1e-12)


@given(st.lists(coarse, max_size=150))
def test_down_is_as_up(values):
    turned = [-x for x in values]
    np.testing.assert_allclose(exact(turned), exact(values), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(
        sketched(turned, rest=(1.0, 0.0)), sketched(values, rest=(-1.0, 0.0)), atol=1e-12
    )


@pytest.mark.parametrize("of", [sketched, exact])
@given(values=st.lists(st.floats(allow_infinity=False) | coarse, max_size=100))
def test_a_surprise_is_a_finite_number_not_below_zero(of, values):
    found = of(values)
    assert np.array_equal(np.isnan(found), np.isnan(values))
    known = found[~np.isnan(found)]
    assert ((known >= 0) & (known < 1010)).all()
    assert not known[:20].any()


@pytest.mark.parametrize("of", [sketched, exact])
@given(values=st.lists(coarse, max_size=100), data=st.data())
def test_gaps_change_nothing_else(of, values, data):
    gaps = data.draw(st.lists(st.integers(0, len(values)), max_size=10))
    with_gaps = np.insert(np.array(values, float), gaps, math.nan)
    found = of(with_gaps)
    assert np.array_equal(found[~np.isnan(with_gaps)], of(values))


@pytest.mark.parametrize("of", [sketched, exact])
def test_what_never_moved_is_surprised_by_its_rank(of):
    found = of([7.0] * 4999 + [8.0])
    assert found[:-1].max() < 1e-3
    assert found[-1] == pytest.approx(math.log10(5000) - math.log10(2))


def test_a_least_mean_excess_keeps_a_narrow_tail_from_shouting():
    values = [1.0] * 200 + [5.0]
    assert sketched(values, rest=(1.0, 1.0))[-1] == pytest.approx(
        -math.log10(51 / 201) + 4 / math.log(10)
    )


def test_where_a_key_begins_does_not_coarsen_what_comes_after():
    noise = np.random.default_rng(0).integers(-64, 64, size=400) / 64
    values = np.concatenate([[0.0], 1e9 + noise])
    np.testing.assert_allclose(
        sketched(values)[21:65], sketched(np.concatenate([[-1e6], noise]))[21:65], atol=1e-5
    )


@given(st.lists(st.floats(-1e6, 1e6), min_size=21, max_size=64))
def test_what_was_expected_is_the_median_of_what_came_before(values):
    """As long as the sketch holds them all; of exact ones, on which side of it the value is."""
    ours = run_step(step, words, (5000, *BOTH), values, width=2)[:, 1]
    side = run_step(step_exact, words_exact, (5000, *BOTH), values, width=2)[:, 1]
    assert np.isnan(ours[:20]).all()
    assert np.isnan(side[:20]).all()
    for i in range(20, len(values)):
        before = sorted(values[:i])
        ends = before[(i - 1) // 2 - 1], before[i // 2 + 1]
        assert ends[0] - 1 <= ours[i] <= ends[1] + 1
        above, below = sum(v > values[i] for v in before), sum(v < values[i] for v in before)
        assert np.nan_to_num(side[i], posinf=1, neginf=-1) == np.sign(above - below)


def test_what_was_expected_follows_a_key():
    values = np.random.default_rng(0).normal(size=4000) + np.repeat([50.0, 60.0], 2000)
    ours = run_step(step, words, (1000, *BOTH), values, width=2)[:, 1]
    assert abs(ours[2000] - 50) < 0.2
    # The median in the sketch is slow after a step that large; it is not told beyond the tails.
    assert 58 < ours[-1] < 62
