import gzip
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from detectd.errors import ConfigError, DetectdError
from detectd.sources import reader
from detectd.sources.file import FileSource
from detectd.sources.header import CsvFormat


@pytest.fixture
def path(tmp_path):
    return tmp_path / "events.jsonl"


def open_source(path, position=None, follow=True, row_format="json", limit=1000, csv=None):
    source = FileSource(path, row_format=row_format, follow=follow, max_record_bytes=limit, csv=csv)
    source.start(position)
    return source


# How long to wait for what is there, in seconds; a read ends when it has it.
PATIENCE = 10.0
# How long to look for what is not there.
A_WHILE = 0.2


def values(source, count):
    """So many values that are there, and the position behind them."""
    batch = source.read(count or 1, PATIENCE if count else A_WHILE)
    return [record.value for record in batch.records], batch.position


def ids(batch):
    return [record.id for record in batch.records]


def test_a_followed_file_gives_what_is_appended_and_waits_for_line_ends(path):
    path.write_bytes(b"1\n2")
    source = open_source(path)
    assert values(source, 1)[0] == [b"1"]
    with path.open("ab") as file:
        file.write(b"2\n3\n")
    assert values(source, 2)[0] == [b"22", b"3"]
    source.close()


def test_a_followed_file_may_come_into_being_later(path):
    source = open_source(path)
    assert values(source, 0)[0] == []
    path.write_bytes(b"1\n")
    assert values(source, 1)[0] == [b"1"]
    source.close()


def test_a_rotated_file_is_finished_and_the_new_one_begun(path):
    path.write_bytes(b"1\n2")
    source = open_source(path)
    values(source, 1)
    path.rename(path.with_name("events.jsonl.1"))
    with path.with_name("events.jsonl.1").open("ab") as late:
        late.write(b"2\nlast")
    path.write_bytes(b"new\n")
    batch = source.read(3, PATIENCE)
    assert [record.value for record in batch.records] == [b"22", b"last", b"new"]
    assert ids(batch) == ["events.jsonl:2", "events.jsonl:3", "events.jsonl#1:1"]
    source.close()


@pytest.mark.parametrize("content", [b"x\n", b"longer than before\n" * 9])
def test_a_truncated_file_is_begun_anew(path, content):
    path.write_bytes(b"1\n2\n")
    source = open_source(path)
    values(source, 2)
    path.write_bytes(content)  # The same inode, as copytruncate leaves it.
    batch = source.read(content.count(b"\n"), PATIENCE)
    assert b"".join(record.value + b"\n" for record in batch.records) == content
    assert batch.records[0].id == "events.jsonl#1:1"
    source.close()


def test_a_restart_finds_the_rotated_file_finishes_it_and_goes_on(path):
    path.write_bytes(b"1\n2\n")
    source = open_source(path)
    _, position = values(source, 2)
    source.close()
    with path.open("ab") as file:
        file.write(b"3\n")
    path.rename(path.with_name("events.jsonl.1"))
    path.write_bytes(b"new\n")
    again = open_source(path, position)
    batch = again.read(2, PATIENCE)
    assert ids(batch) == ["events.jsonl:3", "events.jsonl#1:1"]
    again.close()
    once_more = open_source(path, batch.position)
    assert values(once_more, 0)[0] == []
    once_more.close()


def test_a_restart_after_the_old_file_is_gone_begins_the_new_one(path):
    path.write_bytes(b"1\n2\n")
    source = open_source(path)
    _, position = values(source, 2)
    source.close()
    path.unlink()
    path.write_bytes(b"other\n")
    again = open_source(path, position)
    assert ids(again.read(1, PATIENCE)) == ["events.jsonl#1:1"]
    again.close()


def test_a_restart_before_the_file_is_there_waits_for_it(path):
    source = open_source(path)
    _, position = values(source, 0)
    source.close()
    path.write_bytes(b"1\n")
    again = open_source(path, position)
    assert ids(again.read(1, PATIENCE)) == ["events.jsonl:1"]
    again.close()


