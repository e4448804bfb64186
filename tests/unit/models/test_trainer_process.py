"""A trainer is a real process here, and what befalls it is done to it."""

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from detectd.errors import ConfigError
from detectd.models import trainer_process
from detectd.models.model import Recipe
from detectd.models.store import Store
from detectd.models.trainer import MODELS
from detectd.models.trainer_process import (
    PREFIX,
    Failed,
    Limits,
    Trained,
    sweep,
)
from detectd.models.training import train
from tests.support.paths import ROOT
from tests.support.trainers import NOON, alive, begin, endless, outcome, read_proc, running, task


@pytest.mark.slow
def test_the_model_is_that_of_a_training_in_this_process(tmp_path):
    rows = np.random.default_rng(1).normal(size=(500, 2))
    rows[::9, 1] = np.nan
    given = task(rows, Recipe("IForest", 0.1, seed=3, params={"n_estimators": 20}, compiled=False))
    found = outcome(begin(tmp_path, given, finish=lambda model: ("ready", model)))
    assert isinstance(found, Trained)
    ready, model = found.result
    here = train(given.rows, given.recipe, given.features, NOON)
    assert ready == "ready"
    assert model.version == here.version
    assert np.array_equal(model.calibration, here.calibration)
    assert np.array_equal(model.rows, rows, equal_nan=True)
    fresh = np.random.default_rng(2).normal(size=(50, 2))
    theirs = here.detector.decision_function(fresh)
    assert np.array_equal(model.detector.decision_function(fresh), theirs)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rows", "recipe", "why"),
    [
        (np.ones((400, 2)), Recipe("HBOS", 0.1), "all 400 rows are equal"),
        (np.zeros((9, 2)), Recipe("HBOS", 0.01), "give at least 199"),
        (np.full((400, 2), np.nan), Recipe("HBOS", 0.1), "'a' has no value"),
    ],
    ids=["constant", "too few", "empty"],
)
def test_rows_that_carry_no_model_say_why(tmp_path, rows, recipe, why):
    found = outcome(begin(tmp_path, task(rows, recipe)))
    assert isinstance(found, Failed)
    assert found.code == "unfit"
    assert why in found.reason


class Stored:
    """In the place of a trainer's process: it has left its model, and ended."""

    pid = 0

    def __init__(self, home):
        rows = np.random.default_rng(0).normal(size=(400, 2))
        made = train(rows, Recipe("PCA", 0.1, compiled=False), ("a", "b"), NOON)
        Store(home / MODELS, check_owners=False).save(made)

    def wait(self):
        return 0


@pytest.fixture
def quick_trainer(monkeypatch):
    monkeypatch.setattr(trainer_process, "_start", lambda home, _stderr: Stored(home))


@pytest.mark.usefixtures("quick_trainer")
def test_a_model_that_cannot_be_made_ready_says_why(tmp_path):
    def refuse(_model):
        raise ConfigError("rejector: no")

    assert outcome(begin(tmp_path, task(), finish=refuse)) == Failed("unfit", "rejector: no")


@pytest.mark.slow
def test_a_trainer_has_one_thread_and_leaves_nothing_when_killed(tmp_path):
    refit = begin(tmp_path, endless())
    with running(refit) as pid:
        assert len(list(Path(f"/proc/{pid}/task").iterdir())) == 1
        os.kill(pid, signal.SIGKILL)
        found = outcome(refit)
    assert isinstance(found, Failed)
    assert found.code == "crashed"
    assert "SIGKILL" in found.reason
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_memory_has_a_limit(tmp_path):
    rows = np.random.default_rng(0).normal(size=(200_000, 2))
    greedy = task(rows, Recipe("LOF", 0.1, params={"n_neighbors": 2000}))
    limits = Limits(memory_bytes=700 * 2**20, gives_way=False)
    found = outcome(begin(tmp_path, greedy, limits))
    assert found == Failed(
        "out_of_memory", "training on 200,000 rows needs more than the 700 MiB that it is allowed"
    )


