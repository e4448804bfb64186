"""Training rows of a warm-up: which are kept, when they are enough, and what a restart finds."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectd.answering.awaited import SILENT_SECONDS, Awaited, delivers
from detectd.answering.collection import MOST_FAILED, NO_TIME, Collection, Goal
from detectd.answering.even_sample import EvenSample
from detectd.answering.warmup import Origin, Warmup
from detectd.time_covered import DAY_MS, HOUR_MS, MINUTE_MS

NOON = 1_772_366_400_000
TEN = Goal(10, 10)


@pytest.fixture
def warmup(tmp_path):
    rows = Warmup(tmp_path, 2, TEN)
    rows.resume({})
    yield rows
    rows.close()


def events(count, start=0, partition="", step_ms=MINUTE_MS):
    """So many numbered rows, an event each `step_ms`."""
    numbers = range(start, start + count)
    origins = [Origin(partition, NOON + i * step_ms, b"host%d" % (i % 7)) for i in numbers]
    return np.array([[i, -i] for i in numbers], dtype=float).reshape(-1, 2), origins


def fill(rows):
    rows.add(*events(rows.collection.due, rows.collection.sample.offered))


def numbers(rows):
    return rows.collected().rows[:, 0].astype(int).tolist()


def test_rows_that_carry_no_model_are_kept_up_to_a_bound_then_collected_anew(warmup):
    wanted = []
    for _ in range(2 * MOST_FAILED):
        fill(warmup)
        assert warmup.collection.enough
        wanted.append(warmup.collection.filled)
        warmup.want_more()
    assert wanted == [10, 20, 40] * 2
    entry = warmup.path.stat().st_size / 40
    assert entry == int(entry) <= 2 * 8 + 32


def test_a_restart_wants_what_was_wanted_before(warmup):
    fill(warmup)
    first = warmup.state()
    warmup.want_more()
    assert warmup.resume(warmup.state())
    assert (warmup.collection.filled, warmup.collection.due) == (10, 10)
    assert warmup.resume(first)
    assert warmup.collection.enough


def test_rows_that_a_later_collection_has_written_over_are_gone(warmup):
    fill(warmup)
    committed = warmup.state()
    for _ in range(MOST_FAILED):
        warmup.want_more()
    warmup.add(*events(3))
    assert not warmup.resume(committed)
    assert warmup.collection.filled == 0


def test_what_is_known_of_the_rows(warmup):
    rows, origins = events(10)
    origins[4:] = [o._replace(partition="other", key=None, timestamp_ms=None) for o in origins[4:]]
    warmup.add(rows, origins)
    collected = warmup.collected()
    assert (collected.partitions, collected.keys) == (2, 4)
    assert collected.covered == (NOON, NOON + 3 * MINUTE_MS)
    assert numbers(warmup) == list(range(10))


# A collection of either kind, the goal's rows few enough that some are replaced.
goals = st.sampled_from([Goal(40, 40), Goal(30, 8, HOUR_MS), Goal(50, 8, 3 * HOUR_MS)])
streams = st.lists(
    st.tuples(st.sampled_from(["a/0", "a/1", "a/2"]), st.integers(-1, 600)),
    min_size=1,
    max_size=400,
)
cuts = st.lists(st.integers(1, 60), min_size=1, max_size=20)


def served(warmup, stream, sizes, restart):
    """Feed a stream in batches as the loop does, until it is enough; gives all that came of it."""
    at, sizes = 0, itertools.cycle(sizes)
    while at < len(stream) and not warmup.collection.enough:
        size = min(next(sizes), warmup.collection.due or 60)
        batch = stream[at : at + size]
        rows = np.array([[at + i, 0.0] for i in range(len(batch))])
        origins = [
            Origin(name, None if minute < 0 else NOON + minute * MINUTE_MS, None)
            for name, minute in batch
        ]
        restart(warmup, rows, origins)
        at += len(batch)
    return at, warmup.collected().rows.tobytes(), warmup.state(), warmup.collection.enough


@given(goals, streams, cuts, cuts)
def test_neither_batches_nor_rewinds_nor_restarts_change_the_rows(
    tmp_path_factory, goal, stream, sizes, others
):
    home = tmp_path_factory.mktemp("rows")

    def plain(warmup, rows, origins):
        warmup.add(rows, origins)

    def disturbed(warmup, rows, origins):
        state = warmup.state()
        warmup.add(rows[::-1].copy(), origins[::-1])
        assert warmup.resume(state)
        warmup.add(rows, origins)
        if len(rows) % 2:
            assert warmup.resume(warmup.state())

    found = []
    for each, feed in ((sizes, plain), (others, plain), (others, disturbed)):
        warmup = Warmup(home, 2, goal)
        warmup.resume({})
        found.append(served(warmup, stream, each, feed))
        warmup.done()
    assert found[0] == found[1] == found[2]


def test_a_sample_is_uniform_within_a_partition():
    size, total, rounds = 20, 200, 300
    kept = Counter()
    for salt in range(rounds):
        sample, places = EvenSample(size), {}
        for _ in range(salt):  # other numbers draw other lots
            sample.offer("before")
        sample.size += min(salt, size)
        for row in range(total):
            place = sample.offer("p")
            if place >= 0:
                places[place] = row
        kept.update(row // 50 for row in places.values() if row >= 0)
    share = np.array([kept[quarter] for quarter in range(4)]) / sum(kept.values())
    np.testing.assert_allclose(share, 0.25, atol=0.03)


@given(
    st.integers(1, 60),
    st.lists(st.sampled_from("abcd"), max_size=400),
)
def test_partitions_are_even_as_far_as_they_have_rows(size, offered):
    sample = EvenSample(size)
    places = {}
    for name in offered:
        place = sample.offer(name)
        assert -1 <= place < size
        if place >= 0:
            places[place] = name
    assert sample.kept == {name: [*places.values()].count(name) for name in sample.seen}
    assert sample.filled == min(size, len(offered))
    most = max(sample.kept.values(), default=0)
    for name, seen in sample.seen.items():
        assert sample.kept[name] >= min(seen, most - 1)


def test_a_partition_that_comes_late_gets_its_part():
    sample = EvenSample(30)
    for name, count in (("a", 5000), ("b", 400), ("c", 10)):
        for _ in range(count):
            sample.offer(name)
    assert sample.kept == {"a": 10, "b": 10, "c": 10}


def reached_at(times, goal):
    collection = Collection(goal)
    for count, moment in enumerate(times, 1):
        collection.add([""], [moment])
        if collection.enough:
            return count
    return None


WEEK = Goal(10_000, 40, 7 * DAY_MS)


def hourly(count):
    return [NOON + hour * HOUR_MS for hour in range(count)]


def test_a_span_is_reached_soon_after_the_times_span_it():
    assert 169 <= reached_at(hourly(1000), WEEK) <= 180


def test_no_span_is_reached_with_too_few_rows():
    assert reached_at([NOON + day * DAY_MS for day in range(100)], WEEK) == 40


@pytest.mark.parametrize("far", [365 * DAY_MS, -365 * DAY_MS, 6 * DAY_MS])
def test_a_clock_that_jumps_does_not_end_it(far):
    times = hourly(1000)
    times[3] += far
    assert 169 <= reached_at(times, WEEK) <= 180


def test_a_host_a_year_ahead_does_not_end_it():
    times = [moment + (365 * DAY_MS if i % 3 == 0 else 0) for i, moment in enumerate(hourly(1000))]
    assert 169 <= reached_at(times, WEEK) <= 180


def test_times_that_are_missing_or_stand_still_do_not_count():
    assert reached_at([NO_TIME] * 1000, WEEK) is None
    assert reached_at([NOON] * 1000, WEEK) is None
    half = [time for moment in hourly(300) for time in (moment, NO_TIME)]
    assert 2 * 169 <= reached_at(half, WEEK) <= 2 * 180


def test_times_that_go_backwards_count_as_what_they_are():
    assert 169 <= reached_at(hourly(1000)[::-1], WEEK) <= 180


def test_rows_of_a_long_span_are_a_bounded_uniform_sample(tmp_path):
    warmup = Warmup(tmp_path, 1, Goal(500, 40, DAY_MS))
    warmup.resume({})
    while not warmup.collection.enough:
        rows, origins = events(
            warmup.collection.due, warmup.collection.sample.offered, step_ms=5000
        )
        warmup.add(rows[:, :1], origins)
    offered = warmup.collection.sample.offered
    assert DAY_MS / 5000 < offered < 1.06 * DAY_MS / 5000
    kept = warmup.collected().rows[:, 0]
    assert len(kept) == 500
    assert (np.diff(kept) > 0).all()
    quarters = np.histogram(kept, bins=4, range=(0, offered))[0]
    np.testing.assert_allclose(quarters, 125, atol=40)
    # Of k rows, a row enters with probability 500 / k: the file grows with the logarithm.
    assert warmup.path.stat().st_size < 3_000 * (8 + 32)
    warmup.done()


def assigned(**lags):
    return {name: delivers(lag, 0.0) for name, lag in lags.items()}


def test_a_group_is_waited_for_until_its_partitions_are_known():
    assert Awaited(shared=False).names == []
    awaited = Awaited(shared=True)
    awaited.look(None, {}, 10)
    assert awaited.names is None
    awaited.look({}, {}, 10)
    assert awaited.names == []


def test_who_lags_is_waited_for_until_it_has_given_its_part():
    awaited = Awaited(shared=True)
    awaited.look(assigned(a=5, b=5, c=5), {"a": 12, "b": 3}, 12)
    assert awaited.names == ["b", "c"]
    awaited.look(assigned(a=5, b=5, c=5), {"a": 12, "b": 4, "c": 4}, 12)
    assert awaited.names == []


def test_the_others_give_what_one_lacks():
    awaited = Awaited(shared=True)
    awaited.look(assigned(a=5, b=5, c=0), {"a": 12, "b": 4, "c": 2}, 12)
    assert awaited.names == ["b"]
    awaited.look(assigned(a=5, b=5, c=3), {"a": 12, "b": 5, "c": 2}, 12)
    assert awaited.names == []


@given(
    st.integers(1, 50),
    st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 60), min_size=1),
)
def test_whoever_is_waited_for_ends_the_draw_even(rows, has):
    """Read one after another to the part that is waited for, the rows come out even."""
    awaited, sample, seen = Awaited(shared=True), EvenSample(rows), dict.fromkeys(has, 0)

    def look():
        awaited.look({name: seen[name] < has[name] for name in has}, seen, rows)
        return awaited.names

    for _ in range(sum(has.values()) + 1):
        if sample.filled == min(rows, sum(has.values())) and not look():
            break
        lagging = look() or [name for name in has if seen[name] < has[name]]
        sample.offer(lagging[0])
        seen[lagging[0]] += 1
    assert not look()
    kept = {name: sample.kept.get(name, 0) for name in has}
    assert sum(kept.values()) == min(rows, sum(has.values()))
    for name in has:
        assert kept[name] >= min(has[name], max(kept.values()) - 1)


def test_who_is_silent_or_empty_or_leaves_holds_nothing_up():
    awaited = Awaited(shared=True)
    awaited.look({"a": delivers(None, 1.0)} | assigned(b=9, c=9), {}, 10)
    assert awaited.names == ["a", "b", "c"]
    awaited.look({"a": delivers(None, SILENT_SECONDS + 1)} | assigned(b=0), {}, 10)
    assert awaited.names == []


def test_who_comes_or_comes_back_is_waited_for():
    awaited = Awaited(shared=True)
    awaited.look(assigned(a=0), {}, 10)
    awaited.look(assigned(a=9, b=9), {}, 10)
    assert awaited.names == ["b"]
    awaited.look(assigned(b=9), {}, 10)
    awaited.look(assigned(a=9, b=0), {}, 10)
    assert awaited.names == ["a"]
