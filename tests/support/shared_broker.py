"""One Kafka for all workers of a test run: the first to ask starts it, the run's end kills it."""

from __future__ import annotations

import atexit
import fcntl
import json
import os
import shutil
import signal
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import guarded
from tests.support.broker import Broker, fetch, named, start
from tests.support.certificates import Authority, authority

if TYPE_CHECKING:
    from tests.support.node import Node

# Set by the process that starts the workers, which inherit it.
DIRECTORY = "DETECTD_TEST_RUN"
KNOWN = "kafka.json"


def prepare() -> None:
    """Give this test run a directory; at the end of the process, kill the Kafka that is in it."""
    if DIRECTORY not in os.environ:
        directory = tempfile.mkdtemp(prefix="detectd-run-")
        os.environ[DIRECTORY] = directory
        atexit.register(_end, Path(directory))


def shared() -> Broker:
    """Return the Kafka that DETECTD_TEST_KAFKA names, or this test run's own.

    Raise UnavailableError if there is none, and none can be had.
    """
    if given := named():
        return given
    directory = Path(os.environ[DIRECTORY])
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = directory / KNOWN
        if not known.exists():
            broker = _start(fetch(), directory)
            told = {name: getattr(broker, name) for name in ("servers", "pids", "guarded")}
            known.write_text(json.dumps(told))
        told = json.loads(known.read_text())
        doors = {name: tuple(servers) for name, servers in told["guarded"].items()}
        return Broker(tuple(told["servers"]), pids=tuple(told["pids"]), guarded=doors)


def trusted() -> Authority:
    """Return who signs the certificates of this test run's Kafka, and of its clients."""
    return Authority(Path(os.environ[DIRECTORY]) / "trusted")


def _start(jars: Path, directory: Path) -> Broker:
    home = directory / "kafka"
    started: list[Node] = []
    try:
        properties = guarded.properties(authority(trusted().home))
        broker = start(jars, home, started, properties=properties, guards=guarded.GUARDS)
    except BaseException:
        for node in started:
            node.process.kill()
        shutil.rmtree(home, ignore_errors=True)
        shutil.rmtree(trusted().home, ignore_errors=True)
        raise
    for node in started:
        node.process.returncode = 0  # not waited for here: it outlives this worker
    return broker


def _end(directory: Path) -> None:
    known = directory / KNOWN
    if known.exists():
        for pid in json.loads(known.read_text())["pids"]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    shutil.rmtree(directory, ignore_errors=True)
