"""One case each of what happens to files under a reader, and what it says of it."""

import gzip
import hashlib
import json
import os
import time

import pytest
from structlog.testing import capture_logs

from detectd.errors import ConfigError
from detectd.sources.file import FileSource
from detectd.sources.losses import TRUNCATED, UNANSWERED


@pytest.fixture
def path(tmp_path):
    return tmp_path / "events.jsonl"


class Clock:
    now = 0.0

    def __call__(self):
        return self.now

    def wall(self):
        return time.time() + self.now


@pytest.fixture
def opened(path):
    """Open sources on the path; all are closed in the end."""
    sources = []

    def opened(position=None, place=path, **options):
        source = FileSource(
            place,
            **{"row_format": "json", "follow": True, "max_record_bytes": 1000} | options,
        )
        sources.append(source)
        source.start(position)
        return source

    yield opened
    for source in sources:
        source.close()


def values(source):
    return [record.value for record in source.read(1000, 0).records]


def append(path, content):
    with path.open("ab") as file:
        file.write(content)


def test_a_renamed_file_is_read_until_it_has_been_silent(path, opened):
    clock = Clock()
    path.write_bytes(b"1\n")
    source = opened(rotate_wait_seconds=5, clock=clock, wall=clock.wall)
    assert values(source) == [b"1"]
    clock.now = 1000  # A quiet log: the silence counts from the rotation.
    old = path.rename(path.with_name("events.jsonl.1"))
    path.write_bytes(b"new\n")
    assert values(source) == []
    clock.now += 4
    append(old, b"late, in two ")
    assert values(source) == []
    clock.now += 4
    append(old, b"pieces\n")
    assert values(source) == [b"late, in two pieces"]
    clock.now += 4.9
    assert values(source) == []
    clock.now += 0.2
    assert values(source) == [b"new"]


def test_a_crash_while_it_waits_loses_neither_file(path, opened):
    clock = Clock()
    path.write_bytes(b"1\n")
    source = opened(rotate_wait_seconds=5, clock=clock, wall=clock.wall)
    values(source)
    old = path.rename(path.with_name("somewhere else"))
    path.write_bytes(b"2\n")
    values(source)
    position = json.loads(json.dumps(source.read(10, 0).position))
    path.rename(path.with_name("and another"))  # No name says which was first.
    path.write_bytes(b"3\n")
    append(old, b"late\n")
    again = opened(position, rotate_wait_seconds=5, clock=clock, wall=clock.wall)
    assert values(again) == [b"late"]
    clock.now += 6
    assert values(again) == [b"2", b"3"]


def test_several_rotations_during_the_wait_leave_nothing_out(path, opened):
    clock = Clock()
    path.write_bytes(b"1\n")
    source = opened(rotate_wait_seconds=5, clock=clock, wall=clock.wall)
    values(source)
    for n in range(2, 6):
        path.rename(path.with_name("gone"))
        path.write_bytes(b"%d\n" % n)
        assert values(source) == []
        path.with_name("gone").unlink()
    clock.now += 6
    assert values(source) == [b"2", b"3", b"4", b"5"]
    assert source.take_losses().times == 0


def test_what_is_written_too_late_is_said(path, opened):
    path.write_bytes(b"1\n")
    source = opened()
    values(source)
    old = path.rename(path.with_name("events.jsonl.1"))
    path.write_bytes(b"2\n")
    assert values(source) == [b"2"]
    append(old, b"too late\n")
    with capture_logs() as logs:
        values(source)
        values(source)
    (lost,) = [entry for entry in logs if entry["event"] == "source.lost"]
    assert (lost["bytes"], "rotate_wait_seconds" in lost["hint"]) == (9, True)
    assert tuple(source.take_losses()) == (1, 9, 0)
    assert tuple(source.take_losses()) == (0, 0, 0)


@pytest.mark.parametrize("header", [10, 1000, 5000])
def test_a_common_header_does_not_make_two_files_one(path, opened, header):
    columns = "a," + "x" * header
    path.write_text(f"{columns}\n1,1\n2,2\n")
    source = opened(row_format="csv", max_record_bytes=100_000)
    _, position = values(source), source.read(1, 0).position
    source.close()
    path.with_name("events.jsonl.1").write_bytes(path.read_bytes())
    path.write_text(f"{columns}\n3,3\n4,4\n5,5\n")  # The same inode, as copytruncate leaves it.
    again = opened(position, row_format="csv", max_record_bytes=100_000)
    assert values(again) == [b"3,3", b"4,4", b"5,5"]
    assert again.take_losses().times == 0


ENDINGS = {
    "gone": lambda path: path.unlink(),
    "truncated": lambda path: os.truncate(path, 0),
    "another": lambda path: path.write_bytes(b"something else entirely, and longer\n"),
}


