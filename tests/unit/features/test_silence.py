"""What is a silence, and what is none. The laws of it are in test_key_table.py."""

import math

import numpy as np

from detectd.features.key_changes import RowsByName
from detectd.features.key_table import KeyTable
from detectd.features.silence import STRAYED

SPAN = 100.0
# Long enough for others to be silent.
A_WHILE = [(b"a", time) for time in (40, 80, 120)]


def table(**limits):
    return KeyTable(0, **{"max_keys": 10, "silent_ms": SPAN} | limits)


def pass_by(table, *events):
    """Let (key, time) events pass; return what is told of keys, in short."""
    before = len(table.silences)
    table.slots_of([key for key, _ in events], np.array([time for _, time in events], dtype=float))
    return [(each.state, each.key, each.since_ms) for each in table.silences[before:]]


def test_a_key_that_stops_is_told_once_and_once_more_when_it_is_back():
    keys = table()
    assert pass_by(keys, (b"a", 0), (b"b", 0), (b"a", 40), (b"a", 80)) == []
    assert pass_by(keys, (b"a", 100)) == []  # for the span, not for more
    assert pass_by(keys, (b"a", 120)) == [("open", b"b", 0.0)]
    assert keys.silent == 1
    assert pass_by(keys, (b"a", 160), (b"a", 500)) == []
    assert pass_by(keys, (b"b", 510)) == [("close", b"b", 0.0)]
    assert keys.silences[-1].until_ms == 510.0
    assert keys.silent == 0


def test_a_batch_that_holds_a_whole_silence_tells_both_ends_of_it():
    told = pass_by(
        table(), (b"b", 0), (b"a", 30), (b"a", 70), (b"a", 110), (b"a", 150), (b"b", 160)
    )
    assert told == [("open", b"b", 0.0), ("close", b"b", 0.0)]


def test_a_gap_of_all_is_the_silence_of_none():
    keys = table()
    pass_by(keys, *((key, 0) for key in (b"a", b"b", b"c")))
    assert pass_by(keys, *((key, 3_600_000) for key in (b"c", b"a", b"b"))) == []
    assert pass_by(keys, *((b"a", 3_600_000 + t) for t in (30, 60, 90, 120))) == [
        ("open", b"b", 3_600_000.0),
        ("open", b"c", 3_600_000.0),
    ]


def test_a_time_in_the_far_future_silences_nobody_and_the_clock_goes_on():
    keys = table()
    right = [(key, time) for time in range(0, 3000, 20) for key in (b"a", b"b", b"c")]
    told = pass_by(keys, *right[:30], (b"wrong", 4e12), *right[30:])
    assert told == [("open", b"wrong", 4e12)]
    # The clock had stood still for `STRAYED` events; from then on a silence is seen again.
    assert len(right) - 30 > STRAYED
    more = [(key, time) for time in range(3000, 3200, 20) for key in (b"a", b"b")]
    assert ("open", b"c", 2980.0) in pass_by(keys, *more)


def test_who_sends_late_events_only_is_silent():
    keys = table()
    pass_by(keys, (b"a", 0), (b"b", 50))
    steps = [event for time in (60, 90, 120, 160) for event in ((b"a", time), (b"b", 40))]
    assert pass_by(keys, *steps) == [("open", b"b", 50.0)]
    assert pass_by(keys, (b"b", 40)) == []
    assert pass_by(keys, (b"b", 170)) == [("close", b"b", 50.0)]


def test_late_events_of_a_silent_key_do_not_change_which_silence_it_is():
    """They count for the key, and come after the silence began: wherever a batch is cut."""
    events = [(b"a", 0), (b"b", 50), (b"a", 100), (b"a", 140), (b"a", 160)]
    events += [(b"b", 40), (b"b", 41), (b"b", 170)]
    expected = [("open", b"b", 50.0, 1), ("close", b"b", 50.0, 1)]
    for size in range(1, len(events) + 1):
        keys = table()
        for first in range(0, len(events), size):
            pass_by(keys, *events[first : first + size])
        told = [(each.state, each.key, each.since_ms, each.events) for each in keys.silences]
        assert told == expected, size


def test_a_clock_that_is_behind_is_no_silence():
    """What counts is when a key is heard among the others, not what its own clock shows."""
    keys = table()
    steps = [event for t in range(1000, 3000, 30) for event in ((b"a", t), (b"slow", t - 500))]
    assert pass_by(keys, *steps) == []


def test_a_key_without_times_is_silent_by_those_of_the_others():
    keys = table()
    pass_by(keys, (b"a", 0), (b"timeless", math.nan), *A_WHILE)
    (silence,) = keys.silences
    assert silence.key == b"timeless"
    assert math.isnan(silence.since_ms)
    assert pass_by(keys, (b"timeless", math.nan))[0][:2] == ("close", b"timeless")


def test_who_is_forgotten_while_silent_is_closed():
    keys = table(max_keys=2)
    pass_by(keys, (b"b", 0), (b"a", 0), *A_WHILE)
    assert pass_by(keys, (b"c", 125)) == [("close", b"b", 0.0)]
    assert keys.silences[-1].forgotten
    assert math.isnan(keys.silences[-1].until_ms)


def test_one_who_is_forgotten_at_a_start_is_closed_by_the_first_commit_after_it():
    keys, log = table(), RowsByName(0)
    pass_by(keys, (b"b", 0), (b"a", 0), *A_WHILE)
    for changes in keys.all_rows():
        log.apply(changes)
    small = table(max_keys=1)
    small.restore(log)
    for _ in range(2):
        assert [(each.state, each.key, each.forgotten) for each in small.silences] == [
            ("close", b"b", True)
        ]
        small.rollback()
    small.on_commit()
    assert not small.silences


def test_by_another_clock_all_of_them_are_silent_and_told_once():
    keys = table()
    pass_by(keys, (b"b", 0), (b"a", 0), (b"c", 10))
    keys.on_commit()
    keys.silence_all()
    assert keys.changed
    assert [each.key for each in keys.silences] == [b"a", b"b", b"c"]
    keys.on_commit()
    keys.silence_all()
    assert not keys.silences
    assert not keys.changed
    assert pass_by(keys, (b"c", 20)) == [("close", b"c", 10.0)]
