import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectd.features import Function
from detectd.features.declaring import declare
from detectd.pipeline.decode import decode
from detectd.pipeline.fields import category_hash, category_texts
from detectd.pipeline.records import Record, Stage
from detectd.pipeline.schema import Schema


def one(value, columns=None, **schema):
    """Decode a single record; returns its row, or its defect."""
    schema.setdefault("features", ("a",))
    decoded = decode([Record("test:1", value, columns=columns)], Schema(**schema))
    return decoded.dead[0] if decoded.dead else decoded.rows[0].tolist()


@pytest.mark.parametrize(
    ("value", "features", "row"),
    [
        (b'{"a": 1}', ("a",), [1.0]),
        (b'{"a": -1.5e3, "b": true}', ("b", "a"), [1.0, -1500.0]),
        (b'{"a": {"b": [{"c": 7}]}}', ("a.b.0.c",), [7.0]),
        (b'{"a": {"b": [{"c": 7}]}}', ("a.b[0].c",), [7.0]),
        (b'{"a.b": 1, "a": {"b": 2}}', ("a.b",), [1.0]),
        (b'{"a": 9007199254740993}', ("a",), [9007199254740992.0]),
        (b'{"a": 1, "a": 2}', ("a",), [2.0]),
        (b' {"a"\r\n:\n1} ', ("a",), [1.0]),
    ],
)
def test_features_are_read_by_name_and_by_path(value, features, row):
    assert one(value, features=features) == row


@pytest.mark.parametrize(
    ("value", "stage", "error"),
    [
        (None, Stage.DECODE, "no value"),
        (b"", Stage.DECODE, "empty"),
        (b"  \t", Stage.DECODE, "empty"),
        (b"nonsense", Stage.DECODE, "not JSON"),
        (b'{"a": NaN}', Stage.DECODE, "not JSON"),
        (b'{"a": 1} {"a": 2}', Stage.DECODE, "not JSON"),
        (b"[" * 100_000, Stage.DECODE, "nested 100000 deep"),
        (b"[1]", Stage.DECODE, "an array"),
        (b"3", Stage.DECODE, "a number"),
        (b'{"a": "\xff"}', Stage.DECODE, "not UTF-8"),
        (b'{"a": 1e999}', Stage.DECODE, "too large"),
        (b"{}", Stage.FEATURES, "missing"),
        (b'{"a": null}', Stage.FEATURES, "missing"),
        (b'{"a": {"b": 1}}', Stage.FEATURES, "an object"),
        (b'{"a": [1]}', Stage.FEATURES, "an array"),
        (b'{"a": "1.5"}', Stage.FEATURES, "text"),
        (b'{"a": 1' + b"0" * 400 + b"}", Stage.FEATURES, "too large"),
    ],
)
def test_a_record_that_gives_no_row_says_where_and_why(value, stage, error):
    defect = one(value)
    assert defect.stage is stage
    assert error in defect.error
    assert "\n" not in defect.error


def test_a_record_over_the_limit_is_refused_with_both_sizes():
    defect = one(b'{"a": 1}', max_record_bytes=7)
    assert defect.error == "8 bytes, more than max_record_bytes = 7"
    decoded = decode([Record("t:1", b"xx", dropped=98)], Schema(("a",), max_record_bytes=1))
    assert decoded.dead[0].error.startswith("100 bytes")


def test_numeric_text_counts_only_where_the_configuration_says_so():
    assert one(b'{"a": " -1.5e3 "}', numeric_strings=True) == [-1500.0]
    assert one(b'{"a": "true"}', numeric_strings=True) == [1.0]
    for text in (b"nan", b"inf", b"-Infinity", b"1_000", b"0x10", b""):
        assert one(b'{"a": "%s"}' % text, numeric_strings=True).stage is Stage.FEATURES


