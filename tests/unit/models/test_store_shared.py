"""A store that several threads and processes use at once."""

import contextlib
import json
import multiprocessing
import os
import shutil
import signal
import threading
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from detectd.errors import ConfigError, DetectdError
from detectd.filesystem import atomic_files
from detectd.models import archive, locks
from detectd.models.model import Recipe
from detectd.models.observed import ProcessCounts
from detectd.models.store import Store
from detectd.models.training import train
from tests.support.counts import record_observed

FORK = multiprocessing.get_context("fork")
FEATURES = ("a", "b")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROUNDS = 12


def model(number=0):
    rows = np.random.default_rng(number).normal(size=(100, 2))
    recipe = Recipe("PCA", 0.1, seed=number, compiled=False)
    return train(rows, recipe, FEATURES, NOON + timedelta(seconds=number))


@pytest.fixture(scope="module")
def models():
    return [model(number) for number in range(5)]


@pytest.fixture(scope="module")
def versions(models):
    return [each.version for each in models]


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "models")


@pytest.fixture
def full(store, models):
    for each in models:
        store.save(each)
    return store


class Process:
    """`work(hand_over)` in a process of its own; `hand_over` lets the test go on, and waits."""

    def __init__(self, work):
        self._ours, theirs = FORK.Pipe()
        self._process = FORK.Process(target=self._run, args=(work, theirs), daemon=True)
        self._process.start()

    @staticmethod
    def _run(work, pipe):
        def hand_over():
            pipe.send(None)
            pipe.recv()

        try:
            work(hand_over)
        except BaseException as failed:  # noqa: BLE001 - the test raises it
            pipe.send(repr(failed))
        else:
            pipe.send("done")

    def arrived(self):
        """It has handed over."""
        assert self._ours.poll(60)
        assert (failed := self._ours.recv()) is None, failed

    def go_on(self):
        self._ours.send(None)

    def ended(self):
        assert self._ours.poll(60)
        assert self._ours.recv() == "done"
        self._process.join()

    def kill(self):
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.join()


def at_once(kind, works):
    """Do all works at the same time, in threads or processes, and raise what one of them raised."""
    if kind == "processes":
        processes = [Process(lambda hand_over, w=work: (hand_over(), w())) for work in works]
        for process in processes:
            process.arrived()
        for process in processes:
            process.go_on()
        for process in processes:
            process.ended()
        return
    begin, failed = threading.Barrier(len(works), timeout=60), []

    def run(work):
        begin.wait()
        try:
            work()
        except BaseException as raised:  # noqa: BLE001
            failed.append(raised)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed


both = pytest.mark.parametrize("kind", ["threads", "processes"])


@both
def test_one_version_is_saved_by_many_at_once(store, kind, models, versions):
    for each in models[:3]:
        at_once(kind, [lambda m=each: store.save(m)] * 3)
        loaded = store.load(each.version).model
        assert np.array_equal(loaded.calibration, each.calibration)
    assert store.versions() == versions[:3]
    assert not list(store.directory.glob(".*.new"))


@both
def test_one_published_model_is_unpacked_by_many_at_once(full, tmp_path, kind, models, versions):
    packed = archive.pack(full, versions[0])
    other = Store(tmp_path / "other")
    at_once(kind, [lambda: archive.unpack(other, versions[0], packed)] * 3)
    assert np.array_equal(other.load(versions[0]).model.rows, models[0].rows)


def test_a_damaged_archive_never_has_a_name(full, tmp_path, versions):
    packed = archive.pack(full, versions[0])
    other = Store(tmp_path / "other")
    at = packed.index(b"\x93NUMPY") + 200
    with pytest.raises(ConfigError, match="sha256"):
        archive.unpack(other, versions[0], packed[:at] + b"\x01\x02" + packed[at + 2 :])
    assert other.versions() == []
    assert not list(other.directory.glob(".*.new"))


@pytest.mark.slow
@both
def test_activations_at_once_all_count(full, kind, versions):
    """Each stands in the history once, and none is lost: the last one answers."""

    def work(versions):
        for _ in range(ROUNDS):
            for version in versions:
                full.activate(version)

    at_once(kind, [lambda vs=versions[i:] + versions[:i]: work(vs) for i in range(3)])
    history = json.loads((full.directory / "active.json").read_bytes())["history"]
    assert sorted(history) == versions
    assert full.active() == history[-1]
    assert not list(full.directory.glob(".*.new"))


