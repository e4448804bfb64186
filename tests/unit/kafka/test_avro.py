"""What becomes of Avro records: against fastavro's writer, and against broken bytes."""

from __future__ import annotations

import itertools
import json
import math
import os
import subprocess
import sys
from base64 import b64encode
from datetime import UTC
from decimal import Decimal
from io import BytesIO
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectd.kafka.avro_schemas import MAX_LEVELS
from detectd.kafka.known_schemas import Known
from detectd.pipeline import memory_budget
from detectd.pipeline.decode import Decoded, decode
from detectd.pipeline.encode import unscored
from detectd.pipeline.records import Record, RecordError, Stage
from detectd.pipeline.schema import Schema
from tests.support.avro_records import error_of, read_of, record_of, written
from tests.support.registry import framed

Typed = st.SearchStrategy[tuple[Any, Any, Any]]


def logical(kind: str, what: str, /, **more: Any) -> dict[str, Any]:
    return {"type": kind, "logicalType": what, **more}


def text_of(kind: Any, body: bytes) -> str:
    """The JSON of a body of that type, which is the only field of a record."""
    text = read_of(record_of(x=kind))(framed(7, body))[1].decode()
    return str(text.removeprefix('{"x":').removesuffix("}"))


def long(number: int) -> bytes:
    body = BytesIO()
    fastavro.schemaless_writer(body, "long", number)
    return body.getvalue()


def decoded(schema: Any, value: Any, **rest: Any) -> Decoded:
    record = Record("t/0/1", written(schema, value))
    return decode([record], Schema(rest.pop("features", ("a",)), read=read_of(schema), **rest))


# Strategies of a schema, a value that fastavro writes under it, and the JSON of that value.

COUNT = itertools.count()
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
SAME = {
    "null": st.none(),
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(width=32, allow_nan=False, allow_infinity=False),
    "double": st.floats(allow_nan=False, allow_infinity=False),
    "string": TEXT,
}


def named(schema: dict[str, Any]) -> dict[str, Any]:
    """The type under a name that no other has."""
    return {**schema, "name": f"N{next(COUNT)}", "namespace": "made.up"}


def leaves() -> Typed:
    same = [
        values.map(lambda value, kind=kind: (kind, value, value)) for kind, values in SAME.items()
    ]
    enum, fixed = {"type": "enum", "symbols": ["A", "B"]}, {"type": "fixed", "size": 5}
    micros, amount = logical("long", "timestamp-micros"), logical("bytes", "decimal", precision=40)
    return st.one_of(
        *same,
        st.sampled_from("AB").map(lambda symbol: (named(enum), symbol, symbol)),
        st.binary(max_size=9).map(lambda raw: ("bytes", raw, b64encode(raw).decode())),
        st.binary(min_size=5, max_size=5).map(
            lambda raw: (named(fixed), raw, b64encode(raw).decode())
        ),
        st.dates().map(lambda day: (logical("int", "date"), day, str(day))),
        st.uuids().map(lambda name: (logical("string", "uuid"), name, str(name))),
        st.datetimes(timezones=st.just(UTC)).map(
            lambda moment: (micros, moment, f"{moment:%Y-%m-%dT%H:%M:%S.%fZ}".zfill(27))
        ),
        st.integers(-(10**40) + 1, 10**40 - 1).map(
            lambda unscaled: ({**amount, "scale": 4}, *[Decimal(f"{unscaled}E-4")] * 2)
        ),
    )


