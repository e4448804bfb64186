"""The steps of `series`, each against a slow and plain version of its formula."""

import math
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectd.features.kernels import code_length, frozen, level, season, surprise, trend
from detectd.features.series import series_parts
from tests.support.steps import one_sided, run_parts, run_step

DAY = 86_400_000.0
STEPS = {
    "level": (level.step, level.words),
    "series_trend": (trend.step, trend.words),
    "season": (season.step, season.words),
    "code": (code_length.step, code_length.words),
    "frozen": (frozen.step, frozen.words),
    "surprise": (surprise.step, surprise.words),
    "surprise_exact": (surprise.step_exact, surprise.words_exact),
}

values_or_gaps = st.lists(st.floats(-1e6, 1e6) | st.integers(-3, 3).map(float), max_size=120)
few = st.lists(st.integers(0, 3).map(float), max_size=200)
# Also backwards, at the same time twice, before 1970, and years apart.
moments = st.integers(-(10**12), 4 * 10**12).map(float)


@given(values_or_gaps, st.integers(1, 9))
def test_level_is_the_mean_of_the_last_values(values, window):
    found = run_step(level.step, level.words, (window,), values)[:, 0]
    theirs = [np.mean(values[max(0, i + 1 - window) : i + 1]) for i in range(len(values))]
    np.testing.assert_allclose(found, theirs, rtol=1e-9, atol=1e-6)


@given(values_or_gaps)
def test_trend_is_what_two_means_of_what_came_before_differ_by(values):
    found = run_step(trend.step, trend.words, (60, 500), values)[:, 0]
    fast = slow = values[0] if values else 0.0
    for t, x in enumerate(values):
        assert found[t] == pytest.approx(fast - slow, rel=1e-9, abs=1e-6)
        fast += max(1 / (t + 2), 2 / 61) * (x - fast)
        slow += max(1 / (t + 2), 2 / 501) * (x - slow)


@given(
    st.lists(st.tuples(moments, st.floats(-1e6, 1e6)), max_size=80),
    st.sampled_from([(DAY, 96), (7 * DAY, 168), (3_600_000.0, 7), (DAY, 1)]),
    st.sampled_from([0.03, 0.1, 1.0]),
    st.sampled_from([0.0, 3_600_000.0]),
)
def test_season_is_the_distance_from_the_slots_mean(events, cycle, alpha, ahead):
    period, slots = cycle
    times, values = [t for t, _ in events], [x for _, x in events]
    params = (period, slots, alpha, ahead)
    found = run_step(season.step, season.words, params, values, times)[:, 0]
    means, counts, last = {}, Counter(), None
    for i, (t, x) in enumerate(events):
        slot = int(((t + ahead) % period) / period * slots)
        expected = means.get(slot, x if last is None else last)
        assert found[i] == pytest.approx(x - expected, rel=1e-9, abs=1e-6)
        counts[slot] += 1
        before = means.get(slot, 0.0)
        means[slot] = before + max(1 / counts[slot], alpha) * (x - before)
        last = x


def test_an_event_without_a_time_has_no_season_and_teaches_none():
    values, times = [1.0, 9.0, 2.0], [0.0, math.nan, 0.0]
    found = run_step(season.step, season.words, (DAY, 96, 0.03, 0), values, times)[:, 0]
    assert found[0] == 0
    assert math.isnan(found[1])
    assert found[2] == 1


@given(few)
def test_frozen_is_the_surprise_of_a_run_among_those_that_have_ended(values):
    found = run_step(frozen.step, frozen.words, (5000,), values, width=3)[:, 0]
    ended, run = [], 0
    for i, x in enumerate(values):
        if i > 0 and x != values[i - 1]:
            ended.append(run)
            run = 0
        run += 1
        theirs = one_sided(ended, run, least=1.0) if len(ended) >= 20 else 0.0
        if len(ended) <= 64:  # The sketch holds them all.
            assert found[i] == pytest.approx(theirs, rel=1e-6, abs=1e-9)


@given(few)
def test_beside_a_run_stand_its_length_and_what_was_usual(values):
    found = run_step(frozen.step, frozen.words, (5000,), values, width=3)
    ended, run = [], 0
    for i, x in enumerate(values):
        if i > 0 and x != values[i - 1]:
            ended.append(run)
            run = 0
        run += 1
        assert found[i, 1] == run
        if len(ended) < 20:
            assert math.isnan(found[i, 2])
        elif len(ended) <= 64:
            assert found[i, 2] == sorted(ended, reverse=True)[len(ended) // 2]


def test_a_value_that_stands_still_grows_more_surprising():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(size=500), np.full(30, 0.5), rng.normal(size=20)])
    found = run_step(frozen.step, frozen.words, (5000,), values, width=3)[:, 0]
    assert found[:500].max() == 0
    assert (np.diff(found[500:530]) > 0).all()
    assert found[529] > 10
    assert found[530:].max() < 0.1


