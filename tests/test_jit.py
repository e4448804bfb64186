"""Kernels run wherever the service does: with a cache, without one, and with a full one."""

import os
import subprocess
import sys

import pytest

RUN = """
import resource, sys
if sys.argv[1] == "full":
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
import numpy as np
from detectd.rejection import rejector
print(rejector(np.arange(100.0), 0.1, 3.0).judge(np.array([-1.0, 1000.0])).rank.tolist())
"""


def run(how, **environment):
    return subprocess.run(
        [sys.executable, "-c", RUN, how],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("how", ["kept", "nowhere", "full"])
def test_kernels_run_with_and_without_a_cache(how, tmp_path):
    directory = "/dev/null/none" if how == "nowhere" else str(tmp_path)
    done = run(
        how, NUMBA_CACHE_DIR=directory, NUMBA_CACHE_LOCATOR_CLASSES="UserProvidedCacheLocator"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[0, 100]\n", "")
    kept = [path for path in tmp_path.rglob("*.nbc") if path.stat().st_size]
    assert bool(kept) == (how == "kept")


def test_the_second_process_compiles_nothing(tmp_path):
    for _ in range(2):
        done = run(
            "kept",
            NUMBA_CACHE_DIR=str(tmp_path),
            NUMBA_CACHE_LOCATOR_CLASSES="UserProvidedCacheLocator",
            NUMBA_DEBUG_CACHE="1",
        )
    assert "data loaded from" in done.stdout
    assert "data saved to" not in done.stdout