@pytest.mark.slow
def test_time_has_a_limit_and_polling_does_not_wait(tmp_path):
    refit = begin(tmp_path, endless(), Limits(seconds=60.0, gives_way=False))
    with running(refit, arrived="libc") as pid:
        assert refit.poll(59.9) is None
        found = refit.poll(60.0)
    assert found == Failed("too_slow", "training took longer than 60 seconds")
    assert not alive(pid)
    assert list(tmp_path.iterdir()) == []


def test_a_cancelled_refit_is_gone_whenever_it_is_cancelled(tmp_path):
    for pause in (0.0, 0.001, 0.01, 0.1):
        refit = begin(tmp_path, endless())
        time.sleep(pause)
        refit.cancel()
        assert refit.pid is None or not alive(refit.pid)
        assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told(tmp_path):
    """As good as full: this process may write no file of more than a kilobyte."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
    try:
        found = outcome(begin(tmp_path, task()))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert isinstance(found, Failed)
    assert found.code == "not_written"
    assert found.reason.startswith(f"{tmp_path}: the trainer's files cannot be written: ")
    assert "None" not in found.reason
    assert list(tmp_path.iterdir()) == []


def test_an_interpreter_that_does_not_start_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")
    found = outcome(begin(tmp_path, task()))
    assert isinstance(found, Failed)
    assert found.code == "crashed"
    assert "No module named" in found.reason


SECRETS = (
    *("DETECTD_KAFKA__SASL_SCOPE", "detectd_log__level", "AWS_SECRET_ACCESS_KEY", "PGPASSWORD"),
    *("CREDENTIALS_DIRECTORY", "https_proxy", "NOTIFY_SOCKET"),
)


def open_files(pid):
    """What its descriptors name; it may close some meanwhile."""
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            yield str(entry.readlink())


def test_the_trainer_gives_way_and_has_nothing_of_ours(tmp_path, monkeypatch):
    """Its environment, descriptors and priority, and which process the kernel is to kill first."""
    for name in SECRETS:
        monkeypatch.setenv(name, "hush-hush")
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/where/kernels/are")
    with socket.socket() as ours:
        ours.set_inheritable(True)
        with running(begin(tmp_path, endless(), Limits()), arrived="libc") as pid:
            while os.sched_getscheduler(pid) != os.SCHED_BATCH:
                time.sleep(0.01)
            assert not any(name.startswith("socket:") for name in open_files(pid))
            own_priority = os.getpriority(os.PRIO_PROCESS, 0)
            assert os.getpriority(os.PRIO_PROCESS, pid) == min(19, own_priority + 10)
            assert read_proc(pid, "oom_score_adj").strip() == "1000"
            environment = read_proc(pid, "environ").split("\0")
            assert "OPENBLAS_NUM_THREADS=1" in environment
            assert "NUMBA_CACHE_DIR=/where/kernels/are" in environment
            assert not any("hush-hush" in each for each in environment)
            assert os.getpgid(pid) != os.getpgid(0)


SERVICE = """
import sys, time
from pathlib import Path
sys.path[:0] = [{tests!r}]
from tests.support import trainers
refit = trainers.begin(Path({directory!r}), trainers.endless())
with trainers.running(refit) as pid:
    print(pid, flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
def test_the_trainer_dies_with_the_service_and_the_next_one_sweeps(tmp_path):
    code = SERVICE.format(tests=str(ROOT), directory=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as service:
        pid = int(service.stdout.readline())
        (left,) = tmp_path.iterdir()
        sweep(tmp_path)
        assert left.exists()  # it is in use
        service.kill()
    while alive(pid):
        time.sleep(0.01)
    assert left.name.startswith(PREFIX)
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("quick_trainer")
def test_polls_never_wait_and_a_mistake_of_ours_is_not_hidden(tmp_path):
    arrived, hold = threading.Event(), threading.Event()

    def mistaken(_model):
        arrived.set()
        return 1 // (not hold.wait())

    refit = begin(tmp_path, task(), finish=mistaken)
    while not arrived.wait(0.01):
        assert refit.poll(0.0) is None
    assert refit.poll(0.0) is None
    hold.set()
    with pytest.raises(ZeroDivisionError):
        outcome(refit)
