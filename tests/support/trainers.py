"""Trainer processes, and tasks for them."""

from __future__ import annotations

import contextlib
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from detectd.errors import DetectdError
from detectd.models.model import Recipe
from detectd.models.trainer_process import Failed, Limits, Task, Trained, TrainerProcess
from detectd.models.training import train, with_texts

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
# Nobody waits for these trainers but the test.
AT_ONCE = Limits(gives_way=False)


def task(rows=None, recipe=None):
    """Return a training that takes a moment, or that of these rows and recipe."""
    if rows is None:
        rows = np.random.default_rng(0).normal(size=(400, 2))
    return Task(rows, recipe or Recipe("PCA", 0.1, compiled=False), ("a", "b"), NOON)


def endless():
    """A training that takes an hour."""
    rows = np.random.default_rng(0).normal(size=(20_000, 2))
    return task(rows, Recipe("OCSVM", 0.1, method="cross", folds=100))


class InThisProcess:
    """Trains when it is asked for its outcome: for those to whom the process does not matter."""

    def __init__(self, _directory, what, _limits, finish, _now):
        self._task, self._finish = what, finish

    def poll(self, _now):
        what = self._task
        try:
            model = train(what.rows, what.recipe, what.features, what.created, what.keys)
            return Trained(self._finish(with_texts(model)))
        except DetectdError as unfit:
            return Failed("unfit", str(unfit))

    def cancel(self):
        """There is nothing to stop."""


def begin(directory, what, limits=AT_ONCE, finish=lambda model: model):
    """Start a trainer in the directory."""
    return TrainerProcess(directory, what, limits, finish, now=0.0)


def outcome(refit):
    """What it comes to; the pause leaves the processor to the trainer."""
    while (found := refit.poll(0.0)) is None:
        time.sleep(0.01)
    return found


@contextlib.contextmanager
def running(refit, arrived="numba"):
    """The pid of its trainer, once it has come as far as importing `arrived`."""
    try:
        while refit.pid is None or arrived not in read_proc(refit.pid, "maps"):
            assert refit.poll(0.0) is None, refit.poll(0.0)
            time.sleep(0.01)
        yield refit.pid
    finally:
        refit.cancel()


def read_proc(pid, name):
    """Return a file of /proc/PID, empty if the process has gone."""
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def alive(pid):
    """Whether it runs; one that nobody has waited for yet does not."""
    return read_proc(pid, "stat").rpartition(")")[2].split()[:1] not in ([], ["Z"])
