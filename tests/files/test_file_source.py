import gzip
import os

import pytest

from detectd.errors import ConfigError, DetectdError
from detectd.sources.file import FileSource


@pytest.fixture
def path(tmp_path):
    return tmp_path / "events.jsonl"


def open_source(path, position=None, follow=True, row_format="json", limit=1000):
    source = FileSource(path, row_format=row_format, follow=follow, max_record_bytes=limit)
    source.start(position)
    return source


def values(source, wait=0.2):
    """Everything that is there, and the last position."""
    batch = source.read(1000, wait)
    return [record.value for record in batch.records], batch.position


def ids(batch):
    return [record.id for record in batch.records]


def test_a_followed_file_gives_what_is_appended_and_waits_for_line_ends(path):
    path.write_bytes(b"1\n2")
    source = open_source(path)
    assert values(source)[0] == [b"1"]
    with path.open("ab") as file:
        file.write(b"2\n3\n")
    assert values(source)[0] == [b"22", b"3"]
    source.close()


def test_a_followed_file_may_come_into_being_later(path):
    source = open_source(path)
    assert values(source)[0] == []
    path.write_bytes(b"1\n")
    assert values(source)[0] == [b"1"]
    source.close()


def test_a_rotated_file_is_finished_and_the_new_one_begun(path):
    path.write_bytes(b"1\n2")
    source = open_source(path)
    values(source)
    path.rename(path.with_name("events.jsonl.1"))
    with path.with_name("events.jsonl.1").open("ab") as late:
        late.write(b"2\nlast")
    path.write_bytes(b"new\n")
    batch = source.read(1000, 0.5)
    assert [record.value for record in batch.records] == [b"22", b"last", b"new"]
    assert ids(batch) == ["events.jsonl:2", "events.jsonl:3", "events.jsonl#1:1"]
    source.close()


@pytest.mark.parametrize("content", [b"x\n", b"longer than before\n" * 9])
def test_a_truncated_file_is_begun_anew(path, content):
    path.write_bytes(b"1\n2\n")
    source = open_source(path)
    values(source)
    path.write_bytes(content)  # The same inode, as copytruncate leaves it.
    batch = source.read(1000, 0.5)
    assert b"".join(record.value + b"\n" for record in batch.records) == content
    assert batch.records[0].id == "events.jsonl#1:1"
    source.close()


def test_a_restart_finds_the_rotated_file_finishes_it_and_goes_on(path):
    path.write_bytes(b"1\n2\n")
    source = open_source(path)
    _, position = values(source)
    source.close()
    with path.open("ab") as file:
        file.write(b"3\n")
    path.rename(path.with_name("events.jsonl.1"))
    path.write_bytes(b"new\n")
    again = open_source(path, position)
    batch = again.read(1000, 0.5)
    assert ids(batch) == ["events.jsonl:3", "events.jsonl#1:1"]
    again.close()
    once_more = open_source(path, batch.position)
    assert values(once_more)[0] == []
    once_more.close()


def test_a_restart_after_the_old_file_is_gone_begins_the_new_one(path):
    path.write_bytes(b"1\n2\n")
    source = open_source(path)
    _, position = values(source)
    source.close()
    path.unlink()
    path.write_bytes(b"other\n")
    again = open_source(path, position)
    assert ids(again.read(10, 0.2)) == ["events.jsonl#1:1"]
    again.close()


def test_a_restart_before_the_file_is_there_waits_for_it(path):
    source = open_source(path)
    _, position = values(source)
    source.close()
    path.write_bytes(b"1\n")
    again = open_source(path, position)
    assert ids(again.read(10, 0.2)) == ["events.jsonl:1"]
    again.close()


def test_another_file_or_another_content_is_refused_where_it_is_not_followed(path):
    path.write_bytes(b"1\n2\n")
    source = open_source(path, follow=False)
    _, position = values(source)
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
    with pytest.raises(ConfigError, match="no CSV header"):
        source.read(10, 0)
    source.close()


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


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_is_named(path):
    path.write_bytes(b"1\n")
    path.chmod(0)
    with pytest.raises(ConfigError, match="cannot be read"):
        open_source(path, follow=False)
