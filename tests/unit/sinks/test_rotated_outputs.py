"""Others rotate the outputs, at any moment and in any way: each record is there, and once."""

import bz2
import gzip
import json
import lzma
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from detectd.errors import ConfigError
from detectd.pipeline.records import Outgoing, Position, Topic
from detectd.signals import Stop
from detectd.sinks import checkpoint
from detectd.sinks.file import FileSink, ReplaySink
from detectd.sinks.file_reader import FileOutputs

NORMAL, DEAD = Topic.NORMAL, Topic.DEAD_LETTER


class CrashError(Exception):
    """The process is killed at this point."""


def value(n):
    return b'{"n":%d}' % n


def commit(sink, *numbers, topic=NORMAL):
    sink.commit([Outgoing(topic, value(n)) for n in numbers], Position({"n": numbers[-1]}))


def numbers(*paths):
    return [json.loads(line)["n"] for path in paths for line in path.read_bytes().splitlines()]


@pytest.fixture
def again(out, sink):
    """Ends the sink as a kill does, and opens another."""

    def restart():
        sink.close()
        fresh = FileSink(out, fsync=False)
        fresh.open()
        return fresh

    return restart


def crash_after_append(sink, monkeypatch, *numbers, topic=NORMAL):
    """Leave the records of an unfinished commit in the file."""

    def killed(*arguments, **options):
        raise CrashError

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "write", killed)
        with pytest.raises(CrashError):
            commit(sink, *numbers, topic=topic)
    sink.close()


def moved(path):
    rotated = path.with_name(f"{path.name}.1")
    path.rename(rotated)
    return rotated


def moved_and_created(path):
    rotated = moved(path)
    path.touch()
    return rotated


def copied_and_truncated(path):
    rotated = path.with_name(f"{path.name}.1")
    shutil.copy(path, rotated)
    os.truncate(path, 0)
    return rotated


def moved_into_a_directory(path):
    (path.parent / "old").mkdir()
    return path.rename(path.parent / "old" / "anything")


WAYS = [moved, moved_and_created, copied_and_truncated, moved_into_a_directory]


@pytest.mark.parametrize("rotate", WAYS)
def test_a_commit_goes_on_in_the_file_at_the_path(out, sink, rotate, capsys):
    path = out / "normal.jsonl"
    commit(sink, 1, 2)
    rotated = rotate(path)
    capsys.readouterr()
    commit(sink, 3)
    commit(sink, 4)
    assert (numbers(rotated), numbers(path)) == ([1, 2], [3, 4])
    said = [line for line in capsys.readouterr().out.splitlines() if "output.rotated" in line]
    assert len(said) == 1
    assert "normal.jsonl" in said[0]


def test_a_removed_file_is_there_again(out, sink):
    commit(sink, 1)
    (out / "normal.jsonl").unlink()
    commit(sink, 2)
    assert numbers(out / "normal.jsonl") == [2]


@pytest.mark.parametrize("rotate", WAYS)
def test_rotated_while_down_the_new_file_begins_anew(out, sink, again, rotate):
    path = out / "normal.jsonl"
    commit(sink, 1, 2)
    sink.close()
    rotated = rotate(path)
    fresh = again()
    commit(fresh, 3)
    fresh.close()
    assert (numbers(rotated), numbers(path)) == ([1, 2], [3])


@pytest.mark.parametrize(
    ("rotate", "committed"),
    # Of a file without committed bytes, the name and the inode must tell.
    [*((way, True) for way in WAYS), (moved, False), (moved_and_created, False)],
)
def test_what_an_unfinished_commit_left_is_cut_off_where_it_is_now(
    out, sink, again, rotate, committed, monkeypatch
):
    path = out / "normal.jsonl"
    before = [1, 2] if committed else []
    if committed:
        commit(sink, *before)
    crash_after_append(sink, monkeypatch, 3, 4)
    rotated = rotate(path)
    fresh = again()
    commit(fresh, 3, 4)
    fresh.close()
    assert (numbers(rotated), numbers(path)) == (before, [3, 4])


@pytest.mark.parametrize("packer", [gzip, bz2, lzma], ids=lambda module: module.__name__)
def test_what_an_unfinished_commit_left_is_cut_off_in_a_compressed_file(
    out, sink, again, packer, monkeypatch
):
    suffix = {gzip: ".gz", bz2: ".bz2", lzma: ".xz"}[packer]
    commit(sink, 1, 2)
    crash_after_append(sink, monkeypatch, 3)
    path, packed = out / "normal.jsonl", out / f"normal.jsonl-20261128{suffix}"
    packed.write_bytes(packer.compress(path.read_bytes()))
    path.unlink()
    fresh = again()
    commit(fresh, 3)
    fresh.close()
    assert packer.decompress(packed.read_bytes()) == value(1) + b"\n" + value(2) + b"\n"
    assert numbers(path) == [3]