def test_another_file_or_another_content_is_refused_where_it_is_not_followed(path):
    path.write_bytes(b"1\n2\n")
    source = open_source(path, follow=False)
    _, position = values(source, 2)
    source.close()
    other = path.with_name("other.jsonl")
    other.write_bytes(b"1\n2\n")
    with pytest.raises(ConfigError, match=r"not the file whose outputs"):
        open_source(other, position, follow=False)
    for content in (b"1\n", b"x\n2\n3\n"):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=r"replaced or cut"):
            open_source(path, position, follow=False)


def test_a_csv_header_is_known_in_the_middle_of_the_file(path):
    path.write_bytes(b'a,"b ""q"""\n1,2\n3,4\n')
    source = open_source(path, follow=False, row_format="csv")
    first = source.read(1, 0)
    source.close()
    again = open_source(path, first.position, follow=False, row_format="csv")
    second = again.read(1, 0)
    assert second.records[0].columns == first.records[0].columns == ("a", 'b "q"')
    assert ids(second) == ["events.jsonl:3"]
    again.close()


@pytest.mark.parametrize("head", [b"\n", b"a,a\n", b"\xff,b\n", b'"a\n'])
def test_a_first_line_that_is_no_header_is_refused(path, head):
    path.write_bytes(head + b"1,2\n")
    source = open_source(path, follow=False, row_format="csv")
    with pytest.raises(ConfigError, match="not a CSV header"):
        source.read(10, 0)
    source.close()


CPU = CsvFormat(features=("cpu",))


def cpu_rows(batch):
    return [
        dict(zip(record.columns, record.value.split(b";"), strict=True))["cpu"]
        for record in batch.records
    ]


def truncate(path, content):
    path.write_bytes(content)


def rotate(path, content):
    path.rename(path.with_name(f"{path.name}.1"))
    path.write_bytes(content)


@pytest.mark.parametrize("move", [truncate, rotate])
@pytest.mark.parametrize("stops", [False, True], ids=["running", "over a restart"])
@pytest.mark.parametrize("names", [["n", "cpu"], ["cpu", *(f"column_{n}" for n in range(80))]])
def test_a_header_outlives_the_file_that_had_it(path, move, stops, names):
    """A writer that writes its header once, and a log that is rotated away under it."""

    def row(value):
        return ";".join(value if name == "cpu" else "0" for name in names).encode()

    path.write_bytes(";".join(names).encode() + b"\n" + row("40") + b"\n" + row("41") + b"\n")
    source = open_source(path, row_format="csv", csv=CPU)
    first = source.read(2, PATIENCE)
    assert cpu_rows(first) == [b"40", b"41"]
    if stops:
        source.close()
    move(path, row("42") + b"\n")
    if stops:
        source = open_source(path, first.position, row_format="csv", csv=CPU)
    second = source.read(1, PATIENCE)
    assert cpu_rows(second) == [b"42"]
    assert ids(second) == ["events.jsonl#1:1"]
    if stops:  # Once more, in the middle of the file without a header.
        source.close()
        with path.open("ab") as file:
            file.write(row("43") + b"\n")
        source = open_source(path, second.position, row_format="csv", csv=CPU)
        assert cpu_rows(source.read(1, PATIENCE)) == [b"43"]
    move(path, b"new;cpu\n5;44\n")
    assert cpu_rows(source.read(1, PATIENCE)) == [b"44"]
    source.close()


def test_a_position_without_a_header_is_read_with_the_files(path):
    path.write_bytes(b"n;cpu\n1;40\n2;41\n")
    source = open_source(path, follow=False, row_format="csv", csv=CPU)
    position = source.read(1, 0).position
    source.close()
    del position["header"]
    again = open_source(path, position, follow=False, row_format="csv", csv=CPU)
    assert cpu_rows(again.read(9, 0)) == [b"41"]
    again.close()


def test_other_features_than_the_header_has_are_refused_in_the_middle_of_the_file_too(path):
    path.write_bytes(b"n;cpu\n1;40\n2;41\n")
    source = open_source(path, follow=False, row_format="csv", csv=CPU)
    position = source.read(1, 0).position
    source.close()
    csv = CsvFormat(features=("cpus",))
    again = FileSource(path, row_format="csv", follow=True, max_record_bytes=1000, csv=csv)
    with pytest.raises(ConfigError, match=r"no column 'cpus'.*did you mean 'cpu'"):
        again.start(position)
    again.close()