def nested(inner: Typed) -> Typed:
    def record(typed: list[tuple[Any, Any, Any]]) -> tuple[Any, Any, Any]:
        kinds, values, wanted = (
            {f"f{place}": each[part] for place, each in enumerate(typed)} for part in range(3)
        )
        return named(record_of(**kinds)), values, wanted

    def array(typed: tuple[Any, Any, Any], n: int) -> tuple[Any, Any, Any]:
        return {"type": "array", "items": typed[0]}, [typed[1]] * n, [typed[2]] * n

    def map_of(typed: tuple[Any, Any, Any], keys: set[str]) -> tuple[Any, Any, Any]:
        values, wanted = (dict.fromkeys(keys, value) for value in typed[1:])
        return {"type": "map", "values": typed[0]}, values, wanted

    def optional(typed: tuple[Any, Any, Any], there: bool) -> tuple[Any, Any, Any]:
        return (["null", typed[0]], *(typed[1:] if there else (None, None)))

    # A union holds no union, and null once.
    single = inner.filter(lambda typed: not isinstance(typed[0], list) and typed[0] != "null")
    return st.one_of(
        st.lists(inner, max_size=4).map(record),
        st.builds(array, inner, st.integers(0, 3)),
        st.builds(map_of, inner, st.sets(TEXT, max_size=3)),
        st.builds(optional, single, st.booleans()),
    )


typed_records = st.recursive(leaves(), nested, max_leaves=8).map(
    lambda typed: (record_of(x=typed[0]), {"x": typed[1]}, {"x": typed[2]})
)


@given(typed_records)
@settings(max_examples=300, deadline=None)
def test_what_fastavro_writes_is_read_as_an_equal_value(typed: tuple[Any, Any, Any]) -> None:
    schema, value, wanted = typed
    fields, text = read_of(schema)(written(schema, value))
    assert fields == wanted
    assert json.loads(text) == json.loads(json.dumps(wanted, default=float))
    assert b"\n" not in text


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        ("long", long(2**63 - 1), "9223372036854775807"),
        ("long", long(2**53 + 1), "9007199254740993"),
        ("double", b"\0\0\0\0\0\0\xf8\x7f", "null"),
        ("double", b"\0\0\0\0\0\0\xf0\xff", "null"),
        ("float", b"\0\0\x80\x7f", "null"),
        (logical("bytes", "decimal", precision=4, scale=2), b"\x04\x04\xd2", "12.34"),
        (logical("bytes", "decimal", precision=4, scale=3), b"\x02\xff", "-0.001"),
        # Two digits were promised, and five are there: none is lost.
        (logical("bytes", "decimal", precision=2, scale=2), b"\x06\x00\xff\xff", "655.35"),
        (logical("bytes", "decimal", scale=-2), b"\x02\x05", '"BQ=="'),
        (logical("fixed", "decimal", name="F", size=2, precision=3), b"\x01\x00", "256"),
        (logical("int", "date"), long(20_780), '"2026-11-23"'),
        (logical("int", "date"), long(2**31 - 1), "2147483647"),
        (logical("int", "time-millis"), long(36_900_123), '"10:15:00.123"'),
        (logical("int", "time-millis"), long(86_400_000), "86400000"),
        (logical("long", "time-micros"), long(1), '"00:00:00.000001"'),
        (logical("long", "timestamp-millis"), long(1), '"1970-01-01T00:00:00.001Z"'),
        (logical("long", "timestamp-millis"), long(-1), '"1969-12-31T23:59:59.999Z"'),
        (logical("long", "timestamp-millis"), long(2**63 - 1), "9223372036854775807"),
        (logical("long", "timestamp-micros"), long(-(2**63)), "-9223372036854775808"),
        (logical("long", "timestamp-nanos"), long(-1), '"1969-12-31T23:59:59.999999999Z"'),
        (logical("long", "timestamp-nanos"), long(2**63 - 1), '"2262-04-11T23:47:16.854775807Z"'),
        (logical("long", "local-timestamp-millis"), long(0), '"1970-01-01T00:00:00.000"'),
        (logical("long", "local-timestamp-micros"), long(0), '"1970-01-01T00:00:00.000000"'),
        (logical("long", "local-timestamp-nanos"), long(0), '"1970-01-01T00:00:00.000000000"'),
        (
            logical("fixed", "duration", name="D", size=12),
            b"\x01\0\0\0\x02\0\0\0\xbc\x0b\0\0",
            '"P1M2DT3.004S"',
        ),
        (
            logical("fixed", "uuid", name="U", size=16),
            bytes(range(16)),
            '"00010203-0405-0607-0809-0a0b0c0d0e0f"',
        ),
        (logical("fixed", "uuid", name="U", size=2), b"\0\0", '"AAA="'),
        # Unknown logical types, and those on a wrong type, are as if they were not there.
        (logical("long", "time-millis"), long(5), "5"),
        (logical("null", "enter"), b"", "null"),
        (logical("record", "leave", name="R", fields=[]), b"", "{}"),
        (logical("int", ["date"]), long(5), "5"),
        (["null", logical("int", "date"), "string"], b"\x04\x02a", '"a"'),
        ({"type": {"type": "array", "items": ["int", "null"]}}, b"\x02\x02\x00", "[null]"),
        ({"type": "double", "default": 0, "doc": 7}, b"\0\0\0\0\0\0\xf0\x3f", "1.0"),
    ],
)
def test_a_type_becomes_what_json_has(kind: Any, body: bytes, text: str) -> None:
    assert text_of(kind, body) == text