def test_csv_rows_are_read_under_their_header():
    columns = ("t", "a", "note")
    assert one(b"2026-01-01,1.5,x", columns) == [1.5]
    assert one(b'"a ""b""",True,"x,\ny"', columns) == [1.0]
    assert one(b"1,2", columns).error == "2 fields under a header of 3"
    assert one(b"1,,3", columns).error == "feature 'a' is missing"
    assert one(b"1,nan,3", columns).error == "feature 'a' is missing"
    assert one(b"1,inf,3", columns).error == "feature 'a' is not finite"
    assert one(b'1,"2,3', columns).stage is Stage.DECODE


def test_a_csv_event_keeps_every_field_as_it_stood():
    decoded = decode([Record("t:1", b"007,1.50", columns=("code", "a"))], Schema(("a",)))
    assert json.loads(decoded.events[0].json) == {"code": "007", "a": "1.50"}


@pytest.mark.parametrize("text", ["", "  ", "NaN", "nan", "NULL", "null", "NA", " - ", "\\N"])
def test_text_that_stands_for_nothing_is_missing_in_csv_and_in_strings(text):
    csv = decode(
        [Record("t:1", text.encode() + b",2", columns=("a", "b"))],
        Schema(("a", "b"), missing="median"),
    )
    value = json.dumps({"a": text, "b": 2}).encode()
    for numeric in (True, False):
        schema = Schema(("a", "b"), missing="median", numeric_strings=numeric)
        strings = decode([Record("t:1", value)], schema)
        assert np.array_equal(strings.rows, [[math.nan, 2]], equal_nan=True)
    assert np.array_equal(csv.rows, [[math.nan, 2]], equal_nan=True)
    assert one(value).error == "feature 'a' is missing"


def test_what_counts_as_missing_is_configured():
    missing = frozenset(["-999"])
    assert one(b"-999", ("a",), missing_values=missing).error == "feature 'a' is missing"
    assert one(b"NA", ("a",), missing_values=missing).error.endswith("not a number: 'NA'")


@pytest.mark.parametrize("csv", [False, True])
def test_a_row_of_nothing_but_medians_is_a_dead_letter(csv):
    def one_of(values, **schema):
        if csv:
            value = ",".join("" if x is None else str(x) for x in values).encode()
            return one(value, tuple("abc"), features=tuple("abc"), missing="median", **schema)
        value = json.dumps(dict(zip("abc", values, strict=True))).encode()
        return one(value, features=tuple("abc"), missing="median", **schema)

    assert one_of([1, None, None])[0] == 1
    assert one_of([None] * 3).stage is Stage.FEATURES
    assert one_of([1, 2, None], max_missing=1)[:2] == [1, 2]
    assert one_of([1, None, None], max_missing=1).error == (
        "2 of 3 features are missing, more than event.max_missing allows: 'b, c'"
    )
    assert one_of([1, 2, None], max_missing=0).stage is Stage.FEATURES
    assert one_of([None] * 3, max_missing=3).error.startswith("every feature is missing: 'a, b, c'")


@pytest.mark.parametrize(
    ("feature", "value", "said"),
    [
        ("cpuu", b'{"n": 1, "cpu": 2}', "; did you mean 'cpu'? the fields are n, cpu"),
        ("CPU", b'{"cpu": 2}', "; did you mean 'cpu'? the fields are cpu"),
        ("x", b'{"cpu": 2}', "; the fields are cpu"),
        ("x", b"{}", "; there are no fields"),
        ("cpu", b'{"cpu": null}', ""),
        (
            "disk.0.bussy",
            b'{"disk": [{"busy": 1}]}',
            "; did you mean 'disk.0.busy'? the fields are disk.0.busy",
        ),
    ],
)
def test_where_a_feature_is_missing_the_event_says_what_it_has(feature, value, said):
    assert one(value, features=(feature,)).error == f"feature {feature!r} is missing{said}"


