"""What keys reach at this time of day, against the rule said plainly, whatever the batches."""

import math
from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectd.features.kernels.routine import ordered
from detectd.features.program import compiled_program
from detectd.features.routine import RoutineOfRows
from detectd.features.routine_layout import MOST_STRAYED, RING
from detectd.features.state import FeatureState, KeyBounds

NAN, HOUR, DAY = math.nan, 3_600_000.0, 86_400_000.0
HALF = HOUR / 2


class Plain:
    """The rule over all that a key ever scored; nothing is forgotten until it is asked."""

    def __init__(self, max_keys):
        self.max_keys, self.keys = max_keys, []
        self.scores = defaultdict(list)
        self.latest, self.strayed = {}, defaultdict(int)

    def judge(self, key, time, score, mark):
        """Return on two of the last seven days the key reached the score near this time."""
        if key not in self.keys and len(self.keys) == self.max_keys:
            self._forget(self.keys.pop(0))
        self.keys = [*(each for each in self.keys if each != key), key]
        if not math.isfinite(score) or math.isnan(time):
            return False
        slot, what = math.floor(time / HALF), (key, mark)
        if what not in self.latest:
            self._forget(key)
            self.latest[what] = slot
        if self.latest[what] - slot >= RING:
            self.strayed[key] += 1
            if self.strayed[key] < MOST_STRAYED:
                return False
            self.scores[what] = []
            self.latest[what] = slot
        self.strayed[key] = 0
        self.latest[what] = max(slot, self.latest[what])
        days = {
            day
            for day in range(1, 8)
            for at, known in self.scores[what]
            if abs(slot - 48 * day - at) <= 2
            and at > self.latest[what] - RING
            and np.float32(min(known, 3e38)) >= np.float32(min(score, 3e38))
        }
        self.scores[what].append((slot, score))
        return len(days) >= 2

    def _forget(self, key):
        for other in [other for other in self.latest if other[0] == key]:
            del self.latest[other]
            self.scores[other] = []
        self.strayed[key] = 0


def state(max_keys=100, features=("a",)):
    return FeatureState(
        compiled_program(features), KeyBounds(max_keys=max_keys, late="accept", routine=True)
    )


def judge(features, events, partitions=None):
    """Return which of the (key, time, score, mark) events are routine; all ask."""
    if not events:
        return []
    keys, times, scores, marks = zip(*events, strict=True)
    names = partitions or [""] * len(events)
    batch = features.rows(names, keys, np.array(times), np.zeros((len(keys), 1))).routine
    found = []
    for i, (score, mark) in enumerate(zip(scores, marks, strict=True)):
        if not math.isnan(score):
            rows = RoutineOfRows(batch, np.array([i]))
            found.append(rows.judge(np.array([score]), np.array([True]), mark)[0])
        else:
            found.append(False)
    batch.finish()
    return [bool(each) for each in found]