def test_a_type_may_hold_itself_and_be_called_by_its_short_name() -> None:
    tree = record_of("Tree", value="int", below={"type": "array", "items": "Tree"})
    forest = {**record_of("Forest", first=tree, second=["null", "Tree"]), "namespace": "wood"}
    value = {
        "first": {"value": 1, "below": [{"value": 2, "below": []}, {"value": 3, "below": []}]},
        "second": {"value": 4, "below": []},
    }
    assert read_of(forest)(written(forest, value))[0] == value
    wide = {"first": {"value": 1, "below": [{"value": 2, "below": []}] * 999}, "second": None}
    assert read_of(forest)(written(forest, wide))[0] == wide


def test_a_union_of_types_that_other_schemas_define() -> None:
    opened = {**record_of("Opened", at="int"), "namespace": "door"}
    closed = {**record_of("Closed", after="Opened"), "namespace": "door"}
    read = read_of(["door.Opened", "door.Closed"], opened, closed)
    assert read(framed(7, b"\x02\x0e"))[0] == {"after": {"at": 7}}
    assert read_of("door.Closed", opened, closed)(framed(7, b"\x0e"))[0] == {"after": {"at": 7}}


@pytest.mark.slow
def test_records_inside_each_other_have_an_end_before_the_stack_has() -> None:
    """In a process of its own, which would die of it."""
    code = f"""
from tests.support.avro_records import error_of, read_of, record_of
from tests.support.registry import framed
heavy = {{"type": "map", "values": {{"type": "array", "items": ["null", "List"]}}}}
read = read_of(record_of("List", next=heavy))
level = bytes([2, 2, 97, 2, 2])
def of(levels):
    return framed(7, level * (levels - 1) + b"\\0" + b"\\0\\0" * (levels - 1))
value = read(of({MAX_LEVELS}))[0]
for _ in range({MAX_LEVELS} - 1):
    value = value["next"]["a"][0]
assert value == {{"next": {{}}}}
for levels in ({MAX_LEVELS} + 1, 200_000):
    assert error_of(read, of(levels)) == "more than {MAX_LEVELS} Avro records inside each other"
assert read(of(2))[0] == {{"next": {{"a": [{{"next": {{}}}}]}}}}
"""
    command = [sys.executable, "-c", code]
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=paths)
    assert (done.returncode, done.stderr) == (0, "")


# Broken bytes.

