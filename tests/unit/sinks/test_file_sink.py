import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from fnmatch import fnmatch
from pathlib import Path

import pytest

from detectd.errors import ConfigError, DetectdError
from detectd.pipeline.records import OUTCOMES, Outgoing, Position, Topic
from detectd.sinks.file import FileSink


def commit(sink, n):
    sink.commit([Outgoing(Topic.NORMAL, b"%d" % n)], Position({"n": n}))


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "out"


def test_what_follows_the_last_commit_is_cut_off(directory):
    sink = FileSink(directory)
    sink.open()
    commit(sink, 1)
    sink.close()
    with (directory / "normal.jsonl").open("ab") as file:
        file.write(b"half a rec")
    with (directory / "anomaly.jsonl").open("ab") as file:
        file.write(b"whole\n")
    again = FileSink(directory)
    assert again.open() == Position({"n": 1})
    commit(again, 2)
    again.close()
    assert (directory / "normal.jsonl").read_bytes() == b"1\n2\n"
    assert (directory / "anomaly.jsonl").read_bytes() == b""


def test_the_first_commit_is_undone_like_any_other(directory):
    sink = FileSink(directory)
    sink.open()
    sink.close()
    (directory / "normal.jsonl").write_bytes(b"unfinished\n")
    again = FileSink(directory)
    assert again.open() is None
    again.close()
    assert (directory / "normal.jsonl").read_bytes() == b""


def test_outputs_are_on_the_disk_before_the_checkpoint_takes_its_place(directory, monkeypatch):
    done, fsync, replace = [], os.fsync, Path.replace

    def sync(descriptor):
        fsync(descriptor)
        done.append(Path(f"/proc/self/fd/{descriptor}").resolve().name)

    def put(path, target):
        done.append("replaced")
        return replace(path, target)

    sink = FileSink(directory)
    sink.open()
    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", put)
    outputs = [Outgoing(topic, b"1") for topic in OUTCOMES]
    sink.commit(outputs, Position({"n": 1}))
    sink.close()
    *before, replaced, last = done
    names = {f"{topic}.jsonl" for topic in OUTCOMES}
    (temporary,) = set(before) - names
    assert fnmatch(temporary, ".checkpoint.json.*.new")
    assert set(before) == names | {temporary}
    assert (replaced, last) == ("replaced", "out")


def test_outputs_without_a_checkpoint_are_not_overwritten(directory):
    directory.mkdir()
    (directory / "abstain.jsonl").write_bytes(b"precious\n")
    with pytest.raises(ConfigError, match="without a checkpoint"):
        FileSink(directory).open()
    assert (directory / "abstain.jsonl").read_bytes() == b"precious\n"


def test_an_output_that_was_moved_away_begins_anew(directory):
    sink = FileSink(directory)
    sink.open()
    commit(sink, 1)
    sink.close()
    (directory / "normal.jsonl").rename(directory / "yesterday.jsonl")
    again = FileSink(directory)
    again.open()
    commit(again, 2)
    again.close()
    assert (directory / "normal.jsonl").read_bytes() == b"2\n"


@pytest.mark.parametrize("size", [20, 300])
def test_a_crash_after_an_output_was_moved_away_leaves_nothing_in_it(directory, size):
    """Whether less or more of the first commit was written than the old file had held."""
    sink = FileSink(directory)
    sink.open()
    sink.commit([Outgoing(Topic.NORMAL, b"y" * 99)], Position({"n": 1}))
    sink.close()
    (directory / "normal.jsonl").rename(directory / "yesterday.jsonl")
    sink = FileSink(directory)
    sink.open()
    with (directory / "normal.jsonl").open("ab") as file:
        file.write(b"x" * size)
    sink.close()
    again = FileSink(directory)
    assert again.open() == Position({"n": 1})
    again.close()
    assert (directory / "normal.jsonl").read_bytes() == b""


def test_an_output_that_was_shortened_is_refused(directory):
    sink = FileSink(directory)
    sink.open()
    commit(sink, 123)
    sink.close()
    (directory / "normal.jsonl").write_bytes(b"1\n")
    with pytest.raises(ConfigError, match=r"has 2 bytes, the checkpoint counts 4"):
        FileSink(directory).open()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"position": 3, "lengths": {}}'])
