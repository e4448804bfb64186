"""What is counted of keys counts with the commit, and the log tells of it once in a while."""

import json

import numpy as np
import pytest
import structlog

from detectd.features.program import compiled_program
from detectd.features.state import FeatureState, KeyBounds
from detectd.pipeline.records import Event, Reason
from detectd.pipeline.vectors import Unscored, Vectors
from detectd.service.key_watch import KeyWatch
from detectd.service.quiet_partitions import QuietPartitions
from detectd.sources import Partition

HOUR_MS = 3_600_000.0


@pytest.fixture
def state():
    return FeatureState(compiled_program(["a"]), KeyBounds(max_keys=2, idle_ms=1e9, silent_ms=9.0))


def see(state, counts, *events, unscored=()):
    times = np.array([time for _, time in events], dtype=float)
    state.rows([""] * len(events), [key for key, _ in events], times, np.zeros((len(events), 1)))
    event = Event(b"{}", None, None)
    places = {len(events) + i: Unscored(event, reason) for i, reason in enumerate(unscored)}
    counts.see(Vectors(np.zeros((len(events), 1)), [event] * len(events), [], places, {}))


def commit(state, counts):
    counts.on_commit()
    state.tables.on_commit()
    return counts.figures()


def test_only_what_is_committed_counts(state):
    counts = KeyWatch(state)
    see(state, counts, (b"a", 5), (b"b", 5), (b"c", 5), (b"c", 4), unscored=[Reason.LATE])
    assert counts.figures().evicted == 0
    counts.rollback()
    state.tables.rollback()
    assert commit(state, counts).evicted == 0
    see(state, counts, (b"a", 5), (b"b", 5), (b"c", 5), (b"c", 4), unscored=[Reason.LATE])
    figures = commit(state, counts)
    assert (figures.remembered, figures.most) == (2, 2)
    assert (figures.evicted, figures.late, figures.unscored) == (1, 1, {"late": 1})
    see(state, counts, (b"c", 2e9))
    assert commit(state, counts).expired == 1
    assert counts.figures().evicted == 1


def test_a_partition_that_leaves_takes_its_keys_along_but_no_counts(state):
    counts = KeyWatch(state)
    see(state, counts, (b"a", 5), (b"b", 5), (b"c", 5))
    commit(state, counts)
    state.tables.drop("")
    assert counts.figures().evicted == 1
    assert counts.figures().remembered == 0


def test_silent_keys_are_counted(state):
    counts = KeyWatch(state)
    see(state, counts, (b"a", 0), (b"b", 0), (b"a", 4), (b"a", 8), (b"a", 12))
    assert commit(state, counts).silent == 1


def test_lack_of_room_is_told_once_an_hour_with_what_came_since(state, monkeypatch):
    counts, now = KeyWatch(state), [0.0]
    monkeypatch.setattr("detectd.service.key_watch.time.monotonic", lambda: now[0])
    told = []
    for key in range(20):
        now[0] += 1000.0
        see(state, counts, (b"%d" % key, 5))
        with structlog.testing.capture_logs() as lines:
            commit(state, counts)
        told += [(line["event"], line["count"]) for line in lines]
    assert told == [("keys.evicted", n) for n in (1, 4, 4, 4, 4)]


def test_many_late_events_are_told_with_a_guess_and_few_are_not(state):
    counts = KeyWatch(state)
    right = [(b"a", 1.76e12 + n) for n in range(1000)]
    with structlog.testing.capture_logs() as lines:
        see(state, counts, *right, *[(b"a", 1.76e12 - n) for n in range(99)])
        commit(state, counts)
    assert lines == []
    with structlog.testing.capture_logs() as lines:
        see(state, counts, *[(b"a", 1.76e12 - 2 * HOUR_MS + n) for n in range(1000)])
        commit(state, counts)
        see(state, counts, *[(b"a", 1.76e12 - 2 * HOUR_MS + n) for n in range(1000)])
        commit(state, counts)
    (line,) = lines
    assert line["event"] == "records.late"
    assert (line["count"], line["events"]) == (1099, 2099)
    assert "time zone" in line["reason"]


def test_a_partition_is_told_silent_only_by_a_commit_that_names_it(state):
    """Else nobody would notice that it had gone to another member meanwhile."""
    watch = KeyWatch(state, "10s", QuietPartitions(10.0), fenced=True)
    state.tables.of("t/3").slots_of([b"a", b"b"], np.array([1.0, 2.0]))
    commit(state, watch)
    ours = {"t/3": Partition(0, None, 0.0)}
    looks = [watch.look(ours, {"offsets": {}}, float(now)) for now in range(13)]
    assert looks == [[]] * 11 + [["t/3"]] * 2
    assert watch.alerts() == []
    assert watch.look(ours, {"offsets": {"t": {"3": 7}}}, 13.0) == []
    told = [json.loads(alert.value) for _, alert in watch.alerts()]
    assert [(each["state"], each["key"]) for each in told] == [("open", "a"), ("open", "b")]
    commit(state, watch)
    assert watch.look(ours, {"offsets": {}}, 14.0) == []
    assert watch.alerts() == []


def test_a_partition_that_is_not_read_to_its_end_is_not_silent(state):
    watch = KeyWatch(state, "10s", QuietPartitions(10.0))
    state.tables.of("t/3").slots_of([b"a"], np.array([1.0]))
    commit(state, watch)
    for partitions in ({"t/3": Partition(5, None, 0.0)}, {"t/3": Partition(None, None, 0.0)}, None):
        for now in range(30):
            assert watch.look(partitions, {}, float(now)) == []
    assert watch.alerts() == []