PAIR = record_of(a="string", b=["null", {"type": "enum", "name": "E", "symbols": ["X"]}])


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (b'{"a": 1}', "not Avro in Confluent's format: it begins with byte 123, not 0"),
        (b"\0", "1 bytes, too few to name an Avro schema"),
        (b"\0\0\0\0", "4 bytes, too few to name an Avro schema"),
        (b"\0\xff\xff\xff\xff", "no registry has a schema 4294967295: ids end at 2147483648"),
        (framed(7, b""), "not Avro of schema 7: it ends early"),
        (framed(7, b"\x04a"), "not Avro of schema 7: it ends early"),
        (framed(7, b"\x02\xff\0"), "not Avro of schema 7: a string is not UTF-8"),
        (framed(7, b"\x02a\x06"), "not Avro of schema 7: a union or an enum has no such branch"),
        (
            framed(7, b"\x02a\x02\x02"),
            "not Avro of schema 7: a union or an enum has no such branch",
        ),
        (framed(7, b"\x02a\0?!"), "not Avro of schema 7: 2 bytes follow its end"),
    ],
)
def test_a_broken_record_is_a_dead_letter_that_says_why(value: bytes, error: str) -> None:
    assert error_of(read_of(PAIR), value) == error
    batch = decode([Record("t/0/1", value)], Schema(("a",), read=read_of(PAIR)))
    assert batch.dead[0].error == error
    assert batch.events == []


@pytest.mark.parametrize("schema", ["string", {"type": "array", "items": "int"}, ["null", PAIR]])
def test_what_is_no_record_is_a_dead_letter(schema: Any) -> None:
    assert "not an Avro record but " in error_of(read_of(schema), framed(7, b"\0"))


@pytest.mark.parametrize(
    "schema",
    [
        "nothing",
        {"type": "record", "name": "R"},
        {"name": "R"},
        {"type": "enum", "name": "E", "symbols": ["a b"]},
        record_of(x=record_of("Event")),
        7,
        None,
    ],
)
def test_a_schema_that_cannot_be_understood_is_a_dead_letter(schema: Any) -> None:
    error = error_of(read_of(schema), framed(7, b""))
    assert error.startswith("schema 7 cannot be understood: ")


@pytest.mark.parametrize(
    "kind",
    [
        {"type": "fixed", "name": "F", "size": "1"},
        logical("bytes", "decimal", scale=True),
        logical("bytes", "decimal", scale=10**30),
    ],
)
def test_a_schema_that_makes_no_sense_is_a_dead_letter(kind: Any) -> None:
    error = error_of(read_of(record_of(x=kind)), framed(7, b"\x02\x02"))
    assert error == "not Avro of schema 7: the schema is invalid"


WIDE = record_of(
    a="double",
    e={"type": "enum", "name": "E", "symbols": ["X", "Y"]},
    m={"type": "map", "values": ["null", "string", logical("bytes", "decimal", scale=3)]},
    t=["null", logical("long", "timestamp-millis"), logical("int", "time-millis")],
    n=["null", "Event", {"type": "array", "items": "Event"}],
)
WIDE_VALUE = {
    "a": 1.5,
    "e": "Y",
    "m": {"k": "v", "l": None},
    "t": None,
    "n": [{"a": 1.0, "e": "X", "m": {}, "t": None, "n": None}],
}
READ_WIDE, WRITTEN_WIDE = read_of(WIDE), written(WIDE, WIDE_VALUE)


@given(st.data())
@settings(max_examples=500, deadline=None)
def test_no_bytes_end_the_service(data: st.DataObject) -> None:
    """Every value is an event or a defect, and the same one again."""
    flips = st.tuples(st.integers(5, len(WRITTEN_WIDE) - 1), st.integers(0, 255))
    value = bytearray(WRITTEN_WIDE)
    for place, byte in data.draw(st.lists(flips, max_size=4)):
        value[place] = byte
    cut = data.draw(st.integers(5, len(value)))
    raw = bytes(value[:cut]) + data.draw(st.binary(max_size=4))

    def outcome() -> str:
        try:
            return str(READ_WIDE(raw))
        except RecordError as defect:
            return defect.error

    assert outcome() == outcome()


# Features, key, timestamp and output of an event.


def test_features_are_found_by_path_and_decimals_are_numbers() -> None:
    inner = record_of("Inner", v={"type": "array", "items": "float"})
    schema = record_of(a=logical("bytes", "decimal", precision=9, scale=2), in_=inner, ok="boolean")
    value = {"a": Decimal("12.34"), "in_": {"v": [0.5, 2.5]}, "ok": True}
    batch = decoded(schema, value, features=("a", "in_.v.1", "ok"))
    assert batch.rows.tolist() == [[12.34, 2.5, 1.0]]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("missing", ["dead_letter", "median"])