def test_what_an_event_has_is_said_in_few_words():
    wide = json.dumps({f"{n}" * 1000: n for n in range(5000)}).encode()
    assert len(one(wide).error) < 400


HALVES = [
    b'{"a": 1, "file": "caf\\udce9.log", "k": "x"}',
    b'{"a": 1, "title": "cut emoji \\ud83d", "k": "x"}',
    b'{"\\uD800": 1, "a": 1, "k": "x"}',
    b'{"a": 1, "x": "\\ud83d\\ud83d\\ude00\\ud800\\u0041", "k": "x"}',
]


@pytest.mark.parametrize("value", HALVES)
@pytest.mark.parametrize("schema", [Schema(("a",)), Schema(("a",), key=("k",), timestamp="t.x")])
def test_half_a_surrogate_pair_is_no_reason_to_die(value, schema):
    decoded = decode([Record("t:1", value)], schema)
    assert decoded.rows.tolist() == [[1.0]]
    assert decoded.events[0].json == value


def test_half_a_surrogate_pair_in_a_key_or_a_time_is_spelled_out():
    keys = [
        decode([Record("t:1", value)], Schema(("a",), key=("k",), timestamp="k")).events[0].key
        for value in (
            b'{"a": 1, "k": "caf\\udce9"}',
            b'{"a": 1, "k": "caf\\udcea"}',
            b'{"a": 1, "k": {"x": "caf\\udce9"}}',
            b'{"a": 1, "k": "\\ud83d\\ude00 \\\\ud83d"}',
        )
    ]
    assert keys == [b"caf\\udce9", b"caf\\udcea", b'{"x":"caf\\\\udce9"}', "😀 \\ud83d".encode()]


def test_half_a_surrogate_pair_does_not_hide_what_is_wrong():
    assert "not a number: '\\\\ud83d'" in one(b'{"a": "\\ud83d"}').error
    assert "not JSON" in one(b'{"a": 1, "x": "\\ud83d"').error


def test_a_byte_order_mark_before_json_is_no_part_of_it():
    decoded = decode([Record("t/0/1", b'\xef\xbb\xbf{"a": 1}')], Schema(("a",)))
    assert (decoded.rows.tolist(), decoded.events[0].json) == ([[1.0]], b'{"a": 1}')


def test_missing_features_wait_for_the_median_where_configured():
    schema = Schema(("a", "b"), missing="median")
    rows = [b'{"a": 1}', b'{"a": null, "b": 2}', b'{"a": "x", "b": 2}']
    decoded = decode([Record(str(i), row) for i, row in enumerate(rows)], schema)
    assert np.array_equal(decoded.rows, [[1, math.nan], [math.nan, 2]], equal_nan=True)
    assert list(decoded.dead) == [2]


@pytest.mark.parametrize(
    ("written", "milliseconds"),
    [
        ('"2026-01-01T00:00:00Z"', 1767225600000),
        ('"2026-01-01 01:00:00.5+01:00"', 1767225600500),
        ('"2026-01-01 00:00:00"', 1767225600000),
        ("1767225600", 1767225600000),
        ("1767225600.25", 1767225600250),
        ("1767225600000", 1767225600000),
        ("1767225600000500", 1767225600000),
        ("1767225600001999999", 1767225600002),
        ("1767225600001.5", 1767225600002),
        ('"1767225600"', 1767225600000),
        ('" 1767225600.25 "', 1767225600250),
        ('"1767225600,25"', 1767225600250),
        ('"1.767225600e9"', 1767225600000),
        ('"1767225600000"', 1767225600000),
        ('"1712121012345"', 1712121012345),  # which ISO 8601 could take for a day of 1712
        ('"1767225600000500"', 1767225600000),
        ('"1767225600000500000"', 1767225600000),
        ('"20260101"', 1767225600000),
        ('"20260101000001"', 1767225601000),
        ('"99999999"', 99999999000),
        ('"-1767225600"', 42),
        ('"1e999"', 42),
        ('""', 42),
        pytest.param('"' + "9" * 5000 + '"', 42, id="more digits than any number has"),
        ('"yesterday"', 42),
        ("null", 42),
        ("true", 42),
        ("1e300", 42),
        ("-5", 42),
        pytest.param("-1" + "0" * 310, 42, id="beyond any double"),
        ('"0001-01-01T00:00:00+14:00"', 42),
    ],
)
def test_the_time_of_an_event_is_the_fields_or_else_the_records(written, milliseconds):
    record = Record("t:1", b'{"a": 1, "t": %s}' % written.encode(), timestamp_ms=42)
    assert decode([record], Schema(("a",), timestamp="t")).events[0].timestamp_ms == milliseconds


