"""Dead letters as they are written, read again."""

from __future__ import annotations

import itertools
import json
import string
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectd.pipeline.dead_letters import Letter, dead_letter, grouped, pattern, read, too_large
from detectd.pipeline.decode import decode
from detectd.pipeline.records import Dialect, Record, RecordError, Stage, Topic
from detectd.pipeline.schema import Schema

DEFECT = RecordError(Stage.FEATURES, "feature 'b' is missing")


def written(record, defect=DEFECT, place="dead/0/7"):
    """What lies on the output once the record has died."""
    out = dead_letter(record, defect)
    return Record(place, out.value, out.key, out.headers, out.timestamp_ms, 0)


@given(
    st.builds(
        Record,
        id=st.text(min_size=1),
        value=st.binary(),
        key=st.none() | st.binary(),
        headers=st.lists(st.tuples(st.sampled_from("ab"), st.binary())).map(tuple),
        timestamp_ms=st.none() | st.integers(0, 2**40),
        columns=st.none() | st.just(("a", "b")),
    )
)
def test_the_record_comes_back_as_it_died(record):
    letter = read(written(record), record.columns)
    assert (letter.id, letter.stage, letter.error) == (record.id, "features", DEFECT.error)
    back = letter.record
    assert (back.id, back.value, back.key) == (record.id, record.value, record.key)
    assert (back.timestamp_ms, back.columns) == (record.timestamp_ms, record.columns)
    assert back.headers == (*record.headers, ("detectd-replayed", b"dead/0/7"))


def test_from_a_file_too_where_there_are_no_headers():
    value = dead_letter(Record("e/3/9", b"\xff", b"\xfe", (("h", b"1"),), 12), DEFECT).value
    back = read(Record("dead_letter.jsonl@0", value)).record
    assert (back.value, back.key, back.timestamp_ms) == (b"\xff", b"\xfe", 12)
    assert back.partition == 3


@pytest.mark.parametrize(
    ("id_", "partition"),
    [("events/3/9", 3), ("a/b/0/1", 0), ("events.jsonl:12", None), ("events#2.csv:1", None)],
)
def test_the_partition_is_in_the_id_where_the_source_has_some(id_, partition):
    assert read(written(Record(id_, b"x"))).record.partition == partition


def test_a_letter_that_dies_again_has_no_header_twice():
    once = read(written(Record("e/0/1", b"x", headers=(("h", b"1"),)), place="dead/0/1")).record
    again = read(written(once, place="dead/0/2")).record
    assert again.headers == (("h", b"1"), ("detectd-replayed", b"dead/0/2"))


def test_what_was_not_kept_whole_cannot_be_had_back():
    tombstone = read(written(Record("e/0/1", None)))
    assert (tombstone.record, tombstone.lacks) == (None, "its bytes were not kept")
    cut = read(written(Record("e:1", b"xx", dropped=3)))
    assert (cut.record, cut.lacks) == (None, "its bytes were truncated")
    record = Record("e/0/1", b"x" * 1000)
    limits = dict.fromkeys(Topic, 300)
    out = too_large(record, dead_letter(record, DEFECT), limits)
    assert read(Record("d/0/1", out.value)).lacks == "its bytes were not kept"


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"{}",
        b"nonsense",
        b"[1]",
        b'{"id": 1, "stage": "decode", "error": "", "raw": "", "raw_encoding": "utf-8"}',
        b'{"id": "1", "stage": "decode", "error": "", "raw": "!", "raw_encoding": "base64"}',
    ],
)
def test_what_is_no_dead_letter_is_told_and_left(value):
    letter = read(Record("dead/0/5", value))
    assert (letter.id, letter.stage, letter.record) == ("dead/0/5", "unknown", None)
    assert letter.error.startswith("not a dead letter: ")


def test_those_that_died_alike_are_one_group():
    schema = Schema(features=("a", "disk.0.busy"), max_record_bytes=40)
    values = [
        b"{", b'{"a', b"\xff\xff", b"a\xfe", b"[]",
        b'{"a": 1}', b'{"a": 2}', b'{"disk.0.busy": 2}',
        b'{"a": "x", "disk.0.busy": 1}', b'{"a": "y", "disk.0.busy": 1}',
        b"x" * 50, b"x" * 60,
    ]  # fmt: skip
    records = [Record(f"e:{i}", value) for i, value in enumerate(values)]
    dead = decode(records, schema).dead
    groups = grouped(read(written(records[i], dead[i])) for i in range(len(values)))
    found = {(group.error, group.count, group.first, group.last) for group in groups}
    assert {
        ("feature 'disk.0.busy' is missing", 2, "e:5", "e:6"),
        ("feature 'a' is missing", 1, "e:7", "e:7"),
        ("feature 'a' is text, not a number: …", 2, "e:8", "e:9"),
        ("not UTF-8: byte N: invalid start byte", 2, "e:2", "e:3"),
        ("N bytes, more than max_record_bytes = N", 2, "e:10", "e:11"),
        ("not a JSON object but an array", 1, "e:4", "e:4"),
    } <= found
    assert sum(group.count for group in groups) == sum(g.replayable for g in groups) == len(values)
    assert [group.count for group in groups] == sorted((g.count for g in groups), reverse=True)


def test_a_pattern_keeps_the_names_of_features():
    error = "feature 'cpu.7' is text, not a number: 'it''s 7'"
    assert pattern(error).startswith("feature 'cpu.7' is text, not a number: …")


def test_a_dead_letter_says_how_many_bytes_were_left_out():
    letter = json.loads(written(Record("e:1", b"xx", dropped=3)).value)
    assert letter["dropped"] == 3
    assert "dropped" not in json.loads(written(Record("e:1", b"xx")).value)


def test_a_row_is_read_again_in_the_dialect_of_its_source():
    dialect = Dialect(";", ",", "latin-1")
    record = Record("e:2", "1,5;K\xf6ln".encode("latin-1"), columns=("a", "ort"), dialect=dialect)
    letter = read(written(record), record.columns, dialect)
    decoded = decode([letter.record], Schema(("a",)))
    assert decoded.rows.tolist() == [[1.5]]


def letters_of(*errors):
    return [Letter(f"e:{n}", "decode", error, None) for n, error in enumerate(errors)]


@given(st.lists(st.sampled_from("abcdefgh"), max_size=80), st.integers(2, 6))
def test_the_groups_are_bounded_and_count_every_letter(errors, most):
    groups = grouped(letters_of(*errors), most)
    assert len(groups) <= most + 1
    assert sum(group.count for group in groups) == len(errors)
    assert [group.stage for group in groups[:-1]] == ["decode"] * (len(groups) - 1)
    if len(set(errors)) <= most:
        assert {group.error: group.count for group in groups} == Counter(errors)


def test_a_frequent_kind_is_not_hidden_behind_thousands_of_rare_ones():
    rare = ["rare " + "".join(word) for word in itertools.product(string.ascii_letters, repeat=2)]
    rare = [f"{each} {kind}" for each in rare[:1500] for kind in ("a", "b")]
    groups = grouped(letters_of(*rare[:1500], *["often"] * 20, *rare[1500:], *["often"] * 20))
    assert (groups[0].error, groups[0].count) == ("often", 40)
    assert len(groups) <= 1001
    assert groups[-1].stage == "other"
    assert sum(group.count for group in groups) == 3040


def test_no_text_of_a_letter_is_longer_than_a_table_bears():
    (group,) = grouped([Letter("i" * 10**6, "s" * 10**6, "e" * 10**6, None)])
    assert max(map(len, (group.stage, group.error, group.first, group.last))) == 501
