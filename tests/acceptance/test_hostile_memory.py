"""The memory budget, measured on the real command with the worst records, kind after kind."""

from __future__ import annotations

import os
import subprocess
from itertools import chain

import pytest

from benchmarks.hostile_memory import KINDS, MANY, MIB, ORDINARY, Command, Kind
from detectd.pipeline import memory_budget
from tests.support.forkserver import Popen

SIZES = {
    "newlines": MIB // 16,
    "anomalies, explained": MIB,
    "keys of 0.9 MB, each another": 24 * MIB,
    "90,000 fields": 20 * MIB,
    "90,000 fields, dead": 36 * MIB,
    "340,000 empty arrays, dead": 20 * MIB,
    "control characters": 36 * MIB,
    "lines of 20 MiB": 40 * MIB,
}
WORST = Kind(
    lambda _: chain.from_iterable(KINDS[name].pieces(size) for name, size in SIZES.items()),
    batch_records=MANY,
)


class Forked(Command):
    """Each process begins with the memory of the one it was forked from, the ordinary one too.

    PyOD's HBOS would be compiled in each of them.
    """

    detector = "KNN"

    def resident(self, command):
        with Popen(command, stdout=subprocess.DEVNULL) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        return usage.ru_maxrss * 1024


ROWS = "rows of commas, 5,000 columns"


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    return Forked(tmp_path_factory.mktemp("hostile"))


@pytest.fixture(scope="module")
def ordinary(command):
    return command.peak("ordinary", ORDINARY).resident


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("worst", WORST),
        ("rows", Kind(KINDS[ROWS].pieces, ".csv", batch_records=MANY, size=MIB)),
        ("bomb", Kind(KINDS["a gzip bomb"].pieces, ".jsonl.gz", size=300 * MIB)),
    ],
)
def test_the_worst_records_stay_within_the_budget(command, ordinary, name, kind):
    peak = command.peak(name, kind).resident
    assert peak - ordinary <= memory_budget.budget()