def test_a_followed_file_does_not_wait_for_a_quote_for_ever(path, monkeypatch):
    monkeypatch.setattr(reader, "QUOTE_SECONDS", 0.0)
    path.write_bytes(b'n;cpu\n1;"40\n2;41\n')
    source = open_source(path, row_format="csv", csv=CPU)
    batch = source.read(2, 60)
    assert [record.value for record in batch.records] == [b'1;"40', b"2;41"]
    source.close()
    again = open_source(path, batch.position, row_format="csv", csv=CPU)
    assert again.read(9, 0).records == []
    again.close()


def test_a_damaged_gzip_stops_with_the_line(tmp_path):
    path = tmp_path / "events.jsonl.gz"
    whole = gzip.compress(b"1\n" * 100_000)
    path.write_bytes(whole[: len(whole) // 2])
    source = open_source(path, follow=False)
    with pytest.raises(DetectdError, match="damaged gzip"):
        source.read(200_000, 0)
    source.close()


def test_progress_reaches_one(path):
    path.write_bytes(b"1\n" * 10)
    source = open_source(path, follow=False)
    source.read(5, 0)
    assert source.progress() == 0.5
    source.read(50, 0)
    assert source.progress() == 1
    source.close()


def test_a_header_without_line_end_is_known_again(path):
    path.write_bytes(b"a,b")
    source = open_source(path, follow=False, row_format="csv")
    batch = source.read(10, 0)
    source.close()
    assert (batch.records, batch.ended) == ([], True)
    again = open_source(path, batch.position, follow=False, row_format="csv")
    assert again.read(10, 0) == batch
    again.close()


def test_line_ends_and_a_byte_order_mark_are_no_part_of_a_record(path):
    path.write_bytes(b"\xef\xbb\xbf1\r\n\r\n\n2")
    source = open_source(path, follow=False)
    batch = source.read(10, 0)
    assert [record.value for record in batch.records] == [b"1", b"", b"", b"2"]
    assert ids(batch) == [f"events.jsonl:{line}" for line in (1, 2, 3, 4)]
    source.close()


def test_a_huge_line_is_kept_in_part_and_counted_in_full(path):
    path.write_bytes(b"x" * 3_000_000 + b"\n2\n")
    source = open_source(path, follow=False, limit=1000)
    huge, small = source.read(10, 0).records
    assert (huge.value, huge.dropped) == (b"x" * 16_000, 2_984_000)
    assert (small.value, small.dropped, small.id) == (b"2", 0, "events.jsonl:2")
    source.close()


def test_a_row_over_several_lines_is_one_record_where_it_starts(path):
    path.write_bytes(b'a,b\n1,"x\ny"\n2,z\n')
    source = open_source(path, follow=False, row_format="csv")
    batch = source.read(10, 0)
    assert [record.value for record in batch.records] == [b'1,"x\ny"', b"2,z"]
    assert ids(batch) == ["events.jsonl:2", "events.jsonl:4"]
    source.close()


ROTATED = {
    "numbered": (".3", ".2", ".1"),
    "dated": ("-20261121", "-20261122", "-20261123"),
}


@pytest.mark.parametrize("suffixes", ROTATED.values(), ids=ROTATED)
def test_after_several_rotations_no_file_is_left_out(path, suffixes):
    path.write_bytes(b"1\n2\n")
    source = open_source(path)
    first = source.read(1, 0.2)
    source.close()
    path.rename(f"{path}{suffixes[0]}")
    for n, suffix in enumerate(suffixes[1:]):
        path.with_name(path.name + suffix).write_bytes(b"between %d\n" % n)
    for stranger in (".4", "-20261120", ".bak", ".1.gz", "x.1"):
        path.with_name(path.name + stranger).write_bytes(b"read already, or never to be read\n")
    path.write_bytes(b"new\n")
    expected = [b"2", b"between 0", b"between 1", b"new"]
    # In one go, and stopped after each record.
    source = open_source(path, first.position)
    batch = source.read(4, 5)
    source.close()
    assert [record.value for record in batch.records] == expected
    position, one_by_one = first.position, []
    for _ in expected:
        source = open_source(path, position)
        batch = source.read(1, 5)
        source.close()
        position = batch.position
        one_by_one += [record.value for record in batch.records]
    assert one_by_one == expected


def test_a_file_that_was_empty_at_the_stop_is_found_after_its_rotation(path):
    path.touch()
    source = open_source(path)
    _, position = values(source, 0)
    source.close()
    path.write_bytes(b"old\n")
    path.rename(path.with_name("events.jsonl.1"))
    path.write_bytes(b"new\n")
    again = open_source(path, position)
    assert values(again, 2)[0] == [b"old", b"new"]
    again.close()


def test_a_truncation_is_seen_where_only_a_partial_line_was_read(path):
    path.write_bytes(b"half a li")
    source = open_source(path)
    assert values(source, 0)[0] == []
    path.write_bytes(b"another line, and longer\n")
    assert values(source, 2)[0] == [b"half a li", b"another line, and longer"]
    source.close()


def test_a_path_that_holds_no_file_for_now_does_not_end_the_reading(path):
    path.write_bytes(b"1\n")
    source = open_source(path)
    values(source, 1)
    path.rename(path.with_name("events.jsonl.1"))
    path.mkdir()  # As little readable as a file that is not handed over yet, for root too.
    assert values(source, 0)[0] == []
    path.rmdir()
    path.write_bytes(b"new\n")
    assert values(source, 1)[0] == [b"new"]
    source.close()


@pytest.mark.parametrize("change", [lambda old: old[: len(old) // 2], lambda _: b"plain\n"])
def test_a_gzip_that_was_damaged_since_is_refused(tmp_path, change):
    path = tmp_path / "events.jsonl.gz"
    path.write_bytes(gzip.compress(random.Random(3).randbytes(50_000).hex().encode() + b"\n1\n"))
    source = open_source(path, follow=False)
    position = source.read(1, 0).position
    source.close()
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ConfigError, match="replaced or cut"):
        open_source(path, position, follow=False)


def test_a_gzip_that_has_become_shorter_is_refused(tmp_path):
    path = tmp_path / "events.jsonl.gz"
    path.write_bytes(gzip.compress(b"1234567\n" * 1000))
    source = open_source(path, follow=False)
    position = source.read(900, 0).position
    source.close()
    path.write_bytes(gzip.compress(b"1234567\n" * 500))
    with pytest.raises(ConfigError, match="replaced or cut"):
        open_source(path, position, follow=False)


@pytest.mark.parametrize("follow", [True, False])
def test_the_position_of_another_kind_of_source_is_refused(path, follow):
    path.write_bytes(b"1\n")
    with pytest.raises(ConfigError, match="another kind of source"):
        open_source(path, {"line": 3}, follow=follow)


UNREADABLE = """
import os, sys
from pathlib import Path
from detectd.errors import ConfigError
from detectd.sources.file import FileSource
os.setgid(65534)
os.setuid(65534)
for follow in (False, True):
    source = FileSource(
        Path(sys.argv[1]), row_format="json", follow=follow, max_record_bytes=1000
    )
    try:
        source.start(None)
    except ConfigError as refused:
        print(refused)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("closed", ["file", "directory"])
def test_what_this_user_may_not_read_is_named(closed):
    # Not under tmp_path, which other users cannot enter.
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        path = directory / "events.jsonl"
        path.write_bytes(b"1\n")
        path.chmod(0o600 if closed == "file" else 0o644)
        directory.chmod(0o700 if closed == "directory" else 0o755)
        done = subprocess.run(
            [sys.executable, "-c", UNREADABLE, path], capture_output=True, text=True
        )
    refusal = f"source.path: {path} cannot be read: Permission denied"
    assert [line.startswith(refusal) for line in done.stdout.splitlines()] == [True, True], done


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_is_named(path):
    path.write_bytes(b"1\n")
    path.chmod(0)
    with pytest.raises(ConfigError, match="cannot be read"):
        open_source(path, follow=False)