@pytest.mark.parametrize("end", ENDINGS.values(), ids=ENDINGS)
def test_what_cannot_be_found_is_said_with_its_bytes(path, opened, end):
    path.write_bytes(b"1\n2\n3\n")
    source = opened()
    source.read(1, 0)
    position = source.read(1, 0).position
    source.close()
    end(path)
    with capture_logs() as logs:
        again = opened(position)
    (lost,) = [entry for entry in logs if entry["event"] == "source.lost"]
    assert (lost["line"], lost["bytes"], lost["log_level"]) == (2, 2, "error")
    assert tuple(again.take_losses()) == (1, 2, 0)


@pytest.mark.parametrize("end", ENDINGS.values(), ids=ENDINGS)
def test_what_was_lost_belongs_to_each_batch_until_one_is_committed(path, opened, end):
    path.write_bytes(b"1\n2\n3\n")
    source = opened()
    position = source.read(2, 0).position
    source.close()
    end(path)
    found = []
    for _ in range(2):  # As if the first process had died before its commit.
        again = opened(position)
        batch = again.read(10, 0)
        again.rewind()
        found += [batch.gaps, again.read(10, 0).gaps]
    (lost,) = found[0]
    assert (lost.file, lost.line, lost.size) == ("events.jsonl", 2, 2)
    assert found == [[lost]] * 4
    again.acknowledge(batch.position)
    assert again.read(10, 0).gaps == []
    assert opened(batch.position).read(10, 0).gaps == []


def test_reading_again_what_was_truncated_finds_no_other_gap(path, opened):
    path.write_bytes(b"1\n" * 200_000)
    source = opened(batch_bytes=1 << 30)
    source.acknowledge(source.read(2, 0).position)
    source.read(1, 0)
    path.write_bytes(b"new\n")
    source.read(1_000_000, 0)
    found = []
    for _ in range(2):
        source.rewind()
        found.append([(part.line, part.reason) for part in source.read(10, 0).gaps])
    assert found[0] == found[1]
    assert {reason for _, reason in found[0]} == {TRUNCATED.reason, UNANSWERED.reason}
    assert len(found[0]) == 2


def test_files_that_came_next_and_are_gone_are_a_gap_each(path, opened):
    clock = Clock()
    path.write_bytes(b"1\n")
    source = opened(rotate_wait_seconds=5, clock=clock, wall=clock.wall)
    values(source)
    for n in range(2, 5):
        path.rename(path.with_name("events.jsonl.1" if n == 2 else "gone"))
        path.write_bytes(b"%d\n" % n)
        position = source.read(10, 0).position
    path.with_name("gone").unlink()
    source.close()
    gone = opened(position, rotate_wait_seconds=5, clock=clock, wall=clock.wall).read(10, 0).gaps
    assert [(part.line, part.size) for part in gone] == [(1, None)] * 2
    assert len({part.seen for part in gone}) == 2


def test_what_comes_too_late_twice_is_two_gaps(path, opened):
    path.write_bytes(b"1\n")
    source = opened()
    values(source)
    old = path.rename(path.with_name("events.jsonl.1"))
    path.write_bytes(b"2\n")
    values(source)
    late = []
    for _ in range(2):
        append(old, b"too late\n")
        batch = source.read(10, 0)
        source.acknowledge(batch.position)
        late += batch.gaps
    assert [(part.line, part.size) for part in late] == [(1, 9)] * 2
    assert late[0].seen != late[1].seen


def test_of_what_a_running_reader_lost_it_says_what_it_saw(path, opened):
    path.write_bytes(b"1\n" * 200_000)
    source = opened(batch_bytes=1 << 30)
    source.read(1, 0)
    path.write_bytes(b"new\n")
    with capture_logs() as logs:
        assert source.read(1_000_000, 0).records[-1].value == b"new"
    (lost,) = [entry for entry in logs if entry["event"] == "source.lost"]
    assert lost["bytes"] == 400_000 - (1 << 18)


def test_a_position_of_an_earlier_version_is_read(path, opened):
    path.write_bytes(b"1\n2\n")
    status = path.stat()
    position = {
        "path": str(path),
        "offset": 2,
        "line": 1,
        "generation": 3,
        "identity": {
            "device": status.st_dev,
            "inode": status.st_ino,
            "head_size": 4,
            "head": hashlib.sha256(b"1\n2\n").hexdigest(),
        },
    }
    path.rename(path.with_name("events.jsonl.1"))
    path.write_bytes(b"3\n")
    records = opened(position).read(9, 0).records
    ids = ["events.jsonl#3:2", "events.jsonl#4:1"]
    assert [(record.id, record.value) for record in records] == list(
        zip(ids, [b"2", b"3"], strict=True)
    )
    path.with_name("events.jsonl.1").unlink()
    path.with_name("events.jsonl.1.gz").write_bytes(gzip.compress(b"1\n2\n"))
    assert values(opened(position)) == [b"2", b"3"]