def test_a_feature_that_is_not_finite_is_a_dead_letter(value: float, missing: str) -> None:
    batch = decoded(record_of(a="double"), {"a": value}, missing=missing)
    assert (batch.dead[0].stage, batch.dead[0].error) == (
        Stage.FEATURES,
        "feature 'a' is not finite",
    )


def test_what_is_not_finite_elsewhere_is_null() -> None:
    batch = decoded(record_of(a="int", b="double"), {"a": 1, "b": math.nan})
    assert batch.events[0].json == b'{"a":1,"b":null}'


def test_a_null_feature_is_missing() -> None:
    schema = record_of(a=["null", "int"])
    assert decoded(schema, {"a": None}).dead[0].error == "feature 'a' is missing"
    beside = record_of(a=["null", "int"], b="int")
    event = {"a": None, "b": 1}
    assert math.isnan(decoded(beside, event, features=("a", "b"), missing="median").rows[0, 0])


@pytest.mark.parametrize(
    ("kind", "value", "milliseconds"),
    [
        (logical("long", "timestamp-millis"), 1_763_892_900_123, 1_763_892_900_123),
        (logical("long", "timestamp-micros"), 1_763_892_900_123_000, 1_763_892_900_123),
        (logical("long", "timestamp-nanos"), 1_763_892_900_123_000_000, 1_763_892_900_123),
        (logical("long", "local-timestamp-millis"), 60_000, 60_000),
        # In milliseconds this one would be taken for seconds.
        (logical("long", "timestamp-millis"), 60_000, 60_000),
        (logical("int", "date"), 1, 86_400_000),
        ("long", 1_763_892_900_123, 1_763_892_900_123),
        ("double", 1.5, 1500),
        (logical("bytes", "decimal", precision=20, scale=6), Decimal("1.5"), 1500),
        (logical("long", "timestamp-millis"), 2**63 - 1, None),
    ],
)
def test_the_timestamp_is_understood(kind: Any, value: Any, milliseconds: int | None) -> None:
    batch = decoded(record_of(a="int", t=kind), {"a": 1, "t": value}, timestamp="t")
    assert batch.events[0].timestamp_ms == milliseconds


@pytest.mark.parametrize(
    ("kind", "value", "key"),
    [
        ("string", "é", "é".encode()),
        ("long", 2**63 - 1, b"9223372036854775807"),
        ("bytes", b"\xff", b"/w=="),
        (logical("bytes", "decimal", precision=30, scale=1), Decimal("1.0"), b"1.0"),
        (record_of("Inner", x="int"), {"x": 1}, b'{"x":1}'),
    ],
)
def test_the_key_is_as_the_event_shows_it(kind: Any, value: Any, key: bytes) -> None:
    assert decoded(record_of(a="int", k=kind), {"a": 1, "k": value}, key="k").events[0].key == key


def test_the_envelope_holds_the_event_as_json() -> None:
    schema = record_of(a="int", amount=logical("bytes", "decimal", precision=30, scale=20))
    value = {"a": 1, "amount": Decimal("1.00000000000000000001")}
    record = Record("t/0/1", written(schema, value))
    (event,) = decode([record], Schema(("a",), read=read_of(schema))).events
    text = unscored(record, event).value.decode()
    assert '"event":{"a":1,"amount":1.00000000000000000001}' in text


@pytest.mark.parametrize(
    ("value", "limit", "error"),
    [
        (None, 9, "the record has no value (a tombstone)"),
        (b"", 9, "the record is empty"),
        (framed(7, b"12345"), 9, "10 bytes, more than max_record_bytes = 9"),
    ],
)
def test_what_holds_for_json_holds_for_avro(value: bytes, limit: int, error: str) -> None:
    schema = Schema(("a",), max_record_bytes=limit, read=read_of("int"))
    assert decode([Record("t/0/1", value)], schema).dead[0].error == error


