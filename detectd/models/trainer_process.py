"""A refit beside the loop: another process trains while the service keeps scoring.

    write    the rows and the recipe into a directory of their own beside the models
    train    `trainer`, a new interpreter without the service's sockets, locks and threads: one
             thread, a low priority, limited memory; it dies with the service
    load     its model, verified as that of any store
    finish   whatever makes it ready to answer

All of that happens in a thread, so that the loop only polls. The model is returned as files and not
through a pipe: a trainer that dies halfway leaves nothing that could be mistaken for a model, and
no byte is unpickled unless its sha256 matches the manifest.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

import numpy as np

from detectd.errors import DetectdError
from detectd.features import as_data
from detectd.filesystem import atomic_files
from detectd.filesystem.os_errors import explained
from detectd.models import locks
from detectd.models.store import Store
from detectd.models.trainer import KEYS, MODELS, REASON, ROWS, TASK
from detectd.models.training import with_texts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from numpy.typing import NDArray

    from detectd.features import Declared
    from detectd.models.model import Model, Recipe

T = TypeVar("T")
Code = Literal["unfit", "out_of_memory", "too_slow", "crashed", "not_written"]

PREFIX = ".refit-"
ONE_THREAD = {
    f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "BLIS", "NUMBA")
}
# The trainer's environment variables: those of the interpreter and numerical libraries, without the
# configuration, the supervisor's variables and secrets.
KEPT = {
    *("DETECTD_PATHS__CHECK_OWNERS", "HOME", "LANG", "LANGUAGE", "LD_LIBRARY_PATH", "LD_PRELOAD"),
    *("PATH", "TMPDIR", "TZ", "USER"),
}
KEPT_PREFIXES = (
    *("BLIS_", "GOMP_", "JOBLIB_", "KMP_", "LC_", "MALLOC_", "MKL_", "NUMBA_", "OMP_", "OPENBLAS_"),
    *("PYOD_", "PYTHON", "SCIPY_", "SKLEARN_", "XDG_CACHE_"),
)


@dataclass(frozen=True)
class Task:
    """The task of a trainer: the arguments of `training.train`."""

    rows: NDArray[np.float64]
    recipe: Recipe
    features: tuple[Declared, ...]
    created: datetime
    keys: NDArray[np.uint64] | None = None


@dataclass(frozen=True)
class Limits:
    """The resource limits of a refit; None is no limit.

    `memory_bytes` limits data (RLIMIT_DATA), of which the libraries need about 200 MB. With
    `gives_way` it uses at most a tenth of a contended processor; not for interactive use.
    """

    memory_bytes: int | None = None
    seconds: float | None = None
    gives_way: bool = True


@dataclass(frozen=True)
class Trained(Generic[T]):
    """The refit succeeded; `result` is the result of its `finish`."""

    result: T


@dataclass(frozen=True)
class Failed:
    """The refit failed: `reason` is a sentence, `code` a word for metrics."""

    code: Code
    reason: str


class TrainerProcess(Generic[T]):
    """One training, which starts at once. Poll it; after an outcome or `cancel` it is over.

    `directory` is the model store, `now` any monotonic clock in seconds. A DetectdError of `finish`
    counts as a failure of the model.
    """

    def __init__(
        self,
        directory: Path,
        task: Task,
        limits: Limits,
        finish: Callable[[Model], T],
        now: float,
    ) -> None:
        self._directory = directory
        self._task = task
        self._limits = limits
        self._finish = finish
        self._deadline = now + (math.inf if limits.seconds is None else limits.seconds)
        self._outcome: Future[Trained[T] | Failed] = Future()
        self._starting = threading.Lock()
        self._stopped = False
        self._process: subprocess.Popen[bytes] | None = None
        # This thread starts the trainer, and the kernel treats its end as the service's: it must
        # wait.
        self._thread = threading.Thread(target=self._run, name="refit", daemon=True)
        self._thread.start()

    def poll(self, now: float) -> Trained[T] | Failed | None:
        """Return the outcome; None while it runs. Never blocks.

        Raise what `finish` raises, other than a DetectdError.
        """
        if self._outcome.done():
            return self._outcome.result()
        if now < self._deadline:
            return None
        self._stop()
        return Failed("too_slow", f"training took longer than {self._limits.seconds:g} seconds")

    def cancel(self) -> None:
        """Stop the training; remove its process and its files."""
        self._stop()
        self._thread.join()

    @property
    def pid(self) -> int | None:
        """Return the trainer's process id; None if it has not started yet."""
        return self._process.pid if self._process else None

    def _stop(self) -> None:
        with self._starting:
            self._stopped = True
            if self._process:
                self._process.kill()

    def _run(self) -> None:
        try:
            with _own_directory(self._directory) as home:
                self._outcome.set_result(self._attempt(home))
        except OSError as refused:
            what = f"{self._directory}: the trainer's files cannot be written"
            self._outcome.set_result(Failed("not_written", str(explained(refused, what))))
        except Exception as unforeseen:  # noqa: BLE001 - poll raises it
            self._outcome.set_exception(unforeseen)

    def _attempt(self, home: Path) -> Trained[T] | Failed:
        self._write_task(home)
        with self._starting, (home / "stderr").open("wb") as stderr:
            if self._stopped:
                return Failed("crashed", "it was stopped before it began")
            self._process = _start(home, stderr.fileno())
        code = self._process.wait()
        if code != 0:
            return self._why(home, code)
        try:
            store = Store(home / MODELS, check_owners=False)  # it is new, and ours
            (version,) = store.versions()
            return Trained(self._finish(with_texts(store.load(version).model)))
        except DetectdError as unfit:
            return Failed("unfit", str(unfit))

    def _write_task(self, home: Path) -> None:
        np.save(home / ROWS, self._task.rows, allow_pickle=False)
        keys = self._task.keys
        if keys is not None:
            np.save(home / KEYS, keys, allow_pickle=False)
        task = {
            "keyed": keys is not None,
            "recipe": asdict(self._task.recipe),
            "features": as_data(self._task.features),
            "created": self._task.created.isoformat(),
            "memory_bytes": self._limits.memory_bytes,
            "gives_way": self._limits.gives_way,
        }
        atomic_files.write(home / TASK, json.dumps(task).encode(), sync=False)

    def _why(self, home: Path, exit_code: int) -> Failed:
        if exit_code < 0:
            name = signal.Signals(-exit_code).name
            hint = "; the kernel does so when memory runs out" if name == "SIGKILL" else ""
            return Failed("crashed", f"the trainer was killed by {name}{hint}")
        try:
            code, reason = json.loads((home / REASON).read_bytes())
        except (OSError, ValueError):
            last = (home / "stderr").read_text(errors="replace").strip().rpartition("\n")[2]
            return Failed("crashed", f"the trainer ended with exit code {exit_code}: {last}")
        if code == "out_of_memory":
            given = (self._limits.memory_bytes or 0) / 2**20
            limit = f"the {given:,.0f} MiB that it is allowed" if given else "the available memory"
            reason = f"training on {len(self._task.rows):,} rows needs more than {limit}"
        return Failed(code, reason)


def sweep(directory: Path) -> None:
    """Remove the leftovers of refits that were killed with their service."""
    for left in directory.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            lock = locks.directory(left)
            try:
                if locks.try_lock(lock, fcntl.LOCK_EX):
                    shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(lock)


@contextlib.contextmanager
def _own_directory(parent: Path) -> Iterator[Path]:
    """Create a directory that no service sweeps while its lock is held, and remove it at the
    end."""
    home, lock = _new_directory(parent)
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)
        os.close(lock)


def _new_directory(parent: Path) -> tuple[Path, int]:
    """Return a directory and its lock. Another service may sweep it before it is locked."""
    while True:
        home = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        with contextlib.suppress(FileNotFoundError):
            lock = locks.directory(home)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if home.is_dir():
                return home, lock
            os.close(lock)


def _start(home: Path, stderr: int) -> subprocess.Popen[bytes]:
    """Return a trainer with this process's search path, none of its files, and a process group of
    its own, so that a terminal's interrupt is left to the service."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name in KEPT or name.startswith(KEPT_PREFIXES)
    }
    environment |= ONE_THREAD | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-P", "-m", "detectd.models.trainer", str(home), str(os.getpid())],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        process_group=0,
    )