# Most events are at a few moments of consecutive days, so that they meet; some are far away.
TIMES = st.one_of(
    *[
        st.tuples(st.integers(0, 9), st.sampled_from([0, 1, 2, 3, 5])).map(
            lambda t: t[0] * DAY + t[1] * HALF + 60_000
        )
    ]
    * 5,
    st.sampled_from([-1.0, 20 * DAY, -20 * DAY, NAN, 9 * DAY + HOUR]),
)
SCORES = st.sampled_from([1.0, 2.0, 3.0] * 4 + [-1.0, -2.0, 0.1, NAN, math.inf, 1e300])
MARKS = st.sampled_from([7.0] * 19 + [8.0])
EVENTS = st.lists(
    st.tuples(st.sampled_from([b"a"] * 4 + [b"b", None]), TIMES, SCORES, MARKS),
    min_size=10,
    max_size=50,
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(EVENTS, st.booleans(), st.integers(1, 3))
def test_it_is_the_rule_said_plainly(events, sort, max_keys):
    if sort:
        events = sorted(events, key=lambda event: -math.inf if math.isnan(event[1]) else event[1])
    plain = Plain(max_keys)
    assert judge(state(max_keys), events) == [plain.judge(*event) for event in events]


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(EVENTS, st.lists(st.integers(0, 60), max_size=6), st.integers(1, 4))
def test_it_depends_neither_on_batches_nor_on_what_comes_later(events, cuts, max_keys):
    """With few rows, one belongs to several keys in the course of a batch."""
    whole = judge(state(max_keys), events)
    apart = state(max_keys)
    found = []
    for first, last in pairwise([0, *sorted(min(cut, len(events)) for cut in cuts), len(events)]):
        found += judge(apart, events[first:last])
        apart.tables.on_commit()
    assert found == whole
    middle = len(events) // 2
    assert judge(state(max_keys), events[:middle]) == whole[:middle]


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(EVENTS, EVENTS)
def test_a_rollback_takes_back_what_was_scored(events, lost):
    features, untouched = state(2), state(2)
    for each in (features, untouched):
        judge(each, events)
        each.tables.on_commit()
    judge(features, lost)
    features.tables.rollback()
    table, other = features.tables.of(""), untouched.tables.of("")
    assert table.rows[: len(table)].tobytes() == other.rows[: len(other)].tobytes()


def test_partitions_are_apart_in_one_batch():
    events = [(b"a", day * DAY, 5.0, 7.0) for day in range(4) for _ in range(2)]
    names = ["t/0", "t/1"] * 4
    assert judge(state(), events, names) == [False] * 4 + [True] * 4
    names = ["t/0", "t/0", "t/1", "t/1", "t/0", "t/1", "t/1", "t/1"]
    assert judge(state(), events, names) == [False] * 6 + [True] * 2


def test_events_pass_once_however_often_they_are_asked():
    features = state()
    judge(features, [(b"a", 0.0, 5.0, 7.0), (b"a", DAY, 5.0, 7.0)])
    keys, times = [b"a", b"a", b"b"], np.array([2 * DAY, 3 * DAY, 3 * DAY])
    batch = features.rows([""] * 3, keys, times, np.zeros((3, 1))).routine
    rows = RoutineOfRows(batch, np.array([0, 1]))
    scores, asked = np.array([9.0, 5.0]), np.array([True, True])
    assert rows.judge(scores, asked, 7.0).tolist() == [False, True]
    before = features.tables.of("").rows.tobytes()
    assert rows.judge(scores, asked, 7.0).tolist() == [False, True]
    assert rows.only(1).judge(scores[1:], asked[1:], 7.0).tolist() == [True]
    assert features.tables.of("").rows.tobytes() == before
    assert rows.count == 1


@pytest.mark.parametrize(("minutes", "near"), [(60, True), (-60, True), (91, False), (-91, False)])
def test_an_hour_off_is_still_this_time_of_day(minutes, near):
    noon = 12 * HOUR
    past = [(b"a", noon + day * DAY, 5.0, 7.0) for day in range(2)]
    event = (b"a", noon + 2 * DAY + minutes * 60_000, 5.0, 7.0)
    assert judge(state(), [*past, event])[-1] is near


@pytest.mark.parametrize(
    ("days", "found"),
    [((6, 5), True), ((7, 5), True), ((8, 5), False), ((5,), False), ((0, 0), False)],
)
def test_two_of_the_last_seven_days_it_takes(days, found):
    past = [(b"a", (10 - day) * DAY, 5.0, 7.0) for day in days]
    assert judge(state(), [*past, (b"a", 10 * DAY, 5.0, 7.0)])[-1] is found


def test_a_clock_that_was_far_ahead_is_forgotten_after_a_while():
    events = [(b"a", 1000 * DAY, 1.0, 7.0)]
    events += [
        (b"a", day * DAY + minute * 60_000.0, 5.0, 7.0) for day in range(4) for minute in range(40)
    ]
    found = judge(state(), events)[1:]
    assert not any(found[: 2 * 40 + 40])
    assert not any(found[:-40])
    events += [(b"a", 4 * DAY + minute * 60_000.0, 5.0, 7.0) for minute in range(40)]
    assert all(judge(state(), events)[-40:])


def test_broken_times_between_others_change_nothing():
    minutes = [(b"a", 30 * DAY + minute * 60_000.0, 1.0, 7.0) for minute in range(300)]
    broken = [(b"a", 0.0, 9.0, 7.0)] * 300
    events = [each for pair in zip(minutes, broken, strict=True) for each in pair]
    days = [(b"a", (31 + day) * DAY, 0.5, 7.0) for day in range(2)]
    assert judge(state(), [*events, *days]) == [False] * 601 + [True]


@given(
    st.floats(-1e30, 1e30, allow_nan=False),
    st.floats(-1e30, 1e30, allow_nan=False),
)
def test_whole_numbers_have_the_order_of_the_scores(one, other):
    low, high = sorted((one, other))
    assert 0 < ordered(low) <= ordered(high)
    if np.float32(low) < np.float32(high):
        assert ordered(low) < ordered(high)


def test_features_keep_their_state_where_routine_begins_or_ends():
    """The words of features come first in a row, so a log with and one without are remapped."""
    from detectd.features.key_rows import remap

    with_it = state().ops
    without = FeatureState(compiled_program(("a",)), KeyBounds()).ops
    assert remap(without, with_it).begin == (with_it[-1][0],)
    assert remap(with_it, without).dropped == (with_it[-1][0],)
