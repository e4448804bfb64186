"""Kernels run wherever the service does: with a cache, without one, and with a full one."""

import importlib
import os
import subprocess
import sys
from datetime import UTC, datetime

import numpy as np
import pytest
from numba.core import event
from numba.core.errors import NumbaError

from detectd import derive
from detectd.detectors import build, fit
from detectd.detectors.kernels import MODULES
from detectd.jit import compiled_in_place, keep_machine_code
from detectd.models import serving
from detectd.models.model import Recipe
from detectd.models.training import train
from detectd.pipeline.records import Record
from detectd.pipeline.schema import Schema
from detectd.settings.loader import settle
from tests.support.judging import judge_records

# Rows enough for the cores to share.
MANY = 4096
# PyOD takes long to score the calibration rows with as many as it has by default.
FEWER = {"INNE": {"n_estimators": 10}}

RUN = """
import resource, sys
if sys.argv[1] == "full":
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
from detectd.pipeline.nesting import depth
print(depth(b'{"a":[1]}'))
"""


def run(how, **environment):
    return subprocess.run(
        [sys.executable, "-c", RUN, how],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("how", ["kept", "nowhere", "full"])
def test_kernels_run_with_and_without_a_cache(how, tmp_path):
    directory = "/dev/null/none" if how == "nowhere" else str(tmp_path)
    done = run(
        how, NUMBA_CACHE_DIR=directory, NUMBA_CACHE_LOCATOR_CLASSES="UserProvidedCacheLocator"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "2\n", "")
    kept = [path for path in tmp_path.rglob("*.nbc") if path.stat().st_size]
    assert bool(kept) == (how == "kept")


@pytest.mark.slow
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


CALLEE = "from detectd.jit import compiled\n@compiled\ndef part(x):\n    return x + {}\n"
CALLER = """
from detectd.jit import compiled
from made import constants, parts
@compiled
def whole(x):
    return 100 * parts.part(x) + constants.MORE
"""


@pytest.mark.slow
def test_machine_code_is_made_again_if_what_it_calls_has_changed(tmp_path):
    package = tmp_path / "made"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "caller.py").write_text(CALLER)
    found = []
    for part, more in ((1, 1), (2, 1), (2, 2)):
        (package / "parts.py").write_text(CALLEE.format(part))
        (package / "constants.py").write_text(f"MORE = {more}\n")
        done = subprocess.run(
            [sys.executable, "-B", "-c", "from made.caller import whole; print(whole(0))"],
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "kept")},
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        found.append((done.stdout, done.stderr))
    assert found == [("101\n", ""), ("201\n", ""), ("202\n", "")]


THEIRS = "from numba import njit\n@njit\ndef twice(x):\n    return 2 * x\n"


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A package that compiles without a cache, as PyOD does; gives its function."""
    name = f"library_{tmp_path.name.replace('-', '_')}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text(THEIRS)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module(name)
    del sys.modules[name]


def kept(directory):
    return sorted(path.suffix for path in directory.rglob("*.nb*"))


def test_what_a_library_compiles_is_kept_too(library, tmp_path):
    keep_machine_code(library.__name__)
    keep_machine_code(library.__name__)
    assert library.twice(3) == 6
    assert kept(tmp_path) == [".nbc", ".nbi"]
    keep_machine_code("another")
    assert library.twice(1.5) == 3.0
    assert kept(tmp_path) == [".nbc", ".nbc", ".nbi"]


def test_where_others_could_write_nothing_of_a_library_is_kept(library, tmp_path):
    directory = tmp_path / library.__name__ / "__pycache__"
    directory.mkdir(exist_ok=True)
    directory.chmod(0o777)
    keep_machine_code(library.__name__)
    assert library.twice(3) == 6
    assert kept(tmp_path) == []


def test_a_fit_leaves_pyods_functions_with_a_cache():
    fit(build("ECOD", 0.1, 0, {}), np.random.default_rng(0).normal(size=(50, 2)))
    theirs = importlib.import_module("pyod.utils.stat_models")
    assert theirs.ecdf_terminate_equals_inplace._cache.cache_path


STREAM = {
    "source": {"kind": "stdin"},
    "sink": {"kind": "stdout"},
    "event": {"features": ["a", "b"]},
}


@pytest.mark.slow
@pytest.mark.parametrize("detector", sorted(MODULES))
def test_no_event_waits_for_a_compiler(detector, tmp_path):
    """All is compiled when a model is made ready: for one event, for many, for missing features."""
    rows = np.random.default_rng(0).normal(size=(400, 2))
    recipe = Recipe(detector, 0.1, params=FEWER.get(detector, {}))
    model = train(rows, recipe, ("a", "b"), datetime(2026, 1, 1, tzinfo=UTC))
    settings = settle(
        STREAM | {"detector": {"name": detector}, "models": {"directory": str(tmp_path)}},
        "test",
    )
    ready = serving.serve(model, derive.serving_options(settings))
    assert ready.judge.scorer.how == "compiled"
    records = [
        Record(f"t:{i}", b'{"a":%r,"b":%r}' % tuple(row)) for i, row in enumerate(rows.tolist())
    ]
    schema = Schema(("a", "b"), missing="median")
    with event.install_recorder("numba:compiler_lock") as compiling:
        judge_records(records[:1], schema, ready.judge)
        judge_records(records * (1 + MANY // len(records)), schema, ready.judge)
        judge_records([Record("t:0", b'{"a":1}')], schema, ready.judge)
    assert compiling.buffer == []


def test_what_is_compiled_in_place_creates_no_array():
    """So numba takes no notice of references; that it does not would cost four times as much."""

    @compiled_in_place
    def makes(count):
        return np.empty(count)

    with pytest.raises(NumbaError, match="Only accept returning of array passed into the func"):
        makes(3)
