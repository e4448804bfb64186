"""The table of keys: its laws against a plain one, and that commits and rollbacks are exact."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectd.features.key_changes import RowsByName, reorder
from detectd.features.key_rows import (
    HEADER_WORDS,
    LATEST,
    kept,
    key_of,
    name_of,
    remap,
    with_room,
)
from detectd.features.key_table import KeyTable
from tests.support.key_tables import EVENTS, LATE, LIMITS, NAN, WORDS, PlainTable, contents, score


def same(one, other):
    """Compare with NaN the same as NaN and -0.0 other than 0.0."""
    return repr(one) == repr(other)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(LIMITS, st.lists(EVENTS, max_size=6))
def test_it_does_what_a_plain_table_does(limits, batches):
    table, plain = KeyTable(WORDS, **limits), PlainTable(**limits)
    for batch in batches:
        assert same(score(table, batch), [plain.score(*event) for event in batch])
        assert same([*map(tuple, table.silences)], plain.silences)
    assert set(contents(table)) == {name_of(kept(key)) for key in plain.keys}
    counters = table.counters
    assert (counters.events, counters.evicted, counters.expired) == (
        plain.events,
        plain.evicted,
        plain.expired,
    )


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.tuples(LIMITS, EVENTS), LATE), st.data())
def test_it_does_not_matter_where_batches_are_cut(drawn, data):
    limits, events = drawn
    whole, parts = KeyTable(WORDS, **limits), KeyTable(WORDS, **limits)
    outcome, first = [], 0
    while first < len(events):
        size = data.draw(st.integers(1, len(events) - first))
        outcome += score(parts, events[first : first + size])
        first += size
    assert same(score(whole, events), outcome)
    assert contents(whole) == contents(parts)
    assert same(whole.silences, parts.silences)
    assert whole.counters == parts.counters
    plain = PlainTable(**limits)
    assert same([plain.score(*event) for event in events], outcome)
    assert same([*map(tuple, whole.silences)], plain.silences)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(
    LIMITS,
    st.lists(
        st.one_of(EVENTS, st.sampled_from(["commit", "rollback", "restart", "quiet"])), max_size=14
    ),
)
def test_what_was_not_committed_is_taken_back_and_what_was_comes_back(limits, steps):
    """A log of the changes is the table of the last commit at any time."""
    table, plain = KeyTable(WORDS, **limits), PlainTable(**limits)
    committed, log = copy.deepcopy(plain), RowsByName(WORDS)
    at_commit, topic = contents(table), {}
    for step in steps:
        if step == "commit":
            for changes in table.changes():
                log.apply(changes)
            rows = [*table.changed_rows()]
            assert len(rows) == len({name for name, _ in rows})
            topic |= dict(rows)
            table.on_commit()
            plain.silences.clear()
            committed, at_commit = copy.deepcopy(plain), contents(table)
            assert {name: row for name, row in topic.items() if row is not None} == at_commit
            assert log.counters == table.counters
        elif step == "rollback":
            table.rollback()
        elif step == "restart":
            table = KeyTable(WORDS, **limits)
            table.restore(copy.deepcopy(log))
        else:
            if step == "quiet":
                table.silence_all()
                plain.silence_all()
            else:
                assert same(score(table, step), [plain.score(*event) for event in step])
            assert same([*map(tuple, table.silences)], plain.silences)
            continue
        plain = copy.deepcopy(committed)
        assert contents(table) == at_commit
        assert table.counters == log.counters
        assert not table.changed
        assert not table.silences
        assert [*table.changes()] == []


@settings(max_examples=50, deadline=None)
@given(LIMITS, st.lists(EVENTS, max_size=4), st.integers(1, 9))
def test_a_lower_cap_lets_the_least_recent_go_once(limits, batches, lower):
    table, log = KeyTable(WORDS, **limits), RowsByName(WORDS)
    for batch in batches:
        score(table, batch)
    for changes in table.all_rows():
        log.apply(changes)
    recent = sorted(contents(table).items(), key=lambda item: -np.frombuffer(item[1])[0])
    small = KeyTable(WORDS, **limits | {"max_keys": lower})
    small.restore(copy.deepcopy(log))
    assert contents(small) == dict(recent[:lower])
    lost = {name for name, _ in recent[lower:]}
    assert small.counters.evicted == table.counters.evicted * bool(recent) + len(lost)
    assert {name for name, row in small.changed_rows() if row is None} == lost
    for changes in small.changes():
        log.apply(changes)
    names, _ = log.taken_by_recency()
    assert set(names) == set(contents(small))


@given(st.permutations(range(9)))
def test_rows_are_brought_into_an_order_where_they_are(order):
    rows = np.arange(27.0).reshape(9, 3)
    sorted_ones = rows[order]
    reorder(rows, np.array(order))
    assert np.array_equal(rows, sorted_ones)


@given(st.integers(0, 300), st.integers(1, 400), st.booleans())
def test_room_for_more_rows_is_an_eighth_and_empty(slots, most, owned):
    rows = np.arange(3.0 * slots).reshape(slots, 3)
    rows = rows.copy() if owned else np.vstack([rows, rows])[:slots]
    room = with_room(rows, slots, slots + most)
    assert np.array_equal(room[:slots], np.arange(3.0 * slots).reshape(slots, 3))
    assert not room[slots:].any()
    assert slots < len(room) <= min(slots + most, max(16, slots * 9 / 8 + 1))


def test_rows_grow_to_the_cap_and_no_further():
    table = KeyTable(WORDS, max_keys=100)
    score(table, [(b"%d" % i, NAN, 1.0) for i in range(300)])
    assert len(table) == len(table.rows) == 100
    assert b"299" in table
    assert b"199" not in table


def test_a_hundred_thousand_keys_are_each_their_own():
    n = 100_000
    keys = [b"host-%d" % i for i in range(n)]
    table, log = KeyTable(WORDS, max_keys=n), RowsByName(WORDS)
    for turn in range(3):
        slots = table.slots_of(keys, np.arange(n) + turn * 1e6)
        assert (slots.earlier == turn).all()
        table.rows[slots.slot, HEADER_WORDS] = np.arange(n) + turn
        for changes in table.changes():
            log.apply(changes)
        table.on_commit()
    again = KeyTable(WORDS, max_keys=n)
    again.restore(log)
    slots = again.slots_of(keys[::-1], np.full(n, NAN))
    assert (slots.earlier == 3).all()
    assert (again.rows[slots.slot, HEADER_WORDS] == np.arange(n)[::-1] + 2).all()
    # One more key at the cap takes the place of the least recently seen.
    again.slots_of([b"new"], np.array([NAN]))
    assert keys[-1] not in again
    assert keys[-2] in again


def test_evictions_in_a_row_keep_to_the_order_in_which_keys_were_seen():
    table = KeyTable(WORDS, max_keys=3)
    score(table, [(key, NAN, 1.0) for key in (b"a", b"b", b"c", b"a")])
    score(table, [(b"d", NAN, 1.0)])
    assert b"b" not in table
    score(table, [(b"c", NAN, 1.0), (b"e", NAN, 1.0)])
    assert b"a" not in table
    table.on_commit()
    score(table, [(b"f", NAN, 1.0)])
    table.rollback()
    score(table, [(b"d", NAN, 1.0), (b"g", NAN, 1.0)])
    assert {*contents(table)} == {b"=d", b"=e", b"=g"}


def test_a_key_that_made_room_has_its_turn_again_after_a_rollback():
    table = KeyTable(WORDS, max_keys=3)
    score(table, [(key, NAN, 1.0) for key in (b"a", b"b", b"c")])
    table.on_commit()
    for newcomer in (b"d", b"e"):
        score(table, [(newcomer, NAN, 1.0)])
        assert b"a" not in table
        assert b"b" in table
        table.rollback()


def test_the_latest_time_is_that_of_no_late_event():
    table = KeyTable(WORDS, max_keys=3)
    score(table, [(b"a", 50.0, 1.0), (b"a", 10.0, 1.0), (b"a", NAN, 1.0), (b"b", 20.0, 1.0)])
    assert table.rows[:2, LATEST].tolist() == [50.0, 20.0]
    assert table.counters.latest_ms == 50.0


def test_long_keys_are_told_apart_and_kept_short():
    long = [kept(b"k" * 1_000_000), kept(b"k" * 999_999 + b"x"), kept(b"k" * 255)]
    assert len({*long}) == 3
    assert max(len(name_of(key)) for key in long) < 400
    assert [key_of(name_of(key)) for key in long] == long


@given(st.one_of(st.none(), st.binary(max_size=300)))
def test_a_name_gives_the_key_back(key):
    assert key_of(name_of(kept(key))) == kept(key)


@pytest.mark.parametrize("name", [b"", b"?", b"--", b"#\xff"])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(ValueError, match=r"name|decode"):
        key_of(name)


def test_ops_that_still_match_keep_their_words():
    old = [("mean(cpu)", 2), ("lag(x)", 1), ("mean(cpu)", 2), ("rate(y)", 3)]
    new = [("rate(y)", 3), ("mean(cpu)", 2), ("std(cpu)", 2), ("lag(x)", 4)]
    found = remap(old, new)
    row = np.arange(1.0, HEADER_WORDS + 9)[None, :]
    (moved,) = found.apply(row)
    header, words = row[0, :HEADER_WORDS].tolist(), row[0, HEADER_WORDS:]
    assert moved.tolist() == [*header, *words[5:8], *words[:2], 0, 0, 0, 0, 0, 0]
    assert found.stay == ("rate(y)", "mean(cpu)")
    assert found.begin == ("std(cpu)", "lag(x)")
    assert {*found.dropped} == {"lag(x)", "mean(cpu)"}
    assert found.changes
    assert not remap(old, old).changes