@both
def test_a_rollback_beside_activations_goes_back_to_a_model_that_is_there(full, kind, versions):
    full.activate(versions[0])
    full.activate(versions[1])

    def back():
        for _ in range(ROUNDS):
            full.activate(versions[3])
            try:
                assert full.rollback() in versions
            except DetectdError as refused:
                # It went back to versions[3] before, and those before that have been pruned.
                assert "no earlier model" in str(refused)  # noqa: PT017

    def forth():
        for _ in range(ROUNDS):
            full.activate(versions[2])
            full.nominate(versions[4])
            full.prune(3, spare_earlier=True)

    at_once(kind, [back, forth])
    assert full.active() in full.versions()
    assert full.load(full.active()).model.version == full.active()


def test_a_rollback_over_pruned_models_is_the_last_one(full, versions):
    for place in (0, 1, 3, 2):
        full.activate(versions[place])
    full.nominate(versions[4])
    full.prune(3, spare_earlier=True)
    assert full.rollback() == versions[3]
    full.activate(versions[3])
    with pytest.raises(DetectdError, match="no earlier model"):
        full.rollback()


def test_only_one_takes_the_place_of_the_active_model(full, versions):
    full.activate(versions[0])
    won = []
    at_once(
        "threads",
        [
            lambda v=version: won.append(v) if full.replace_active(versions[0], v) else None
            for version in versions[1:]
        ],
    )
    assert won == [full.active()]


def test_files_are_replaced_by_many_threads_at_once(tmp_path):
    path = tmp_path / "file"

    def work(content):
        for _ in range(ROUNDS):
            atomic_files.replace(path, content)

    at_once("threads", [lambda c=bytes([c]) * 9: work(c) for c in b"abcd"])
    assert path.read_bytes() in {bytes([c]) * 9 for c in b"abcd"}
    assert list(tmp_path.iterdir()) == [path]


def test_prune_spares_what_a_process_serves_or_loads_until_it_ends(full, versions):
    full.activate(versions[4])

    def serve(hand_over):
        holder = full.holder()
        holder.only(versions[0])
        with locks.in_use(full.directory / versions[1]):
            hand_over()

    serving = Process(serve)
    serving.arrived()
    assert full.prune(1) == versions[2:4]
    serving.kill()
    assert full.prune(1) == versions[:2]


def test_prune_spares_the_one_that_rollback_goes_back_to(full, versions):
    for version in (versions[3], versions[0], versions[1]):
        full.activate(version)
    full.nominate(versions[2])
    assert full.prune(1, spare_earlier=True) == [versions[3]]
    assert full.rollback() == versions[0]


@pytest.mark.slow
def test_a_model_is_loaded_whole_or_not_at_all_while_others_prune(full, models, versions):
    """A loader finds no model, or one that no prune takes away from under it."""
    full.activate(versions[4])

    def load():
        for _ in range(ROUNDS):
            for version in versions[:4]:
                with contextlib.suppress(ConfigError):
                    assert full.load(version).model.version == version

    def prune():
        for _ in range(ROUNDS):
            full.prune(1)
            for each in models:
                full.save(each)

    at_once("processes", [load, load, prune, prune])
    assert full.active() == versions[4]
    left = [path.name for path in full.directory.iterdir() if path.name not in versions]
    assert sorted(left) == [".lock", "active.json"]


def test_what_a_killed_save_left_is_swept_and_what_a_running_one_writes_is_not(full):
    def save(hand_over):
        full.add("20270101T000000Z-abcdef", lambda _beside: hand_over())

    killed, running = Process(save), Process(save)
    killed.arrived()
    running.arrived()
    killed.kill()
    assert len(list(full.directory.glob(".*.new"))) == 2
    full.prune(9)
    assert len(list(full.directory.glob(".*.new"))) == 1
    running.go_on()
    running.ended()
    assert full.versions()[-1] == "20270101T000000Z-abcdef"


def test_a_lock_ends_with_its_process_and_a_frozen_one_is_named(full, versions):
    def change(hand_over):
        with locks.exclusive(full.directory):
            hand_over()

    holding = Process(change)
    holding.arrived()
    with pytest.raises(DetectdError, match="another process"), locks.exclusive(full.directory, 0.0):
        pass
    holding.kill()
    full.activate(versions[0])
    assert full.active() == versions[0]