def few_items(monkeypatch: pytest.MonkeyPatch) -> int:
    """Return how many items a record may have now, whose JSON no other bound refuses."""
    monkeypatch.setattr(memory_budget, "AVRO_ITEMS", 3_000)
    return memory_budget.AVRO_ITEMS


@pytest.mark.parametrize(
    ("items", "one"),
    [
        ("null", b""),
        (["null", "long"], b"\0"),
        (record_of("Empty"), b""),
        (record_of("Small", a="boolean"), b"\0"),
        ({"type": "array", "items": "long"}, b"\0"),
        ({"type": "map", "values": "long"}, b"\0"),
        (logical("bytes", "decimal", precision=4), b"\0"),
        (logical("long", "timestamp-millis"), b"\0"),
        ({"type": "enum", "name": "E", "symbols": ["A" * 50]}, b"\0"),
        ({"type": "fixed", "name": "F", "size": 0}, b""),
    ],
)
def test_items_that_occupy_more_than_they_take_are_counted(
    monkeypatch: pytest.MonkeyPatch, items: Any, one: bytes
) -> None:
    most = few_items(monkeypatch)
    read = read_of(record_of(x={"type": "array", "items": items}))
    fields, text = read(framed(7, long(most) + most * one + b"\0"))
    assert len(fields["x"]) == most
    assert json.loads(text)["x"][0] == fields["x"][0] or isinstance(fields["x"][0], Decimal)
    for count in (most + 1, 10**7 if not one else most + 5):
        error = error_of(read, framed(7, long(count) + count * one + b"\0"))
        assert error == "more than 3,000 items in Avro arrays and maps"


def test_items_are_counted_over_all_arrays_and_maps_and_by_record(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    most = few_items(monkeypatch)
    tree = record_of("Tree", children={"type": "array", "items": "Tree"})
    read = read_of(tree)
    leaves = most - 1
    body = framed(7, long(leaves) + leaves * b"\0" + b"\0")
    for _ in range(2):
        assert len(read(body)[0]["children"]) == leaves
    assert "items" in error_of(read, framed(7, long(leaves + 1) + (leaves + 1) * b"\0" + b"\0"))
    pair = record_of(a={"type": "array", "items": "null"}, b={"type": "map", "values": "null"})
    half = most // 2
    keys = b"".join(written_text(str(n)) for n in range(half + 1))
    assert "items" in error_of(
        read_of(pair), framed(7, long(half) + b"\0" + long(half + 1) + keys + b"\0")
    )


def test_plain_items_are_as_many_as_the_record_holds() -> None:
    many = memory_budget.AVRO_ITEMS + 1
    read = read_of(record_of(x={"type": "array", "items": "float"}))
    assert len(read(framed(7, long(many) + many * b"\0\0\0\0" + b"\0"))[0]["x"]) == many


def written_text(text: str) -> bytes:
    return long(len(text)) + text.encode()


def test_schemas_are_kept_as_long_as_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_budget, "SCHEMA_BYTES", 250)
    known = Known()
    for number in (1, 2):
        known.add(number, lambda body: body, 100)
    assert known.get(1)
    known.add(3, lambda body: body, 100)
    assert known.get(2) is None, "the one used longest ago"
    assert known.get(1)
    assert known.get(3)


def test_a_record_whose_json_is_out_of_all_proportion_is_a_dead_letter() -> None:
    names = {f"{place:0>99}": "null" for place in range(1000)}
    error = error_of(read_of(record_of(**names)), framed(7, b""))
    assert error.startswith("5 bytes of Avro are 10")
    few = dict([*names.items()][:500])
    assert len(read_of(record_of(**few))(framed(7, b""))[0]) == 500


def test_records_in_arrays_count_with_their_fields() -> None:
    fields = {f"f{place}": "null" for place in range(64)}
    read = read_of(record_of(x={"type": "array", "items": record_of("Many", **fields)}))
    assert "items" in error_of(read, framed(7, long(4097) + b"\0"))
