"""No nesting ends the stream: deeper than `max_depth` is a dead letter, whatever the bytes."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectd.pipeline.decode import decode
from detectd.pipeline.fields import to_json
from detectd.pipeline.nesting import any_deeper, depth
from detectd.pipeline.records import Record, Stage
from detectd.pipeline.schema import Schema

# Too deep to be encoded again, and just not too deep to be decoded.
TREACHEROUS = range(900, 1000, 7)

values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text('"\\[{}]é', max_size=6),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text('"\\[{}]', max_size=3), inner)
    ),
    max_leaves=30,
)


def levels(value):
    """The same, by looking into the value."""
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        return 0
    return 1 + max(map(levels, value), default=0)


@settings(deadline=None)
@given(values, st.integers(1, 8), st.booleans())
def test_depth_is_that_of_the_decoded_value(value, most, ascii_only):
    text = json.dumps(value, ensure_ascii=ascii_only).encode()
    assert depth(text) == levels(value)
    assert any_deeper([b"[]", text], most) == (levels(value) > most)


@settings(deadline=None)
@given(st.binary(max_size=300) | st.text('"\\[]{}', max_size=300).map(str.encode))
def test_any_bytes_have_a_depth(text):
    assert 0 <= depth(text) <= text.count(b"[") + text.count(b"{")


def test_open_quotes_and_backslashes_take_no_square_of_time():
    """A million of each: a scan that begins again at each would take hours, not seconds."""
    for text in (b'"' + b'\\"' * 1_000_000, b'"\\' * 1_000_001, b"\\" * 2_000_001):
        assert depth(b"[" + text) in {0, 1}


def nested(levels, shape):
    opening, closing = ("[", "]") if shape == "arrays" else ('{"k":', "}")
    inner = opening * (levels - 1) + "0" + closing * (levels - 1)
    return b'{"a": 1, "deep": %s}' % inner.encode()


@pytest.mark.parametrize("shape", ["arrays", "objects"])
@pytest.mark.parametrize("feature", ["a", "deep.x"])
def test_what_is_deeper_than_the_limit_is_a_dead_letter(shape, feature):
    schema = Schema(tuple({feature, "a"}), key="deep", missing="median", max_depth=16)
    for deep in (1, 2, 15, 16, 17, 18, 200, *TREACHEROUS, 20_000, 100_000):
        decoded = decode([Record("t:1", nested(deep, shape))] * 3, schema)
        if deep <= 16:
            assert not decoded.dead
        else:
            assert [defect.stage for defect in decoded.dead.values()] == [Stage.DECODE] * 3
            assert decoded.dead[0].error == f"nested {deep} deep, more than source.max_depth = 16"


@pytest.mark.parametrize("deep", [*TREACHEROUS, 128, 129])
def test_no_depth_ends_the_stream_under_the_default(deep):
    records = [Record(f"t:{i}", nested(deep, "objects")) for i in range(2)]
    decoded = decode([*records, Record("t:2", b'{"a": 2}')], Schema(("a",), key="deep"))
    assert len(decoded.dead) == (2 if deep > 128 else 0)
    assert decoded.rows[-1].tolist() == [2.0]


def test_an_array_of_many_objects_is_not_deep():
    value = json.dumps({"a": 1, "items": [{"x": [i]} for i in range(5_000)]}).encode()
    assert not decode([Record("t:1", value)], Schema(("a",), key="items", max_depth=4)).dead


def test_other_formats_have_the_same_limit():
    def read(value):
        fields = {"a": 1.0, "deep": []}
        for _ in range(int(value)):
            fields["deep"] = [fields["deep"]]
        return fields, to_json(fields)

    schema = Schema(("a",), read=read, max_depth=16)
    decoded = decode([Record("t:1", b"14"), Record("t:2", b"15")], schema)
    assert list(decoded.dead) == [1]
    assert decoded.dead[1].error == "nested 17 deep, more than source.max_depth = 16"
