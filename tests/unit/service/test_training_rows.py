"""The quarantine's law: no row is where the next model takes its rows from before its time."""

import json
import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectd.service.training_window import Guard, Window
from tests.support.paths import ROOT
from tests.support.quarantined_rows import SIZE, WIDTH, batch, opened


def contents(collected):
    window = collected.window
    return window.rows().tolist(), window.held, window.offered, collected.waiting


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["sliding", "reservoir"]),
    st.sampled_from([0, 1, 7, 30, 100]),
    st.lists(st.integers(0, 90), min_size=1, max_size=8),
    st.data(),
)
def test_a_row_trains_after_its_wait_and_not_before_however_the_stream_is_cut(
    tmp_path_factory, kind, quarantine, counts, data
):
    """It is the window without a quarantine of a stream that ends that many rows earlier; crashes,
    after which the uncommitted batches come again, and where the batches end change nothing."""
    directory = tmp_path_factory.mktemp("collected")
    kept, state, begin = opened(directory, quarantine, kind), {}, 0
    for count in counts:
        for _ in range(data.draw(st.integers(0, 2), label="crashes")):
            kept.add(*batch(begin, data.draw(st.integers(0, 90), label="lost")))
            if data.draw(st.booleans(), label="process ends"):
                kept.close()
                kept = opened(directory, quarantine, kind)
            assert kept.restore(json.loads(json.dumps(state)))
        kept.add(*batch(begin, count))
        begin += count
        state = kept.snapshot()
        kept.on_commit()
        lagged = Window(WIDTH, SIZE, kind, Guard(0.1))
        lagged.add(*batch(0, max(0, begin - quarantine)))
        assert kept.window.rows().tolist() == lagged.rows().tolist()
        assert kept.window.held == lagged.held
        assert kept.waiting == min(begin, quarantine)
        assert (begin - 1 - kept.window.rows()[:, 0] >= quarantine).all()
    kept.close()
    assert len(list(directory.glob("*-*.rows"))) <= 2


@given(st.lists(st.integers(1, 60), min_size=2, max_size=6), st.integers(0, 5))
@settings(max_examples=30, deadline=None)
def test_dropped_rows_never_come(tmp_path_factory, counts, when):
    kept, begin, dropped = opened(tmp_path_factory.mktemp("collected")), 0, set()
    for number, count in enumerate(counts):
        if number == when % len(counts):
            dropped = set(range(max(0, begin - 30), begin))
            kept.drop_waiting()
            assert kept.waiting == 0
        kept.add(*batch(begin, count))
        begin += count
        assert not dropped & set(kept.window.rows()[:, 0])
    kept.close()


def test_all_is_forgotten_at_once(tmp_path):
    kept = opened(tmp_path)
    kept.add(*batch(0, 200))
    kept.clear()
    assert contents(kept) == contents(opened_beside(tmp_path))
    kept.close()


def opened_beside(directory):
    (directory / "beside").mkdir()
    return opened(directory / "beside")


@pytest.mark.parametrize(("before", "after"), [(0, 30), (30, 0), (30, 31), (31, 30)])
def test_rows_of_another_quarantine_do_not_count(tmp_path, before, after):
    """Those in the window may be younger than the new one allows."""
    kept = opened(tmp_path, before)
    kept.add(*batch(0, 100))
    state = kept.snapshot()
    kept.on_commit()
    kept.close()
    kept = opened(tmp_path, after)
    assert not kept.restore(state)
    assert (kept.window.filled, kept.waiting) == (0, 0)
    kept.close()


def test_lost_rows_of_the_quarantine_are_not_trained_on_too_early(tmp_path):
    kept = opened(tmp_path)
    kept.add(*batch(0, 100))
    state = kept.snapshot()
    kept.close()
    (path,) = tmp_path.glob("quarantine-*.rows")
    path.unlink()
    kept = opened(tmp_path)
    assert not kept.restore(state)
    assert (kept.window.filled, kept.waiting) == (40, 0)
    kept.add(*batch(100, 30))
    assert kept.window.rows()[:, 0].max() == 69
    kept.add(*batch(130, 1))
    assert kept.window.rows()[:, 0].max() == 100
    kept.close()


PROCESS = """
import json, sys
from pathlib import Path
sys.path[:0] = [{tests!r}]
from tests.support.quarantined_rows import batch, opened
kept = opened(Path({directory!r}))
kept.restore({{}})
for number in range(10**9):
    kept.add(*batch(23 * number, 23))
    print(json.dumps([number, kept.snapshot()]), flush=True)
    kept.on_commit()
"""


@pytest.mark.slow
def test_a_killed_process_leaves_what_waits_as_of_its_last_commit(tmp_path):
    code = PROCESS.format(tests=str(ROOT), directory=str(tmp_path))
    process = [sys.executable, "-c", code]
    with subprocess.Popen(process, stdout=subprocess.PIPE, env=dict(os.environ)) as running:
        lines = [running.stdout.readline() for _ in range(200)]
        running.kill()
        lines += running.stdout.read().splitlines()
    number, state = json.loads(lines[-1])
    kept = opened(tmp_path)
    assert kept.restore(state)
    whole = opened_beside(tmp_path)
    whole.add(*batch(0, 23 * (number + 1)))
    assert kept.window.rows().tolist() == whole.window.rows().tolist()
    assert kept.waiting == whole.waiting == 30
    kept.close()
    whole.close()
