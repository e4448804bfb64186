"""What records are taken to occupy, and that what grows with them is bounded."""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectd.features.key_changes import RowsByName
from detectd.features.key_rows import HEADER_WORDS
from detectd.features.key_table import KeyTable
from detectd.kafka.headers import left_out, passed_on
from detectd.pipeline import explain, json_pieces, memory_budget
from detectd.pipeline.dead_letters import dead_letter
from detectd.pipeline.decode import decode
from detectd.pipeline.field_watch import FieldWatch
from detectd.pipeline.formats import fields_of
from detectd.pipeline.nesting import depth
from detectd.pipeline.records import Record, RecordError, Stage
from detectd.pipeline.schema import Schema
from detectd.pipeline.scoring import collect_vectors
from detectd.pipeline.vectors import vectors
from detectd.service import key_frames
from detectd.sources.header import CsvFormat, find_header
from detectd.sources.kafka import KafkaSource
from detectd.sources.reader import Reader

MIB = 1 << 20
SOME = MIB // 8
SCHEMA = Schema(features=("a",), key=("k",), missing="dead_letter", max_record_bytes=16 * MIB)
WIDE = tuple(f"{place:0>40}" for place in range(500))


def held(make):
    """What `make` returns, the bytes that it occupies, and those that it took to make it."""
    gc.collect()
    tracemalloc.start()
    try:
        made = make()
        gc.collect()
        now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return made, now, peak


def records(kind):
    """Records that occupy far more than their bytes, each kind in its way."""
    return {
        "empty lines": lambda: [Record(f"e:{n}", b"") for n in range(500)],
        "small events": lambda: [Record(f"e:{n}", b'{"a":1}') for n in range(500)],
        "large keys": lambda: [
            Record(f"e:{n}", b'{"a":1}', b"%07d" % n * 20_000) for n in range(9)
        ],
        "headers": lambda: [
            Record(f"e:{n}", b'{"a":1}', headers=tuple((f"h{i}", b"") for i in range(900)))
            for n in range(5)
        ],
        "control characters": lambda: [Record(f"e:{n}", b"\x01" * MIB) for n in range(3)],
        "ten thousand fields": lambda: [
            Record(f"e:{n}", b"{%b}" % b",".join(b'"f%d":1' % i for i in range(10_000)))
            for n in range(10)
        ],
        "nothing but commas": lambda: [
            Record(f"e:{n}", b"," * 499, columns=WIDE) for n in range(100)
        ],
        "wide rows": lambda: [
            Record(f"e:{n}", b",".join([b"1"] * 501), columns=(*WIDE, "a")) for n in range(100)
        ],
    }[kind]()


KINDS = [
    "empty lines",
    "small events",
    "large keys",
    "headers",
    "control characters",
    "ten thousand fields",
    "nothing but commas",
    "wide rows",
]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_records_with_their_answers_occupy_no_more_than_their_weight_allows(kind):
    batch, occupied, _ = held(lambda: records(kind))
    weight = memory_budget.weight(batch)
    assert occupied <= weight
    unjudged, answers, peak = held(lambda: collect_vectors(batch, vectors(batch, SCHEMA)))
    assert len(unjudged.outgoing) == len(batch)
    assert occupied + answers <= (memory_budget.COPIES - 2) * weight
    longest = max(len(record.value) for record in batch)
    # What is left of the copies is the sink's.
    assert occupied + peak <= (memory_budget.COPIES - 1) * weight + memory_budget.DECODED * longest