@given(st.integers(10**9, 4 * 10**9), st.sampled_from([1, 10**3, 10**6, 10**9]), st.booleans())
def test_an_epoch_time_means_the_same_in_every_unit_and_in_csv(seconds, unit, csv):
    schema = Schema(("a",), timestamp="t")
    written = b"%d" % (seconds * unit)
    record = (
        Record("t:1", b"1," + written, columns=("a", "t"))
        if csv
        else Record("t:1", b'{"a": 1, "t": %b}' % written)
    )
    assert decode([record], schema).events[0].timestamp_ms == seconds * 1000


def test_the_key_of_a_record_goes_before_the_field():
    schema = Schema(("a",), key=("k",))
    value = b'{"a": 1, "k": 5}'
    assert decode([Record("t:1", value)], schema).events[0].key == b"5"
    assert decode([Record("t:1", value, key=b"own")], schema).events[0].key == b"own"
    assert decode([Record("t:1", b'{"a": 1, "k": "x"}')], schema).events[0].key == b"x"
    assert decode([Record("t:1", b'{"a": 1}')], schema).events[0].key is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=8,
)


@given(json_values.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=60))
def test_any_bytes_end_as_a_finite_row_or_as_a_defect(value):
    schema = Schema(("", "0.a", "a"), max_record_bytes=50)
    decoded = decode([Record("t:1", value)], schema)
    assert len(decoded.rows) + len(decoded.dead) == 1
    assert np.isfinite(decoded.rows).all()


@given(st.binary(max_size=40))
def test_any_bytes_under_a_csv_header_end_as_a_row_or_as_a_defect(value):
    decoded = decode([Record("t:1", value, columns=("a", "b"))], Schema(("b",)))
    assert len(decoded.rows) + len(decoded.dead) == 1
    for event in decoded.events:
        assert b"\n" not in event.json
        assert set(json.loads(event.json)) == {"a", "b"}


CATEGORIES = (
    declare({"of": "s", "fn": "onehot"}),
    "b",
    Function("hour", "hour"),
    declare({"of": "s", "fn": "rarity", "by": "training"}),
    "a",
)


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ('"ok"', b"ok"),
        ("200", b"200"),
        ("true", b"true"),
        ('["x", 1.5]', b'["x",1.5]'),
        ("{}", b"{}"),
    ],
)
def test_a_category_is_the_hash_of_its_text_wherever_it_is_declared(written, text):
    value = f'{{"a": 1, "s": {written}, "b": 2, "at": 21600}}'.encode()
    row = one(value, features=CATEGORIES, timestamp="at")
    number = category_hash(text)
    assert row == [number, 2.0, pytest.approx(1.0), pytest.approx(0.0), number, 1.0]
    assert category_texts()[number] == text.decode()


@pytest.mark.parametrize("written", ["null", '""', '" nan "'])
def test_a_category_may_be_missing(written):
    value = f'{{"a": 1, "s": {written}, "b": 2}}'.encode()
    only = CATEGORIES[:2]
    assert "feature 's' is missing" in one(value, features=only).error
    assert np.isnan(one(value, features=only, missing="median")[0])