def counts(normal=0, anomaly=0, abstain=0, **more):
    return {"normal": normal, "anomaly": anomaly, "abstain": abstain} | more


def test_what_several_processes_observed_is_added_up_and_outlives_them(full):
    def observe(hand_over):
        mine = ProcessCounts(full.directory, "the stream", "s")
        mine.write("v", counts(normal=5, abstain=2))
        hand_over()
        mine.write("v", counts(normal=50, abstain=20))
        hand_over()

    one, other = Process(observe), Process(observe)
    for each in (one, other):
        each.arrived()
    assert (full.observed("v")["normal"], full.observed("v")["abstain"]) == (10, 4)
    one.go_on()
    one.arrived()
    assert full.observed("v")["normal"] == 55
    one.kill()
    other.kill()
    assert full.observed("v")["normal"] == 55
    # Whoever comes next goes on from what one of them left, and adds nothing twice.
    mine = ProcessCounts(full.directory, "the stream", "s")
    past = mine.read("v")
    mine.write("v", past | {"normal": past["normal"] + 1})
    assert full.observed("v")["normal"] == 56
    mine.close()


def test_other_streams_are_others_and_those_of_models_that_are_gone_are_forgotten(full, versions):
    a, b = (ProcessCounts(full.directory, name, name) for name in "ab")
    a.write(versions[0], counts(normal=1))
    b.write(versions[0], counts(normal=2))
    assert full.observed(versions[0])["normal"] == 3
    a.close()
    shutil.rmtree(full.directory / versions[0])
    full.prune(9)
    assert full.observed(versions[0])["normal"] == 2  # its process may live on with it
    b.close()
    full.prune(9)
    assert full.observed(versions[0]) == {}
    assert not list(full.directory.glob("*observed*"))


def test_a_stream_that_begins_anew_leaves_nothing_of_its_earlier_runs(full):
    """Living processes keep theirs: they are members of the same run."""
    old, mine, member, other = (
        ProcessCounts(full.directory, commits, stream)
        for commits, stream in (("old", "s"), ("mine", "s"), ("member", "s"), ("other", "t"))
    )
    for each in (old, member, other):
        each.write("v", counts(normal=1, since=5))
    old.close()
    mine.begin_again()
    mine.write("v", counts(normal=10, since=9))
    assert full.observed("v", stream="s")["normal"] == 11
    assert full.observed("v", stream="s")["since"] == 5
    assert full.observed("v", stream="t")["normal"] == 1
    assert full.observed("v")["normal"] == 12
    record_observed(full, "v", counts(normal=100), by="earlier")
    assert full.observed("v", stream="t")["normal"] == 101  # it does not say whose it is
    assert full.observed("v", stream="t")["since"] is None
    for each in (mine, member, other):
        each.close()


def test_what_earlier_versions_observed_is_read_and_taken_over_once(full):
    record_observed(full, "v", counts(normal=7, history=[[7, 0, 0, None]]))
    assert full.observed("v")["normal"] == 7
    first, second = (ProcessCounts(full.directory, "s", "s") for _ in range(2))
    assert first.read("v")["normal"] == 7
    assert second.read("v") == {}
    first.write("v", first.read("v") | {"normal": 8})
    second.write("v", counts(normal=1))
    assert full.observed("v")["normal"] == 9


def test_counts_under_another_zone_belong_to_another_promise(full):
    record_observed(full, "v", counts(normal=1, zone=[3, 5]), by="a")
    record_observed(full, "v", counts(normal=2, zone=[3, 6]), by="b")
    record_observed(full, "v", counts(normal=4), by="c")
    assert full.observed("v", [3, 6])["normal"] == 6
    assert full.observed("v")["normal"] == 7


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"v": 3}', b'{"v": {"normal": "x"}}'])
def test_damaged_counts_of_one_process_cost_no_other_ones(full, content):
    (full.directory / "observed-x.json").write_bytes(content)
    record_observed(full, "v", counts(normal=2), by="a")
    record_observed(full, "v", counts(normal=3), by="b")
    assert full.observed("v")["normal"] == 5
