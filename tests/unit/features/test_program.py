"""Programs of all functions at once: no result depends on batches, on the future, or on others."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectd.features import columns
from detectd.features.catalogue import CATALOGUE
from detectd.features.declaring import declare
from detectd.features.learnt import LEARNT
from detectd.features.program import compiled_program
from tests.support.feature_rows import run

TABLES = [
    {"of": "a", "fn": "lag"},
    {"of": "a", "fn": "diff", "steps": 2},
    {"of": "a", "fn": "rate"},
    *({"of": "a", "fn": fn, "window": 5} for fn in ("mean", "std", "min", "max", "median")),
    *({"of": "a", "fn": fn, "window": "1m"} for fn in ("mean", "std", "min", "max")),
    {"of": "a", "fn": "quantile", "window": 5, "q": 0.9},
    {"of": "a", "fn": "ewma", "half_life": 3},
    {"of": "a", "fn": "ewma", "half_life": "1m", "surprise": True},
    {"of": "a", "fn": "trend", "window": 5},
    {"of": "a", "fn": "zscore", "window": 5},
    {"of": "a", "fn": "season", "slots": 4},
    {"of": "a", "fn": "season", "slots": 24, "zone": "Europe/Berlin", "name": "local"},
    {"of": "b", "fn": "shingle", "window": 3, "surprise": True},
    {"fn": "count", "window": "1m"},
    {"fn": "gap", "surprise": "exact"},
    {"of": "b", "fn": "code"},
    {"of": "b", "fn": "frozen"},
    {"of": "c", "fn": "rarity", "top": 2, "window": 9},
    {"of": "b", "fn": "series"},
    {"of": "c", "fn": "rarity", "by": "training"},
    {"of": "c", "fn": "onehot"},
    {"fn": "hour"},
]
PROGRAM = compiled_program(["a", *map(declare, TABLES)])
SLOTS = 3

events = st.lists(
    st.tuples(
        st.integers(0, SLOTS - 1),
        st.sampled_from([0.0, 1.0, 1_500.0, 60_000.0, 7.2e6, -1.0, -1_000.0, -3.6e6, math.nan]),
        *[st.sampled_from([0.0, 1.0, -2.5, 3.0, 1e6, 1e150, -1e308, math.nan])] * 3,
    ),
    max_size=60,
)


def batch(drawn):
    """Slots, times and values of what was drawn: steps of the clock are added up."""
    drawn = np.array(drawn, dtype=float).reshape(-1, 5)
    times = 1.7e12 + np.cumsum(np.nan_to_num(drawn[:, 1]))
    times[np.isnan(drawn[:, 1])] = math.nan
    return drawn[:, 0].astype(np.int64), times, drawn[:, 2:]


def fresh():
    return np.zeros((SLOTS, PROGRAM.words))


def rows_of(table, slots, times, values):
    return run(PROGRAM, table, slots, times, values)


def test_it_is_a_program_of_all_functions():
    assert {table["fn"] for table in TABLES} == {*CATALOGUE, *LEARNT, "hour"}


@pytest.mark.slow
@given(events, st.integers(0, 60))
@settings(max_examples=100, deadline=None)
def test_rows_and_state_do_not_depend_on_where_a_batch_is_cut(drawn, cut):
    slots, times, values = batch(drawn)
    whole, cut_up = fresh(), fresh()
    rows = rows_of(whole, slots, times, values)
    parts = [
        rows_of(cut_up, slots[part], times[part], values[part])
        for part in (slice(cut), slice(cut, None))
    ]
    assert np.vstack(parts).tobytes() == rows.tobytes()
    assert whole.tobytes() == cut_up.tobytes()


@given(events, events, st.integers(0, 60))
@settings(max_examples=100, deadline=None)
def test_another_future_changes_nothing_before_it(drawn, others, cut):
    slots, times, values = batch(drawn)
    past = len(slots[:cut])
    other = [
        np.concatenate(both)
        for both in zip((slots[:cut], times[:cut], values[:cut]), batch(others), strict=True)
    ]
    rows = rows_of(fresh(), slots, times, values)
    assert rows_of(fresh(), *other)[:past].tobytes() == rows[:past].tobytes()


@given(events)
@settings(max_examples=100, deadline=None)
def test_keys_know_nothing_of_each_other(drawn):
    slots, times, values = batch(drawn)
    rows = rows_of(fresh(), slots, times, values)
    for slot in range(SLOTS):
        own = slots == slot
        alone = rows_of(fresh(), slots[own], times[own], values[own])
        assert alone.tobytes() == rows[own].tobytes()


@given(events)
@settings(max_examples=100, deadline=None)
def test_no_value_is_infinite_and_none_lasts(drawn):
    """After values at the end of the range a key returns to figures of its size."""
    slots, times, values = batch(drawn)
    assert not np.isinf(rows_of(fresh(), slots, times, values)).any()


@given(events)
def test_what_the_model_calculates_is_handed_on_as_it_came(drawn):
    """A category has no past, unless the event itself comes too late to count."""
    slots, times, values = batch(drawn)
    rows = rows_of(fresh(), slots, times, values)
    for label in ("c_rarity_training", "c_onehot"):
        place = columns(["a", *map(declare, TABLES)]).index(label)
        np.testing.assert_array_equal(rows[:, place], values[:, 2])


def test_a_slot_is_emptied_for_another_key():
    slots, times, values = batch([(0, 1.0, x, 2.0, 3.0) for x in range(12)])
    again = run(PROGRAM, fresh(), slots, times, values, np.arange(12) == 6)
    parts = [rows_of(fresh(), slots[p], times[p], values[p]) for p in (slice(6), slice(6, None))]
    np.testing.assert_array_equal(again, np.vstack(parts))


def test_an_event_without_a_slot_has_no_history_and_leaves_none():
    table = fresh()
    rows = rows_of(table, np.array([-1]), np.array([1.7e12]), np.array([[1.0, 2.0, 3.0]]))
    assert not table.any()
    assert rows[0, 0] == 1.0
    assert rows[0, -4:-2].tolist() == [3.0, 3.0], "nor does a category, or a function of time"
    assert np.isfinite(rows[0, -2:]).all()
    assert np.isnan(rows[0, 1:-4]).all()


def test_words_before_the_first_are_left_alone():
    slots, times, values = batch([(0, 1.0, x, 2.0, 3.0) for x in range(6)])
    wide = np.full((SLOTS, 4 + PROGRAM.words), 7.0)
    wide[:, 4:] = 0.0
    table = fresh()
    rows = run(PROGRAM, wide, slots, times, values, np.arange(6) == 3, first=4)
    np.testing.assert_array_equal(
        rows, run(PROGRAM, table, slots, times, values, np.arange(6) == 3)
    )
    assert (wide[:, :4] == 7.0).all()
    np.testing.assert_array_equal(wide[:, 4:], table)


def test_steps_that_features_share_are_done_once():
    mean = declare({"of": "a", "fn": "mean", "window": 5})
    judged = declare({"of": "a", "fn": "mean", "window": 5, "surprise": True})
    both = compiled_program([mean, judged])
    assert [signature for signature, _ in both.ops] == [
        "mean('a', 5.0)",
        "surprise(mean('a', 5.0)[0], 5000.0, 0.0, 0.0)",
    ]
    assert both.words == sum(size for _, size in both.ops)
    assert both.words == compiled_program([judged]).words


def test_a_field_may_be_a_number_and_a_category():
    rarity = declare({"of": "a", "fn": "rarity"})
    program = compiled_program(["a", rarity])
    assert (program.fields, program.categories) == (("a",), ("a",))
    table = np.zeros((1, program.words))
    rows = run(program, table, np.zeros(2, int), np.zeros(2), np.array([[5.0, 1.0], [6.0, 2.0]]))
    np.testing.assert_allclose(rows, [[5.0, 0.0], [6.0, -math.log10(0.25)]], atol=1e-12)


@pytest.mark.parametrize("window", [3, 64, 1_000])
def test_a_large_value_leaves_no_rounding_behind(window):
    program = compiled_program(
        [declare({"of": "a", "fn": fn, "window": window}) for fn in ("mean", "std", "trend")]
    )
    x = np.random.default_rng(0).normal(size=2 * window + 2)
    x[1] = 1e30
    rows = run(program, np.zeros((1, program.words)), np.zeros(len(x), int), x, x[:, None])
    last = x[-window:]
    slope = np.polyfit(np.arange(window), last, 1)[0]
    np.testing.assert_allclose(rows[-1], [last.mean(), last.std(ddof=1), slope], rtol=1e-9)