@pytest.mark.slow
def test_a_record_that_is_decoded_in_full_occupies_what_the_budget_says():
    depth(b"{}")  # Compiled once a process, and no record's.
    for inner in (b"[],", b"{},", b'{"":[]},', b'"\xc3\xbf",', b"1e9,", b'"\\ud83d",'):
        value = b'{"a":[%b0]}' % (inner * (SOME // len(inner)))
        _, _, peak = held(lambda value=value: fields_of(Record("e:1", value), SCHEMA))
        assert peak <= memory_budget.DECODED * len(value), inner


@pytest.mark.slow
def test_a_dead_letter_keeps_nothing_of_what_was_decoded():
    value = b"{%b}" % b",".join(b'"f%d":1' % i for i in range(10_000))
    batch = [Record(f"e:{n}", value) for n in range(20)]
    dead, occupied, _ = held(lambda: decode(batch, SCHEMA).dead)
    assert len(dead) == 20
    assert occupied < MIB


def test_large_keys_are_not_cached():
    json_pieces._known_key.cache_clear()
    keys = [b"%06d" % n * 10_000 for n in range(100)]
    _, occupied, _ = held(lambda: [len(json_pieces._key(key)) for key in keys])
    assert occupied < 64 << 10
    json_pieces._key(b"small")
    assert json_pieces._known_key.cache_info().currsize == 1


@pytest.mark.parametrize("raw", [b"\x01" * 10_000, b'"' * 10_000, b"\\\x02" * 5_000])
def test_bytes_that_json_would_blow_up_are_base64(raw):
    out = dead_letter(Record("e:1", raw, key=raw), RecordError(Stage.DECODE, "x"))
    assert len(out.value) < 3 * len(raw)
    assert b'"raw_encoding":"base64"' in out.value
    assert b'"key_base64"' in out.value


def test_an_event_of_json_stays_text_in_its_dead_letter():
    raw = b'{"name": "value"}' * 1000
    out = dead_letter(Record("e:1", raw), RecordError(Stage.DECODE, "x"))
    assert b'"raw_encoding":"utf-8"' in out.value


@pytest.mark.parametrize("text", [b"plain", b'"\\\n\t\r\b\f', bytes(range(32)), "é\x7f".encode()])
def test_the_length_as_json_is_known_beforehand(text):
    assert memory_budget.escaped(text) == len(json_pieces.to_json(text.decode())) - 2


def test_a_header_of_too_many_columns_is_none():
    line = b",".join(b"c%d" % n for n in range(memory_budget.COLUMNS + 2))
    former = find_header(b"a,b", "f", CsvFormat(("a",)), None).header
    found = find_header(line, "f", CsvFormat(("a",)), former)
    assert not found.is_first_line
    assert len(found.header.columns) == 2


@pytest.mark.slow
def test_names_of_fields_to_choose_from_are_bounded():
    watch = FieldWatch(Schema(features=("a",), key=("host",), timestamp="t"))
    batch = [
        Record(f"e:{n}", b"{%b}" % b",".join(b'"%d.%d":{"x":1}' % (n, i) for i in range(20_000)))
        for n in range(3)
    ]
    _, occupied, _ = held(lambda: watch.look(batch, last=True))
    assert len(watch._names) == memory_budget.NAMES
    assert occupied < MIB
    assert watch.warnings


def test_rows_are_explained_a_part_at_a_time(monkeypatch):
    class Sums:
        calls = 0

        def score(self, rows):
            self.calls += 1
            return rows.sum(axis=1)

    class Found:
        verdict = np.ones(50, dtype=int)
        below = rank = np.zeros(50, dtype=int)

    rows, medians = np.arange(200.0).reshape(50, 4), np.zeros(4)

    def explained():
        scorer = Sums()
        scores = rows.sum(axis=1)
        labels = ("a", "b", "c", "d")
        found = list(
            explain.explanations(scorer, rows, scores, medians, labels, Found(), lambda _: scores)
        )
        return found, scorer.calls

    whole, once = explained()
    monkeypatch.setattr(memory_budget, "EXPLAINING_BYTES", 8 * 4 * 4 * 7)
    parts, times = explained()
    assert (once, times) == (1, 8)
    assert parts == whole


@pytest.mark.parametrize("columns", [1, 100, 1000])
def test_wide_rows_make_smaller_batches(columns):
    most = memory_budget.most_events(32 * MIB, columns)
    assert most * (memory_budget.RECORD_BYTES + memory_budget.FEATURE_BYTES * columns) <= 32 * MIB
    assert most > 400


def test_a_reader_gives_no_more_rows_than_there_is_room_for():
    reader = Reader("f", MIB, rows=True)
    reader.feed(b",".join(name.encode() for name in WIDE) + b"\n" + (b"," * 499 + b"\n") * 400)
    room = 4 * MIB
    taken = reader.take(memory_budget.most_records(room, reader.columns))
    assert memory_budget.weight(taken) <= room + sum(len(each.value) for each in taken)
    assert 100 < len(taken) < 400


def test_of_too_many_headers_the_first_are_kept_in_a_dead_letter():
    many = [
        ("detectd-verdict", b"normal"),
        *((f"h{n}", b"x") for n in range(memory_budget.HEADERS + 5)),
    ]
    assert left_out(many[: memory_budget.HEADERS]) == 0
    kept, dropped = passed_on(many), left_out(many)
    assert kept[-1] == (f"h{memory_budget.HEADERS - 2}", b"x")
    assert dropped > 6
    decoded = decode([Record("t/0/1", b'{"a":1}', headers=kept, dropped=dropped)], SCHEMA)
    assert decoded.dead[0].error == "more than 1,000 headers; only these are kept"


@given(st.integers(1, 10**6), st.integers(1, 10**7), st.integers(1, 10**9))
def test_of_kafka_no_more_is_asked_for_than_has_room_if_records_are_as_before(limit, usual, room):
    source = KafkaSource.__new__(KafkaSource)
    source._usual = usual
    asked = source._most(limit, room)
    assert 1 <= asked <= limit
    assert asked == 1 or asked * usual <= room


def test_keys_take_what_is_said_of_them_however_they_come():
    """Filled batch by batch, each with its commit, and read back from the log of all commits."""
    words, total, batch = 500, 4_000, 400
    width = HEADER_WORDS + words
    table, log = KeyTable(words, max_keys=total), []

    def seen(first):
        names = [b"%0255d" % key for key in range(first, first + batch)]
        slots = table.slots_of(names, np.full(batch, 1e12))
        table.rows[slots.slot, HEADER_WORDS:] = 1.0
        log.extend(key_frames.encode("t/0", changes, width) for changes in table.changes())
        table.on_commit()

    def filled():
        for first in [*range(0, total, batch), 0]:
            seen(first)
        return table

    def read_back():
        rows, again = RowsByName(words), KeyTable(words, max_keys=total)
        for payload in log:
            rows.apply(key_frames.decode(payload, width)[1])
        again.restore(rows)
        return again

    seen(0)  # so that everything is compiled
    table.restore(RowsByName(words))
    log.clear()
    budget = memory_budget.keys(total, 8 * width) + memory_budget.key_copies(batch, 8 * width, 1)
    _, _, peak = held(filled)
    assert peak - sum(map(len, log)) <= budget
    assert len(read_back().rows) == total
    _, now, peak = held(read_back)
    assert now <= memory_budget.keys(total, 8 * width)
    assert peak <= budget