def test_a_damaged_checkpoint_is_refused(directory, content):
    directory.mkdir()
    (directory / "checkpoint.json").write_bytes(content)
    with pytest.raises(ConfigError, match="damaged"):
        FileSink(directory).open()


def test_a_second_process_is_told_who_holds_the_directory(directory):
    sink = FileSink(directory)
    sink.open()
    other = FileSink(directory)
    with pytest.raises(DetectdError, match=f"in use by process {os.getpid()}"):
        other.open()
    other.close()
    sink.close()
    third = FileSink(directory)
    third.open()
    third.close()


def test_a_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"sink\.directory"):
        FileSink(tmp_path / "file" / "out").open()


def test_a_commit_of_nothing_new_touches_nothing(directory):
    sink = FileSink(directory)
    sink.open()
    commit(sink, 1)
    before = (directory / "checkpoint.json").stat()
    sink.commit([], Position({"n": 1}))
    assert (directory / "checkpoint.json").stat() == before
    sink.close()


WRITER = """
import sys
from pathlib import Path
from detectd.pipeline.records import OUTCOMES, Outgoing, Position, Topic
from detectd.sinks.file import FileSink
sink = FileSink(Path(sys.argv[1]))
position = sink.open()
begin = position.source["n"] if position else 0
for n in range(begin, 3000, 10):
    sink.commit(
        [Outgoing(OUTCOMES[i % 4], b"%040d" % i) for i in range(n, n + 10)],
        Position({"n": n + 10}),
    )
    print(n, flush=True)
"""


def write(directory, kill_at=None, delay=0.0, **options):
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, directory],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        **options,
    ) as process:
        for line in process.stdout:
            if kill_at is not None and int(line) >= kill_at:
                time.sleep(delay)
                process.send_signal(signal.SIGKILL)
                break
    return process.returncode


def held(directory):
    return {path.name: path.read_bytes() for path in directory.glob("*.jsonl")}


def assert_at_the_last_commit(directory):
    """Without another `open`: whoever reads the outputs now sees whole commits."""
    lengths = json.loads((directory / "checkpoint.json").read_bytes())["lengths"]
    assert {f"{topic}.jsonl": n for topic, n in lengths.items()} == {
        name: len(content) for name, content in held(directory).items()
    }
    assert lengths["normal"] > 0


@pytest.mark.slow
def test_killed_in_the_middle_the_outputs_are_those_of_an_undisturbed_run(tmp_path):
    assert write(tmp_path / "calm") == 0
    moments = random.Random(11)  # Within a commit, which takes one or two milliseconds.
    for kill_at in (0, 10, 300, 320, 700, 1100, 1500, 1900):
        delay = moments.uniform(0, 0.003)
        assert write(tmp_path / "killed", kill_at, delay) == -signal.SIGKILL
    assert write(tmp_path / "killed") == 0
    assert held(tmp_path / "killed") == held(tmp_path / "calm")
    assert_at_the_last_commit(tmp_path / "killed")


@pytest.mark.slow
def test_a_full_disk_leaves_the_last_commit_and_a_rerun_completes_it(tmp_path):
    def little_space():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    assert write(tmp_path / "calm") == 0
    assert write(tmp_path / "full", preexec_fn=little_space) == 1
    assert_at_the_last_commit(tmp_path / "full")
    assert write(tmp_path / "full") == 0
    assert held(tmp_path / "full") == held(tmp_path / "calm")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    options = ["-t", "tmpfs", "-o", "size=256k,mode=700", "tmpfs"]
    try:
        mounted = subprocess.run(["mount", *options, place], capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("file systems cannot be mounted here")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_file_system_without_space_is_named_and_freed_space_completes_the_run(
    tmp_path, small_disk
):
    assert write(tmp_path / "calm") == 0
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(192 * 1024))
    out = small_disk / "out"
    done = subprocess.run([sys.executable, "-c", WRITER, out], capture_output=True, text=True)
    assert done.returncode == 1
    error = done.stderr.splitlines()[-1]
    assert f"{out}: cannot be written: No space left on device" in error
    assert "free space and run again" in error
    assert_at_the_last_commit(out)
    ballast.unlink()
    assert write(out) == 0
    assert held(out) == held(tmp_path / "calm")
