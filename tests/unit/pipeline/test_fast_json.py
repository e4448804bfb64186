"""The typed reader takes an event only where the general decoder would give the very same."""

import json
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from detectd.features import Function
from detectd.features.declaring import declare
from detectd.pipeline import decode as general
from detectd.pipeline.decode import decode
from detectd.pipeline.fast_json import typed_reader
from detectd.pipeline.fields import category_hash
from detectd.pipeline.records import Record
from detectd.pipeline.schema import Schema

ONEHOT = declare({"of": "other", "fn": "onehot"})
RARITY = declare({"of": "other", "fn": "rarity"})

SCHEMAS = [
    Schema(("a", "é b"), max_record_bytes=300),
    Schema(("a", "é b"), missing="median", max_missing=1),
    Schema(("a", "é b"), key=("host",), timestamp="at"),
    Schema(("a", "é b"), numeric_strings=True, timestamp="at", missing="median"),
    Schema(("a", Function("hour", "hour"), "é b"), timestamp="at"),
    Schema((Function("weekday", "day"), "a"), timestamp="at", missing="median"),
    Schema(("a", ONEHOT, RARITY), missing_values=frozenset({"", "x"})),
    Schema((ONEHOT, "a"), key=("host",), timestamp="at", missing="median"),
]
names = st.sampled_from(["a", "é b", "host", "at", "other", "a.b"])
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**40), 10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6)
)
anything = st.recursive(
    scalars, lambda some: st.lists(some, max_size=3) | st.dictionaries(names, some, max_size=3)
)
objects = st.dictionaries(names, anything, max_size=6)
texts = objects.flatmap(
    lambda event: st.sampled_from(
        [
            json.dumps(event).encode(),
            json.dumps(event, ensure_ascii=False).encode("utf-8", "surrogatepass"),
            json.dumps(event, indent=1).encode(),
            json.dumps({"a": 1, "é b": 2.5} | event).encode(),
            json.dumps({"a": 1, "é b": 2.5, "other": "x "} | event).encode(),
        ]
    )
)


@st.composite
def damaged(draw):
    """A JSON text with some bytes replaced."""
    text = bytearray(draw(texts))
    for _ in range(draw(st.integers(0, 3))):
        text[draw(st.integers(0, len(text) - 1))] = draw(
            st.sampled_from(b'{}[]",:\\u0e9\xff\xc3 \n-+t')
        )
    return bytes(text)


def both(record, schema, monkeypatch):
    fast = decode([record], schema)
    monkeypatch.setattr(general, "typed_reader", lambda _: None)
    slow = decode([record], schema)
    monkeypatch.undo()
    return fast, slow


def typed(schema, value):
    event, figures = [None], [None]
    typed_reader(schema).read([Record("t:1", value)], event, figures)
    return event[0], figures[0]


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(value=damaged() | texts | st.binary(max_size=40))
@example(value=b'{"a":1,"\xc3\xa9 b":2,"x":"\xff"}')
@example(value=b'{"a":1,"\xc3\xa9 b":2,"x":"\xed\xa0\x80"}')
@example(value=b'{"a":1,"\xc3\xa9 b":2,"x":"\\ud800"}')
@example(value=b'{"a":1,"\xc3\xa9 b":2,"x":"\\udc00\\ud800"}')
@example(value=b'{"a":1,"a":2,"\xc3\xa9 b":9007199254740993}')
@example(value=b'{"a":-0,"\xc3\xa9 b":1e-400,"at":"2026-01-01T00:00:00Z"}')
@example(value=b'{"a":1,"\xc3\xa9 b":2}\r\n')
@example(value=b'{"a":1,"other":"\\ud800"}')
@example(value=b'{"a":1,"other":100000000000000000000000000000000000000001}')
@example(value=b'{"a":1,"other":[1.0, {"b":null}]}')
@example(value=b'{"a":1,"other":" X"}')
def test_it_gives_what_the_general_decoder_gives(value):
    record = Record("t:1", value, timestamp_ms=7)
    for schema in SCHEMAS:  # To draw a value takes longer than to read it under all of them.
        with pytest.MonkeyPatch.context() as patch:
            fast, slow = both(record, schema, patch)
        assert {k: str(v) for k, v in fast.dead.items()} == {
            k: str(v) for k, v in slow.dead.items()
        }, schema
        assert fast.events == slow.events, schema
        assert np.array_equal(fast.rows, slow.rows, equal_nan=True), schema


def test_a_number_too_large_for_a_double_matters_only_where_it_is_asked_for():
    schema = Schema(("a",))
    good, bad = (
        decode([Record("t:1", value)], schema)
        for value in (b'{"a":1,"unasked":1e999}', b'{"a":1e999,"unasked":1}')
    )
    assert good.rows.tolist() == [[1.0]]
    assert "too large for a double" in str(bad.dead[0])
    category = decode([Record("t:1", b'{"a":1,"other":1e999}')], SCHEMAS[6])
    assert "too large for a double" in str(category.dead[0])


@pytest.mark.parametrize(
    "schema", [Schema(("a", "b.c")), Schema(("a",), key=("a",)), Schema(("a",), timestamp="t[0]")]
)
def test_there_is_none_for_paths_and_for_features_that_are_keys(schema):
    assert typed_reader(schema) is None


def test_it_does_take_ordinary_events():
    """Else the tests above would compare the general decoder with itself."""
    for schema in SCHEMAS[:6]:
        event, figures = typed(schema, '{"a":1,"é b":2.5,"at":5}'.encode())
        assert figures == (1.0, 2.5)[: len(schema.fields)]
        assert event.json == '{"a":1,"é b":2.5,"at":5}'.encode()
    event, figures = typed(SCHEMAS[6], b'{"a":1,"other":"ok"}')
    assert figures == (1.0, category_hash(b"ok"))
    event, figures = typed(SCHEMAS[7], b'{"a":1,"other":true,"host":"h"}')
    assert (event.key, figures) == (b"h", (1.0, category_hash(b"true")))
    event, figures = typed(SCHEMAS[1], b'{"a":null,"\xc3\xa9 b":2}')
    assert event
    assert math.isnan(figures[0])
    assert figures[1:] == (2.0,)
    assert typed(SCHEMAS[1], b'{"a":null}') == (None, None)


def test_equal_values_of_different_types_are_different_categories():
    """In Python 1 == 1.0 == True; of a number and of its text it is the JSON that counts."""
    written = ["1", "1.0", "true", '"1"', '"true"', "10", "1e1"]
    values = [f'{{"a":1,"other":{each}}}'.encode() for each in written]
    rows = decode([Record("t:1", value) for value in values], SCHEMAS[6]).rows[:, 1].tolist()
    assert rows[0] == rows[3]
    assert rows[2] == rows[4]
    assert len(set(rows)) == 5
