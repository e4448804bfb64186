"""Training rows of a warm-up: which are kept, when they are enough, and what a restart finds."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectd.models.awaited_partitions import SILENT_SECONDS, Awaited, delivers
from detectd.models.collection import MOST_FAILED, NO_TIME, Collection, Goal
from detectd.models.even_sample import BARRING, LEFT_OUT, Entry, EvenSample
from detectd.pipeline.time_coverage import DAY_MS, HOUR_MS, MINUTE_MS
from detectd.service.warmup_log import Origin, RowLog

NOON = 1_772_366_400_000
TEN = Goal(10, 10)


@pytest.fixture
def warmup(tmp_path):
    rows = RowLog(tmp_path, 2, TEN)
    rows.restore({})
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
    assert entry == int(entry) <= 2 * 8 + 48


def test_rows_of_another_stream_that_used_the_directory_meanwhile_are_not_taken_for_ours(tmp_path):
    ours = RowLog(tmp_path, 2, TEN)
    ours.restore({})
    ours.add(*events(5))
    committed = ours.snapshot()
    ours.close()
    theirs = RowLog(tmp_path, 2, TEN)
    theirs.restore({})
    theirs.add(*events(8, 100))
    theirs.close()
    ours = RowLog(tmp_path, 2, TEN)
    assert not ours.restore(committed)
    assert numbers(ours) == []
    ours.close()


def test_a_restart_wants_what_was_wanted_before(warmup):
    fill(warmup)
    first = warmup.snapshot()
    warmup.want_more()
    assert warmup.restore(warmup.snapshot())
    assert (warmup.collection.filled, warmup.collection.due) == (10, 10)
    assert warmup.restore(first)
    assert warmup.collection.enough


def test_rows_that_a_later_collection_has_written_over_are_gone(warmup):
    fill(warmup)
    committed = warmup.snapshot()
    for _ in range(MOST_FAILED):
        warmup.want_more()
    warmup.add(*events(3))
    assert not warmup.restore(committed)
    assert warmup.collection.filled == 0
    warmup.add(*events(3))
    assert not warmup.restore(committed)


def test_what_is_known_of_the_rows(warmup):
    rows, origins = events(10)
    origins[4:] = [o._replace(partition="other", key=None, timestamp_ms=None) for o in origins[4:]]
    warmup.add(rows, origins)
    collected = warmup.collected()
    assert collected.partitions == 2
    assert len(np.unique(collected.keys[collected.keys != 0])) == 4
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
    return (
        at,
        warmup.collected().rows.tobytes(),
        warmup.snapshot() | {"generation": None},
        warmup.collection.enough,
    )


@given(goals, streams, cuts, cuts)
def test_neither_batches_nor_rewinds_nor_restarts_change_the_rows(
    tmp_path_factory, goal, stream, sizes, others
):
    home = tmp_path_factory.mktemp("rows")

    def plain(warmup, rows, origins):
        warmup.add(rows, origins)

    def disturbed(warmup, rows, origins):
        state = warmup.snapshot()
        warmup.add(rows[::-1].copy(), origins[::-1])
        assert warmup.restore(state)
        warmup.add(rows, origins)
        if len(rows) % 2:
            assert warmup.restore(warmup.snapshot())

    found = []
    for each, feed in ((sizes, plain), (others, plain), (others, disturbed)):
        warmup = RowLog(home, 2, goal)
        warmup.restore({})
        found.append(served(warmup, stream, each, feed))
        warmup.done()
    assert found[0] == found[1] == found[2]


def test_a_sample_is_uniform_within_a_partition():
    size, total, rounds = 20, 200, 300
    kept = Counter()
    for before in range(rounds):
        sample, places = EvenSample(size), {}
        sample.offered = before * total  # other numbers draw other lots
        for row in range(total):
            place = sample.offer(0)
            if place >= 0:
                places[place] = row
        kept.update(row // 50 for row in places.values())
    share = np.array([kept[quarter] for quarter in range(4)]) / (size * rounds)
    np.testing.assert_allclose(share, 0.25, atol=0.03)


@given(st.integers(1, 60), st.lists(st.integers(0, 3), max_size=400))
def test_partitions_are_even_as_far_as_they_have_rows(size, offered):
    sample = EvenSample(size)
    places = {}
    for partition in offered:
        place = sample.offer(partition)
        assert BARRING <= place < size
        if place >= 0:
            places[place] = partition
    assert sample.kept == dict(Counter(places.values()))
    assert sample.filled == min(size, len(offered))
    most = max(sample.kept.values(), default=0)
    for partition, seen in Counter(offered).items():
        assert sample.kept.get(partition, 0) >= min(seen, most - 1)
        assert sample.given(partition) in (seen, math.inf)


@given(
    st.integers(1, 60),
    st.lists(st.integers(0, 3), max_size=400),
    st.lists(st.integers(0, 3), max_size=100),
)
def test_a_sample_goes_on_from_its_entries(size, offered, more):
    sample, entries = EvenSample(size), []
    for number, partition in enumerate(offered):
        entries.append(Entry(sample.offer(partition), number, partition))
    again = EvenSample(size)
    again.restore([each for each in entries if each.place != LEFT_OUT], len(offered))
    assert again.kept == sample.kept
    assert [*map(again.offer, more)] == [*map(sample.offer, more)]


def test_entries_that_cannot_have_come_about_are_refused():
    for wrong in ([Entry(1, 0, 0)], [Entry(-3, 0, 0)]):
        with pytest.raises(ValueError, match="no such place"):
            EvenSample(2).restore(wrong, 1)


def test_a_partition_that_comes_late_gets_its_part():
    sample = EvenSample(30)
    for partition, count in enumerate((5000, 400, 10)):
        for _ in range(count):
            sample.offer(partition)
    assert sample.kept == {0: 10, 1: 10, 2: 10}


def test_what_a_commit_remembers_does_not_grow_with_the_partitions(tmp_path):
    """Kafka's offsets have room for 4,096 characters."""
    warmup = RowLog(tmp_path, 2, Goal(100, 100))
    warmup.restore({})
    for partition in range(2000):
        warmup.add(*events(1, partition, f"a-topic-with-a-name/{partition}"))
    assert len(str(warmup.snapshot())) < 100
    warmup.done()


def reached_at(times, goal):
    collection = Collection(goal)
    for count, moment in enumerate(times, 1):
        collection.add([0], [moment])
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
    warmup = RowLog(tmp_path, 1, Goal(500, 40, DAY_MS))
    warmup.restore({})
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
    assert warmup.path.stat().st_size < 3_000 * (8 + 48)
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


@given(st.integers(1, 50), st.lists(st.integers(0, 60), min_size=1, max_size=6))
def test_the_draw_ends_even_though_partitions_are_read_one_after_another(rows, has):
    awaited, sample, seen = Awaited(shared=True), EvenSample(rows), [0] * len(has)
    everyone = range(len(has))
    for partition in [p for p in everyone for _ in range(has[p])]:
        given_rows = {p: sample.given(p) for p in everyone}
        awaited.look({p: seen[p] < has[p] for p in everyone}, given_rows, rows)
        if sample.filled == rows and not awaited.names:
            break
        sample.offer(partition)
        seen[partition] += 1
    kept = [sample.kept.get(p, 0) for p in everyone]
    assert sum(kept) == min(rows, sum(has))
    assert all(kept[p] >= min(has[p], max(kept) - 1) for p in everyone)


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