class PlainCode:
    """The bits of classes, with dictionaries."""

    def __init__(self):
        self.counts = defaultdict(Counter)
        self.done = [0.0, 0.0, 0.0]
        self.before = (0, 0)

    def bits(self, symbol):
        p, prior, ps = 1 / 8, 4, []
        for order in range(3):
            context = self.counts[order, self.before[:order]]
            p = (context[symbol] + prior * p) / (sum(context.values()) + prior)
            prior = 2
            ps.append(p)
            context[symbol] += 1
            if sum(context.values()) >= 2000:
                for each in context:
                    context[each] //= 2
        weights = np.exp(np.array(self.done) - max(self.done))
        mixed = float((weights * ps).sum() / weights.sum())
        self.done = [0.98 * d + math.log(p) for d, p in zip(self.done, ps, strict=True)]
        self.before = (symbol, self.before[0])
        return -math.log2(mixed)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["noise", "steps", "constant"])
def test_code_length_is_that_of_three_mixed_orders(kind):
    rng = np.random.default_rng(0)
    values = {
        "noise": rng.normal(size=5000),
        "steps": np.tile(np.repeat([0.0, 1.0, 5.0], 20), 84)[:5000],
        "constant": np.full(5000, 3.0),
    }[kind]
    state, out, plain, all_bits = np.zeros(code_length.WORDS), np.empty(3), PlainCode(), []
    first, last = code_length.QUANTILES, code_length.QUANTILES + 7
    for x in values:
        symbol = int((x > state[first:last] + 0.02 * state[code_length.DISTANCE]).sum())
        code_length.step(state, x, math.nan, np.zeros(1), out)
        all_bits.append(plain.bits(symbol))
        assert out[0] == pytest.approx(all_bits[-1], rel=1e-9)
        assert out[1] == pytest.approx(np.mean(all_bits[-20:]), rel=1e-5)
        assert out[2] == pytest.approx(np.mean(all_bits[-60:]), rel=1e-5)


def test_classes_are_between_the_quantiles_that_values_have():
    values = np.random.default_rng(0).exponential(size=20_000)
    state, out = np.zeros(code_length.WORDS), np.empty(3)
    for x in values:
        code_length.step(state, x, math.nan, np.zeros(1), out)
    quantiles = state[code_length.QUANTILES : code_length.QUANTILES + 7]
    shares = (values[:, None] <= quantiles).mean(axis=0)
    np.testing.assert_allclose(shares, np.arange(1, 8) / 8, atol=0.05)


def test_a_pattern_that_breaks_costs_bits():
    rng = np.random.default_rng(0)
    values = np.sin(np.arange(3000) / 8) + 0.01 * rng.normal(size=3000)
    values[2000:2060] = rng.permutation(values[2000:2060])
    mean60 = run_step(code_length.step, code_length.words, (), values, width=3)[:, 2]
    assert mean60[2059] > 1.5 * mean60[1000:2000].max()


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(STEPS))
@given(values=values_or_gaps, data=st.data())
def test_gaps_give_nan_and_change_nothing_else(name, values, data):
    params = {part.step: part.params for part in ALL}[name]
    width = 3 if name == "code" else 1
    gaps = data.draw(st.lists(st.integers(0, len(values)), max_size=10))
    with_gaps = np.insert(np.array(values, float), gaps, math.nan)
    times = np.linspace(0, 3 * DAY, len(with_gaps))
    known = ~np.isnan(with_gaps)
    found = run_step(*STEPS[name], params, with_gaps, times, width)
    assert np.isnan(found[~known]).all()
    theirs = run_step(*STEPS[name], params, np.array(values), times[known], width)
    assert np.array_equal(found[known], theirs)


ALL = (*series_parts(), *series_parts(exact=True))


@pytest.mark.parametrize("light", [False, True])
@pytest.mark.parametrize("exact", [False, True])
def test_a_preset_reads_only_what_stands_before(light, exact):
    parts = series_parts(light=light, exact=exact)
    for i, part in enumerate(parts):
        assert part.of is None or (part.of < i and part.at < parts[part.of].width)
        words = STEPS[part.step][1](part.params)
        assert words < 250 or exact
    shown = [part.name for part in parts if part.weight is not None]
    assert shown[:3] == ["level", "trend", "day"]
    assert (len(shown) == 3) is light


@given(st.lists(st.tuples(moments, st.floats(-1e3, 1e3)), max_size=60), st.integers(0, 60))
def test_the_future_changes_nothing_before_it(events, cut):
    parts = series_parts()
    times, values = np.array(events).reshape(-1, 2).T
    changed = np.concatenate([values[:cut], values[cut:] * -7 + 1])
    whole, other = (run_parts(parts, STEPS, each, times) for each in (values, changed))
    for a, b in zip(whole, other, strict=True):
        assert np.array_equal(a[:cut], b[:cut], equal_nan=True)
