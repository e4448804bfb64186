"""Where no process can be forked for a start, the command is started as it is anywhere else."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import forkserver
from tests.support.command import detectd, start


class Stranger(subprocess.Popen):
    """As of a Python that hands over its pipes in another order."""

    def _execute_child(self, args, pipes, *rest):
        raise NotImplementedError


@pytest.fixture
def no_server_yet(monkeypatch):
    """The server of this process is put aside: its imports took seconds."""
    monkeypatch.setattr(forkserver, "_server", forkserver._server.__wrapped__)


def assert_the_command_runs():
    done = detectd("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("detectd ")


@pytest.mark.usefixtures("no_server_yet")
def test_a_server_that_does_not_come_up_is_done_without(monkeypatch):
    monkeypatch.setattr(forkserver, "SERVER", [sys.executable, "-c", "raise SystemExit(1)"])
    assert forkserver._server() is None
    assert_the_command_runs()


@pytest.mark.usefixtures("no_server_yet")
def test_an_unknown_python_starts_each_process_itself(monkeypatch):
    assert forkserver._knows(subprocess.Popen)
    assert not forkserver._knows(Stranger)
    monkeypatch.setattr(forkserver, "_knows", lambda popen: False)
    assert forkserver._server() is None
    assert_the_command_runs()


def test_a_forked_process_runs_as_a_started_one():
    assert forkserver._server() is not None
    assert_the_command_runs()


@pytest.mark.parametrize("arguments", [["--version"], ["--nonsense"], ["report", "-c", "nowhere"]])
def test_a_forked_process_ends_as_a_started_one(monkeypatch, arguments):
    forked = ends(*arguments)
    monkeypatch.setattr(forkserver, "_server", lambda: None)
    assert ends(*arguments) == forked


def ends(*arguments):
    """What is left of a command: its code and its output, and its code where that has no room."""
    done = detectd(*arguments)
    buffered = {"PYTHONUNBUFFERED": ""}  # which the server cannot tell a process that it forks
    with (
        Path("/dev/full").open("w") as full,
        start(*arguments, stdout=full, stderr=full, env=buffered) as lost,
    ):
        return done.returncode, done.stdout, done.stderr, lost.wait(timeout=60)
