"""The trainer: a low-priority process that fits one model beside the service.

`trainer_process` starts it as `python -m detectd.models.trainer DIRECTORY PARENT`. It reads its
task from the directory and leaves a store with one model there, or the reason why there is none.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from detectd import quiet
from detectd.errors import DetectdError
from detectd.filesystem import atomic_files

ROWS, KEYS, TASK, MODELS, REASON = "rows.npy", "keys.npy", "task.json", "models", "reason.json"

PR_SET_PDEATHSIG = 1

NICE = 10  # a weight of 110 against the 1,024 of the service


def main(directory: Path, parent: int) -> int:
    """Train by the task in `directory`; return 0 if the model is there, else 1."""
    _die_with(parent)
    quiet.install()  # stderr is only for the trainer's failure
    task = json.loads((directory / TASK).read_bytes())
    if task["gives_way"]:
        _give_way()
    try:
        _train(directory, task)
    except DetectdError as unfit:
        # PyOD's MemoryError arrives as the cause of a failed fit.
        memory = isinstance(unfit.__cause__, MemoryError)
        why = ("out_of_memory", "") if memory else ("unfit", str(unfit))
    except MemoryError:
        why = ("out_of_memory", "")
    except Exception as unforeseen:  # noqa: BLE001 - whatever it was, the service must be told
        why = ("crashed", f"{type(unforeseen).__name__}: {unforeseen}")
    else:
        return 0
    atomic_files.write(directory / REASON, json.dumps(why).encode(), sync=False)
    return 1


def _train(directory: Path, task: dict[str, Any]) -> None:
    import numpy as np

    from detectd.features import from_data
    from detectd.models import training
    from detectd.models.model import Recipe
    from detectd.models.store import Store

    # Only now: a library that runs out of memory during its import does not report it.
    _limit_memory(task["memory_bytes"])
    model = training.train(
        np.load(directory / ROWS),
        Recipe(**task["recipe"]),
        from_data(task["features"]),
        datetime.fromisoformat(task["created"]),
        np.load(directory / KEYS) if task["keyed"] else None,
    )
    Store(directory / MODELS, check_owners=False).save(model)


def _die_with(parent: int) -> None:
    """Terminate this process when the service ends, for whatever reason."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it had already ended
        os.kill(os.getpid(), signal.SIGKILL)


def _give_way() -> None:
    """Use at most a tenth of a contended processor, and be killed first when memory runs out.

    With the lowest priority, a refit would never finish on a host that is always busy.
    """
    os.nice(NICE)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _limit_memory(limit: int | None) -> None:
    """Limit the memory for data, not addresses: compilers and thread stacks reserve far more than
    they use."""
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