def test_what_was_held_back_is_read_again_after_rotations(path, opened):
    path.write_bytes(b"1\n")
    source = opened()
    for n in range(2, 5):
        values(source)
        path.rename(path.with_name("gone"))
        path.write_bytes(b"%d\n" % n)
        assert values(source) == [b"%d" % n]
        path.with_name("gone").unlink()
    ids = [f"events.jsonl{g}:1" for g in ("", "#1", "#2", "#3")]
    for _ in range(2):
        source.rewind()
        assert [record.id for record in source.read(9, 0).records] == ids
    assert source.take_losses().times == 0


def test_the_origin_is_found_again_after_a_rotation(path, opened):
    source = opened()
    path.write_bytes(b"1\n" * 100)
    values(source)
    path.rename(path.with_name("events.jsonl.1"))
    path.write_bytes(b"2\n")
    values(source)
    origin = json.loads(json.dumps(source.origin()))
    source.close()
    packed = path.with_name("events.jsonl.1.gz")
    packed.write_bytes(gzip.compress(path.with_name("events.jsonl.1").read_bytes()))
    path.with_name("events.jsonl.1").unlink()
    assert values(opened(origin)) == [b"1"] * 100 + [b"2"]


def test_files_that_a_link_stood_for_are_read_in_order(tmp_path, opened):
    link = tmp_path / "current"
    (tmp_path / "data").mkdir()
    days = [tmp_path / "data" / f"day-{n}.jsonl" for n in (9, 10, 11)]
    days[0].write_bytes(b"9\n")
    link.symlink_to(days[0])
    source = opened(place=link)
    _, position = values(source), source.read(1, 0).position
    source.close()
    append(days[0], b"9, later\n")
    days[1].write_bytes(b"10\n")
    days[2].write_bytes(b"11\n")
    link.unlink()
    link.symlink_to(days[2])
    assert values(opened(position, place=link)) == [b"9, later", b"10", b"11"]


# Records and holes

HOLE = bytes(1_000_000)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (HOLE + b"1\n2\n", [b"1", b"2"]),
        (b"1\n" + HOLE + b"2\n", [b"1", b"2"]),
        (b"1\nha" + HOLE + b"2\n" + HOLE + b"3\n", [b"1", b"ha", b"2", b"3"]),
        (b"1\n" + HOLE, [b"1"]),
        ("1\n2\n".encode("utf-16-le"), [b"1\0", b"\0002\0", b"\0"]),
    ],
)
def test_a_hole_holds_no_record_and_hides_none(path, opened, content, expected):
    path.write_bytes(content)
    source = opened(follow=False)
    with capture_logs() as logs:
        assert values(source) == expected
    holes = [entry["bytes"] for entry in logs if entry["event"] == "source.nul_hole"]
    assert holes == [len(HOLE)] * content.count(HOLE)
    assert source.take_losses().nul_bytes == sum(holes)
    # From every position the rest is the same.
    one_by_one, position = [], None
    for _ in expected:
        again = opened(position, follow=False)
        batch = again.read(1, 0)
        again.close()
        one_by_one += [record.value for record in batch.records]
        position = batch.position
    assert one_by_one == expected


@pytest.mark.parametrize("last", [b'{"a": 1}', b'{"a": '])
def test_of_half_a_last_line_it_is_said_that_it_was_cut_off(path, opened, last):
    path.write_bytes(b'{"a": 0}\n' + last)
    with capture_logs() as logs:
        assert values(opened(follow=False)) == [b'{"a": 0}', last]
    said = [entry["id"] for entry in logs if entry["event"] == "source.half_line"]
    assert said == ([] if last.endswith(b"}") else ["events.jsonl:2"])


# What lies at the path


@pytest.mark.parametrize("follow", [True, False])
@pytest.mark.parametrize(("make", "kind"), [(os.mkfifo, "named pipe"), (os.mkdir, "directory")])
def test_what_is_no_file_is_refused_at_once(path, opened, make, kind, follow):
    make(path)
    with pytest.raises(ConfigError, match=f"is a {kind}, not a file"):
        opened(follow=follow)


def test_a_pipe_at_the_path_of_a_rotated_file_is_waited_out(path, opened):
    path.write_bytes(b"1\n")
    source = opened()
    values(source)
    path.unlink()
    os.mkfifo(path)
    assert values(source) == []
    path.unlink()
    path.write_bytes(b"2\n")
    assert values(source) == [b"2"]
