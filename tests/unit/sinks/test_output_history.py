"""The last outputs, found backwards from the end and in files that were rotated away."""

import bz2
import gzip
import io
import lzma
import os
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectd.pipeline.records import Outgoing, Position, Topic
from detectd.signals import Stop
from detectd.sinks import output_history
from detectd.sinks.file_reader import FileOutputs

ANOMALY = Topic.ANOMALY


def value(n):
    return b'{"n":%d,"padding":"%s"}' % (n, b"x" * (n % 7))


def values(records):
    return [record.value for record in records]


def commit(sink, *numbers):
    outgoing = [Outgoing(ANOMALY, value(n)) for n in numbers]
    sink.commit(outgoing, Position({"n": numbers[-1]}))


def pack(path, kind):
    """Compress a file as logrotate does, keeping its time."""
    if kind is None:
        return
    opener = {"gz": gzip, "bz2": bz2, "xz": lzma}[kind].open
    status, packed = path.stat(), path.with_name(f"{path.name}.{kind}")
    with opener(packed, "wb") as file:
        file.write(path.read_bytes())
    os.utime(packed, ns=(status.st_atime_ns, status.st_mtime_ns))
    path.unlink()


@given(st.lists(st.binary(max_size=9)), st.integers(1, 9), st.integers(1, 40))
def test_where_the_last_lines_begin_does_not_hang_on_the_blocks(texts, count, size):
    lines = [text.replace(b"\n", b"") + b"\n" for text in texts]
    content = b"".join(lines)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(output_history, "BLOCK", size)
        begin = output_history.begin_of_last(
            io.BytesIO(content + b"not committed"), count, len(content)
        )
    assert content[begin:] == b"".join(lines[-count:])


@pytest.mark.parametrize("kind", [None, "gz", "bz2", "xz"])
@pytest.mark.parametrize(
    "name", ["anomaly.jsonl.{}", "anomaly.jsonl-2026112{}", "anomaly-{}.jsonl"]
)
def test_the_last_are_found_beyond_a_rotation(out, sink, kind, name):
    for piece in range(3):
        commit(sink, *range(10 * piece, 10 * piece + 10))
        if piece < 2:
            moved = out / name.format(7 - piece)
            (out / "anomaly.jsonl").rename(moved)
            os.utime(moved, ns=(piece, piece))  # mtime, not the name, tells the order
            pack(moved, kind)
    commit(sink, 30)
    everything = [value(n) for n in range(31)]
    outputs = FileOutputs(out)
    for count in (1, 11, 12, 25, 31, 100):
        assert values(outputs.last(ANOMALY, count)) == everything[-count:]
    assert [v for batch in outputs.all(ANOMALY) for v in values(batch)] == everything


def test_what_is_not_committed_is_not_shown(out, sink):
    commit(sink, 1, 2)
    with (out / "anomaly.jsonl").open("ab") as file:
        file.write(value(3) + b"\nhalf")
    outputs = FileOutputs(out)
    assert values(outputs.last(ANOMALY, 5)) == [value(1), value(2)]
    assert [v for batch in outputs.all(ANOMALY) for v in values(batch)] == [value(1), value(2)]


def test_other_files_and_links_beside_the_outputs_are_none_of_theirs(out, sink, tmp_path):
    commit(sink, 1)
    for name in ("anomaly.jsonl.bak", "anomaly_report.jsonl", "anomaly.txt", "normal.jsonl.1"):
        (out / name).write_bytes(value(9) + b"\n")
    (tmp_path / "secret").write_bytes(b"secret\n")
    (out / "anomaly.jsonl.1").symlink_to(tmp_path / "secret")
    os.mkfifo(out / "anomaly.jsonl.2")
    assert values(FileOutputs(out).last(ANOMALY, 5)) == [value(1)]


def test_a_damaged_archive_is_said_and_passed_over(out, sink, capsys):
    commit(sink, 1)
    (out / "anomaly.jsonl.1.gz").write_bytes(gzip.compress(value(0) + b"\n")[:-9])
    assert values(FileOutputs(out).last(ANOMALY, 5))[-1] == value(1)
    assert "outputs.damaged" in capsys.readouterr().out


def test_following_begins_with_the_last_and_misses_none(out, sink):
    commit(sink, 1, 2, 3)
    follow = FileOutputs(out).follow(ANOMALY, Stop(), 2)
    assert values(next(follow)) == [value(2), value(3)]
    commit(sink, 4)
    assert values(next(follow)) == [value(4)]


def test_an_output_without_records_has_no_last(out, sink):
    commit(sink, 1)
    assert FileOutputs(out).last(Topic.ABSTAIN, 3) == []
    assert list(FileOutputs(out).all(Topic.ABSTAIN)) == []


@pytest.mark.parametrize("kind", [None, "gz"])
def test_a_rotated_line_is_named_by_the_byte_at_which_it_begins(tmp_path, kind):
    path = tmp_path / "anomaly.jsonl.1"
    path.write_bytes(b"one\nthree\nsix\n")
    pack(path, kind)
    place = path if kind is None else path.with_name(f"{path.name}.{kind}")
    names = [f"{place.name}@{at}" for at in (0, 4, 10)]
    assert [record.id for record in chain.from_iterable(output_history.everything(place))] == names
    assert [record.id for record in output_history.last(place, 2)] == names[1:]
