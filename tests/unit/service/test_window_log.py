"""The window on disk: what a restart finds is what the last commit had, whatever came after it."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectd.errors import ConfigError
from detectd.models.locks import DirectoryLockedError
from detectd.service.training_window import Guard, Window
from tests.support.paths import ROOT
from tests.support.window_logs import SIZE, WIDTH, batch, opened


def contents(window):
    return window.rows().tolist(), window.held, window.offered


def test_a_restart_finds_nothing_where_nothing_was(tmp_path):
    kept = opened(tmp_path)
    assert kept.restore({})
    assert kept.window.filled == 0
    assert kept.snapshot() == {}
    kept.close()


@pytest.mark.parametrize("file", ["../victim", "window-/../../victim.rows", "victim", 7])
def test_a_commit_names_no_file_but_a_window(tmp_path, file):
    """On Kafka a commit's state comes with the offsets of a group."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "models").mkdir()
    kept = opened(tmp_path / "models")
    shape = ["sliding", SIZE, WIDTH]
    assert not kept.restore({"shape": shape, "file": file, "written": 0, "offered": 0})
    kept.add(*batch(1, 9))
    assert victim.read_bytes() == b"precious"
    kept.close()


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["sliding", "reservoir"]),
    st.lists(st.integers(0, 130), min_size=2, max_size=12),
    st.data(),
)
def test_a_crash_at_any_moment_takes_back_what_was_not_committed(
    tmp_path_factory, kind, counts, data
):
    """The same batches without and with crashes, after each of which the uncommitted come again."""
    directory = tmp_path_factory.mktemp("window")
    whole = Window(WIDTH, SIZE, kind, Guard(0.08))
    kept, state, number = opened(directory, kind), {}, 0
    while number < len(counts):
        ahead = data.draw(st.integers(0, len(counts) - number), label="uncommitted")
        for lost in range(number, number + ahead):
            kept.add(*batch(lost, counts[lost]))
        if data.draw(st.booleans(), label="process ends"):
            kept.close()
            kept = opened(directory, kind)
        assert kept.restore(json.loads(json.dumps(state)))
        assert contents(kept.window) == contents(whole)
        kept.add(*batch(number, counts[number]))
        whole.add(*batch(number, counts[number]))
        state = kept.snapshot()
        kept.on_commit()
        number += 1
    assert contents(kept.window) == contents(whole)
    kept.close()
    assert len(list(directory.glob("window-*.rows"))) <= 1


@pytest.mark.parametrize("kind", ["sliding", "reservoir"])
def test_the_file_is_bounded(tmp_path, kind):
    kept = opened(tmp_path, kind)
    largest = 0
    for number in range(200):
        kept.add(*batch(number, 37))
        largest = max(largest, *(path.stat().st_size for path in tmp_path.glob("window-*.rows")))
        kept.on_commit()
    kept.close()
    assert largest <= 2 * SIZE * (16 + 8 * WIDTH)


PROCESS = """
import json, sys
from pathlib import Path
sys.path[:0] = [{tests!r}]
from tests.support.window_logs import batch, opened
kept = opened(Path({directory!r}))
kept.restore({{}})
for number in range(10**9):
    kept.add(*batch(number, 23))
    print(json.dumps([number, kept.snapshot()]), flush=True)
    kept.on_commit()
"""


@pytest.mark.slow
def test_a_killed_process_leaves_the_window_of_its_last_commit(tmp_path):
    code = PROCESS.format(tests=str(ROOT), directory=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        lines = [process.stdout.readline() for _ in range(200)]
        process.kill()
        lines += process.stdout.read().splitlines()
    number, state = json.loads(lines[-1])
    whole = Window(WIDTH, SIZE, "sliding", Guard(0.08))
    for earlier in range(number + 1):
        whole.add(*batch(earlier, 23))
    kept = opened(tmp_path)
    assert kept.restore(state)
    assert contents(kept.window) == contents(whole)
    kept.close()


def _cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def _lose_a_page(path):
    """As a power cut does: the length is there, what was written last is not."""
    content = path.read_bytes()
    path.write_bytes(content[:-80] + bytes(80))


@pytest.mark.parametrize("harm", [Path.unlink, _cut, _lose_a_page])
def test_a_window_that_is_not_as_it_was_begins_anew(tmp_path, harm):
    kept = opened(tmp_path)
    kept.add(*batch(0, 60))
    state = kept.snapshot()
    kept.close()
    (path,) = tmp_path.glob("window-*.rows")
    harm(path)
    kept = opened(tmp_path)
    assert not kept.restore(state)
    assert kept.window.filled == 0
    kept.add(*batch(1, 10))
    assert kept.restore(kept.snapshot())
    assert kept.window.filled == 10
    kept.close()


def test_another_shape_begins_anew(tmp_path):
    kept = opened(tmp_path)
    kept.add(*batch(0, 60))
    state = kept.snapshot()
    kept.close()
    for other in ({"size": SIZE + 1}, {"kind": "reservoir"}):
        kept = opened(tmp_path, **other)
        assert not kept.restore(state)
        kept.close()


def test_two_processes_do_not_share_a_window(tmp_path):
    kept = opened(tmp_path)
    with pytest.raises(
        DirectoryLockedError, match="another detectd keeps its training window here"
    ):
        opened(tmp_path)
    kept.close()
    opened(tmp_path).close()


def test_a_directory_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match="nowhere cannot be written"):
        opened(tmp_path / "nowhere")


def test_a_full_disk_costs_the_file_and_not_the_window(tmp_path):
    """As good as full: this process may write no file of more than 200 bytes."""
    kept, whole = opened(tmp_path), Window(WIDTH, SIZE, "sliding", Guard(0.08))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, hard))
    try:
        for number in range(3):
            kept.add(*batch(number, 15))
            whole.add(*batch(number, 15))
            assert kept.snapshot() == {}
            assert kept.trouble
            kept.on_commit()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert contents(kept.window) == contents(whole)
    assert list(tmp_path.glob("window-*.rows")) == []
    while kept.trouble:
        number += 1
        kept.add(*batch(number, 15))
        whole.add(*batch(number, 15))
    assert number < 8
    assert kept.restore(kept.snapshot())
    assert contents(kept.window) == contents(whole)
    kept.close()


def test_synced_windows_are_the_same(tmp_path):
    kept = opened(tmp_path, sync=True)
    for number in range(10):
        kept.add(*batch(number, 30))
    before = contents(kept.window)
    assert kept.restore(kept.snapshot())
    assert contents(kept.window) == before
    kept.close()