def test_a_damaged_file_beside_the_outputs_is_passed_over(out, sink, again):
    commit(sink, 1)
    for suffix in ("gz", "bz2", "xz"):
        (out / f"normal.jsonl.9.{suffix}").write_bytes(b"damaged" * 99)
    (out / "normal.jsonl.8.gz").write_bytes(gzip.compress(bytes(99))[:-9])
    moved(out / "normal.jsonl")
    fresh = again()
    commit(fresh, 2)
    fresh.close()
    assert numbers(out / "normal.jsonl") == [2]


def test_truncated_between_the_look_and_the_write_there_is_no_hole(out, sink, monkeypatch):
    commit(sink, *range(100))
    look = sink._follow_rotations

    def then_truncated():
        look()
        os.truncate(out / "normal.jsonl", 0)

    monkeypatch.setattr(sink, "_follow_rotations", then_truncated)
    commit(sink, 100)
    monkeypatch.undo()
    commit(sink, 101)
    assert numbers(out / "normal.jsonl") == [100, 101]


def test_half_a_line_that_somebody_left_is_ended(out, sink):
    commit(sink, 1)
    path = out / "normal.jsonl"
    moved(path)
    path.write_bytes(b"somebody's")
    commit(sink, 2)
    commit(sink, 3)
    assert path.read_bytes() == b"somebody's\n" + value(2) + b"\n" + value(3) + b"\n"


def test_an_unrelated_file_with_the_inode_of_a_removed_one_is_left_alone(out, sink, again):
    commit(sink, 1)
    commit(sink, *range(2, 50))
    sink.close()
    path = out / "normal.jsonl"
    content = b"x" * 10_000
    os.truncate(path, 0)  # the same inode, another content
    path.write_bytes(content)
    precious = path.rename(out / "precious.txt")
    fresh = again()
    fresh.close()
    assert precious.read_bytes() == content


def test_a_directory_that_was_copied_is_the_same(out, sink, tmp_path, monkeypatch):
    commit(sink, 1, 2)
    crash_after_append(sink, monkeypatch, 3)
    shutil.copytree(out, tmp_path / "copy")
    fresh = FileSink(tmp_path / "copy", fsync=False)
    assert fresh.open() == Position({"n": 2})
    fresh.close()
    assert numbers(tmp_path / "copy" / "normal.jsonl") == [1, 2]


def test_a_checkpoint_of_an_earlier_version_is_read_and_cut_back_to(out, sink, again):
    commit(sink, 1, 2)
    sink.close()
    path = out / "checkpoint.json"
    written = json.loads(path.read_bytes())
    path.write_text(json.dumps({k: written[k] for k in ("position", "lengths", "replayed")}))
    with (out / "normal.jsonl").open("ab") as normal:
        normal.write(value(3))
    fresh = again()
    commit(fresh, 3)
    moved(out / "normal.jsonl")
    commit(fresh, 4)
    fresh.close()
    assert numbers(out / "normal.jsonl.1", out / "normal.jsonl") == [1, 2, 3, 4]


@pytest.mark.parametrize("what", ["directory", "pipe"])
def test_something_else_at_the_path_is_refused(out, sink, what):
    commit(sink, 1)
    path = out / "normal.jsonl"
    path.unlink()
    path.mkdir() if what == "directory" else os.mkfifo(path)
    with pytest.raises(ConfigError, match=r"directory|not a regular file"):
        commit(sink, 2)


def test_a_directory_that_is_gone_is_refused(out, sink):
    commit(sink, 1)
    out.rename(out.with_name("elsewhere"))
    with pytest.raises(ConfigError, match="No such file or directory"):
        commit(sink, 2)


def waiting(out):
    batches = FileOutputs(out).dead_letters(replayed=False)
    return [json.loads(record.value)["n"] for batch in batches for record in batch.records]


@pytest.mark.parametrize("rotate", WAYS)
@pytest.mark.parametrize("noticed", [True, False])
def test_dead_letters_that_were_rotated_away_still_wait_for_their_replay(
    out, sink, again, rotate, noticed
):
    commit(sink, 1, 2, topic=DEAD)
    rotate(out / "dead_letter.jsonl")
    assert waiting(out) == [1, 2]
    if noticed:
        commit(sink, 3, topic=DEAD)
        assert waiting(out) == [1, 2, 3]
    sink.close()
    replay = ReplaySink(out, fsync=False)
    replay.open()
    done = []
    for batch in FileOutputs(out).dead_letters(replayed=False):
        done += [json.loads(record.value)["n"] for record in batch.records]
        replay.commit([Outgoing(NORMAL, b"1")], Position(batch.position))
        if len(done) == 2:  # rotated again in mid-replay
            path = out / "dead_letter.jsonl"
            path.rename(out / "dead_letter.jsonl.2")
    replay.close()
    assert done == ([1, 2, 3] if noticed else [1, 2])
    assert waiting(out) == []
    fresh = again()
    commit(fresh, 4, topic=DEAD)
    fresh.close()
    assert waiting(out) == [4]


def test_dead_letters_that_are_gone_are_passed_over_with_a_warning(out, sink, capsys):
    commit(sink, 1, topic=DEAD)
    (out / "dead_letter.jsonl").unlink()
    commit(sink, 2, topic=DEAD)
    assert waiting(out) == [2]
    assert "dead_letters.gone" in capsys.readouterr().out


def test_what_was_replayed_is_not_remembered(out, sink):
    commit(sink, 1, topic=DEAD)
    sink.close()
    replay = ReplaySink(out, fsync=False)
    replay.open()
    for batch in FileOutputs(out).dead_letters(replayed=False):
        replay.commit([], Position(batch.position))
    moved(out / "dead_letter.jsonl")
    replay.commit([Outgoing(DEAD, value(2))], Position({"replayed": replay.last.replayed}))
    replay.close()
    assert replay.last.former == ()
    assert waiting(out) == [2]


def test_files_of_dead_letters_are_remembered_up_to_a_bound(out, sink, monkeypatch, capsys):
    monkeypatch.setattr(checkpoint, "MOST_FORMER", 2)
    for n in range(4):
        commit(sink, n, topic=DEAD)
        (out / "dead_letter.jsonl").rename(out / f"dead_letter.jsonl.{9 - n}")
    commit(sink, 4, topic=DEAD)
    assert waiting(out) == [2, 3, 4]
    assert capsys.readouterr().out.count("dead_letters.forgotten") == 2


class Watch(Stop):
    """Does something at each look instead of waiting, then stops."""

    def __init__(self, *steps):
        super().__init__()
        self.steps = list(steps)

    def wait(self, seconds):
        if not self.steps:
            self.request()
            return
        self.steps.pop(0)()


@pytest.mark.parametrize("rotate", WAYS)
def test_whoever_looks_in_sees_each_record_once_through_a_rotation(out, sink, rotate):
    commit(sink, 1)
    steps = [
        lambda: commit(sink, 2),
        lambda: rotate(out / "normal.jsonl"),
        lambda: None,
        lambda: commit(sink, 3, 4),
        lambda: commit(sink, 5),
    ]
    seen = [
        json.loads(record.value)["n"]
        for records in FileOutputs(out).follow(NORMAL, Watch(*steps))
        for record in records
    ]
    assert seen == [2, 3, 4, 5]


class Rotations(RuleBasedStateMachine):
    """Commits, rotations and crashes as they come; files that were rotated are kept in order."""

    @initialize()
    def begin(self):
        self.rotated = []
        self.out = Path(tempfile.mkdtemp(prefix="rotations"))
        self.lost = set()
        self.opened()

    def opened(self):
        self.sink = FileSink(self.out, (NORMAL,), fsync=False)
        position = self.sink.open()
        self.given = position.source["n"] if position else 0

    @property
    def path(self):
        return self.out / "normal.jsonl"

    def records(self, count):
        first = self.given
        return [Outgoing(NORMAL, value(n)) for n in range(first, first + count)]

    @rule(count=st.integers(0, 5))
    def commit(self, count):
        self.sink.commit(self.records(count), Position({"n": self.given + count}))
        self.given += count

    @rule(count=st.integers(1, 5), between=st.sampled_from(["moved", "created", None]))
    def crash_before_the_checkpoint(self, count, between):
        write = checkpoint.write
        position = Position({"n": self.given + count})

        def killed(directory, made, **options):
            if made.position == position:
                raise CrashError
            write(directory, made, **options)

        checkpoint.write = killed  # type: ignore[assignment]
        try:
            self.sink.commit(self.records(count), position)
        except CrashError:
            pass
        finally:
            checkpoint.write = write
        self.sink.close()
        if between:
            self.rename(create=between == "created")
        self.opened()

    @rule()
    def restart(self):
        self.sink.close()
        self.opened()

    @rule(create=st.booleans())
    def rename(self, create):
        if not self.path.exists():
            return
        rotated = self.out / f"normal.jsonl.{1000 + len(self.rotated)}"
        self.path.rename(rotated)
        self.rotated.append(rotated)
        if create:
            self.path.touch()

    @rule()
    def copy_and_truncate(self):
        if not self.path.exists():
            return
        rotated = self.out / f"normal.jsonl.{1000 + len(self.rotated)}"
        shutil.copy(self.path, rotated)
        os.truncate(self.path, 0)
        self.rotated.append(rotated)

    @precondition(lambda self: self.path.exists())
    @rule()
    def remove(self):
        self.lost |= set(numbers(self.path))
        self.path.unlink()

    @rule()
    def compress_the_oldest(self):
        if self.rotated and self.rotated[0].suffix != ".gz":
            plain = self.rotated[0]
            packed = plain.with_name(f"{plain.name}.gz")
            packed.write_bytes(gzip.compress(plain.read_bytes()))
            plain.unlink()
            self.rotated[0] = packed

    @invariant()
    def each_record_is_there_once_and_in_order(self):
        held = []
        for place in (*self.rotated, *([self.path] if self.path.exists() else [])):
            content = place.read_bytes()
            content = gzip.decompress(content) if place.suffix == ".gz" else content
            assert b"\0" not in content
            held += [json.loads(line)["n"] for line in content.splitlines()]
        assert held == [n for n in range(self.given) if n not in self.lost]

    def teardown(self):
        self.sink.close()
        shutil.rmtree(self.out)


Rotations.TestCase.settings = settings(
    max_examples=150,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestRotations = pytest.mark.slow(Rotations.TestCase)
