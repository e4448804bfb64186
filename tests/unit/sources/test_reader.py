"""CSV as people have it ends as the events that its writer meant."""

import csv
import hashlib
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectd.errors import ConfigError
from detectd.pipeline.decode import decode
from detectd.pipeline.schema import Schema
from detectd.sources.header import CsvFormat, Header, kept_header
from detectd.sources.reader import QUOTE_SECONDS, Reader

ASKED = CsvFormat(features=("cpu", "mem"))


def read(stream, asked=ASKED, former=None, sizes=(), ended=True):
    """All records of a stream, fed in chunks of these sizes, and the reader."""
    reader = Reader("events.csv", 10_000, rows=True, csv=asked, header=former)
    for size in sizes:
        reader.feed(stream[:size])
        stream = stream[size:]
    reader.feed(stream)
    if ended:
        reader.finish()
    return reader.take(10_000), reader


def rows_of(records, features=("cpu", "mem")):
    decoded = decode(records, Schema(features))
    return decoded.rows.tolist()


fields = st.text(st.sampled_from('ab,;|\t" \né'), max_size=6)


@given(
    table=st.lists(st.tuples(st.floats(-1e9, 1e9), fields, fields), max_size=8),
    delimiter=st.sampled_from(",;\t|"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    line_end=st.sampled_from(["\n", "\r\n"]),
    mark=st.sampled_from([b"", b"\xef\xbb\xbf"]),
    sizes=st.lists(st.integers(0, 9), max_size=30),
    told=st.booleans(),
)
def test_events_are_the_rows_that_a_csv_writer_wrote(
    table, delimiter, quoting, line_end, mark, sizes, told
):
    written = io.StringIO()
    names = ["cpu", "a note", "mem,or;so"]
    writer = csv.writer(written, delimiter=delimiter, quoting=quoting, lineterminator=line_end)
    writer.writerows([names, *table])
    stream = mark + written.getvalue().encode()
    asked = CsvFormat(features=("cpu",), delimiter=delimiter if told else None)
    records, reader = read(stream, asked, sizes=sizes)
    decoded = decode(records, Schema(("cpu",)))
    assert not decoded.dead
    assert [json.loads(event.json) for event in decoded.events] == [
        dict(zip(names, map(str, row), strict=True)) for row in table
    ]
    assert decoded.rows.tolist() == [[row[0]] for row in table]
    assert reader.offset == reader.ahead == len(stream)


@pytest.mark.parametrize(
    "head",
    [
        b"cpu,mem",
        b"n, cpu ,\tmem",
        b"\xef\xbb\xbfcpu,mem,n\r",
        b'\xef\xbb\xbf"cpu","mem"',
        b'n, "cpu", "mem"',
        b"cpu;mem;x,y",
        b"cpu\tmem",
        b"cpu|mem",
        b'cpu;mem;"a\nb"',
        b"cpu,mem,,",
    ],
)
def test_a_first_line_that_names_the_features_is_the_header(head):
    records, reader = read(head + b"\n", sizes=[1] * len(head))
    assert records == []
    assert {"cpu", "mem"} <= set(reader.columns)
    assert (reader.offset, reader.line) == (len(head) + 1, head.count(b"\n") + 1)


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"n,cpuu,mem", "did you mean 'cpuu'"),
        (b"n;Cpu;mem", "did you mean 'Cpu'? the columns are n, Cpu, mem"),
        (b"1,40,60", "set source.csv.columns"),
        (b"cpu,mem,cpu", "names each column once"),
        (b"cpu,mem,gr\xf6\xdfe", "set source.csv.encoding, for example to 'latin-1'"),
        (b"\xff\xfec\0p\0u\0", "iconv -f UTF-16 -t UTF-8"),
        (b"x" * 20_000, "source.max_record_bytes"),
    ],
)
def test_a_stream_that_begins_otherwise_is_refused_with_what_there_is(head, words):
    with pytest.raises(ConfigError) as refused:
        read(head + b"\n1,2,3\n", sizes=[5, 12_000])
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_json_that_is_utf_16_is_refused_too():
    reader = Reader("events.jsonl", 1000, rows=False)
    reader.feed('{"cpu": 1}\n'.encode("utf-16"))
    with pytest.raises(ConfigError, match="UTF-16"):
        reader.take(1)


FORMER = Header(("n", "cpu", "mem"), ",")


@pytest.mark.parametrize("first", [b"7,40,60", b'"7",40,60', b"\xff,40,60", b"x" * 20_000])
@pytest.mark.parametrize("size", [1, 4, 30_000])
def test_a_first_line_that_is_no_header_is_a_row_under_the_former_one(first, size):
    stream = first + b"\n8,41,61\n"
    records, reader = read(stream, former=FORMER, sizes=[size] * (len(stream) // size))
    assert [record.value for record in records] == [first, b"8,41,61"]
    assert reader.header == FORMER
    assert [record.id for record in records] == ["events.csv:1", "events.csv:2"]
    assert rows_of(records[1:]) == [[41, 61]]
    assert reader.remark


def test_a_header_that_has_changed_is_not_taken_for_a_row():
    records, reader = read(b"mem;n;cpu\n1;2;3\n", former=FORMER)
    assert (rows_of(records), reader.remark) == ([[3, 1]], None)
    records, reader = read(b"mem,n,disk\n1,2,3\n", former=FORMER)
    (defect,) = decode(records, Schema(("cpu", "mem"))).dead.values()
    assert defect.error.startswith("feature 'cpu' is missing")
    assert "'cpu'" in reader.remark


@pytest.mark.parametrize("delimiter", [b",", b";", b"\t"])
def test_a_stream_without_a_header_has_the_columns_of_the_configuration(delimiter):
    asked = CsvFormat(features=("cpu", "mem"), columns=("n", "mem", "cpu"))
    row = delimiter.join([b"1", b"2", b"3"]) + b"\n"
    records, reader = read(row * 2, asked)
    assert rows_of(records) == [[3, 2]] * 2
    assert reader.remark is None
    records, _ = read(delimiter.join([b"cpu", b"n", b"mem"]) + b"\n" + row, asked)
    assert rows_of(records) == [[1, 3]]


@pytest.mark.parametrize(
    ("row", "decimal", "rows"),
    [
        (b"1,5;-2.5", None, [[1.5, -2.5]]),
        (b"1,5e3;2", None, [[1500, 2]]),
        (b"1.000,5;2", None, []),
        (b"1,5;2", ".", []),
        (b"1,5;2", ",", [[1.5, 2]]),
        (b"1.5;2", ",", []),
    ],
)
def test_between_semicolons_a_comma_is_a_decimal_mark(row, decimal, rows):
    asked = CsvFormat(features=("cpu", "mem"), decimal=decimal)
    records, _ = read(b"cpu;mem\n" + row + b"\n", asked)
    assert rows_of(records) == rows


def test_between_tabs_a_comma_is_none_unless_configured():
    records, _ = read(b"cpu\tmem\n1,5\t2\n")
    (defect,) = decode(records, Schema(("cpu", "mem"))).dead.values()
    assert "the decimal mark of source.csv.decimal is '.'" in defect.error
    asked = CsvFormat(features=("cpu", "mem"), decimal=",")
    assert rows_of(read(b'cpu,mem\n"1,5",2\n', asked)[0]) == [[1.5, 2]]


def test_latin_1_is_read_if_configured_and_named_if_not():
    stream = "cpu;mem;ort\n1;2;Köln\n".encode("latin-1")
    asked = CsvFormat(features=("cpu", "mem"), encoding="latin-1")
    (event,) = decode(read(stream, asked)[0], Schema(("cpu", "mem"))).events
    assert json.loads(event.json)["ort"] == "Köln"
    (defect,) = decode(read(stream)[0], Schema(("cpu", "mem"))).dead.values()
    assert "set source.csv.encoding = 'latin-1'" in defect.error


def test_an_open_quote_is_given_up_after_a_time_of_waiting():
    stream = b'cpu,mem,note\n1,2,"open\n3,4,x\n7,8,y\n9,9'
    records, reader = read(stream, ended=False)
    assert records == []
    assert not reader.idle(100.0)
    reader.feed(b",z\n")
    assert not reader.idle(100.0 + QUOTE_SECONDS / 2)
    assert reader.idle(100.0 + QUOTE_SECONDS)
    records = reader.take(100)
    lines = stream.split(b"\n")[1:-1]
    assert [record.value for record in records] == [*lines, b"9,9,z"]
    assert reader.offset == len(stream) + 3
    assert not reader.idle(200.0)


def test_a_quote_waits_for_its_end_from_when_it_was_read():
    _, reader = read(b'cpu,mem,note\n1,2,"open\n', ended=False)
    assert not reader.idle(0.0)
    reader.feed(b'closed"\n3,4,"later\n')
    assert len(reader.take(9)) == 1
    assert not reader.idle(QUOTE_SECONDS)
    assert not reader.idle(QUOTE_SECONDS * 1.9)
    reader.feed(b'closed"\n')
    assert [record.value for record in reader.take(9)] == [b'3,4,"later\nclosed"']


def test_a_stray_quote_before_another_waits_for_nothing():
    records, reader = read(b'cpu,mem,note\n1,2,"open\n3,4,"other\n', ended=False)
    assert [record.value for record in records] == [b'1,2,"open']
    reader.feed(b'closed"\n')
    assert [record.value for record in reader.take(9)] == [b'3,4,"other\nclosed"']


def test_after_giving_up_the_position_is_that_of_a_stream_that_begins_there():
    """A crash between the cuts, and a reader that goes on, give the same records."""
    tail = b'1,2,"open\n3,4,x\n5,6,"ok\nok"\n7,8,y\n'
    _, reader = read(b"cpu,mem,note\n" + tail[:16], ended=False)
    reader.idle(0.0)
    reader.idle(QUOTE_SECONDS)
    first = reader.take(1)
    again = Reader(
        "events.csv",
        10_000,
        rows=True,
        csv=ASKED,
        header=reader.header,
        offset=reader.offset,
        line=reader.line,
    )
    rest = tail[reader.offset - len(b"cpu,mem,note\n") :]
    again.feed(rest)
    reader.feed(tail[16:])
    one, other = reader.take(100), again.take(100)
    assert one == other
    assert [record.value for record in first + one] == [
        b'1,2,"open',
        b"3,4,x",
        b'5,6,"ok\nok"',
        b"7,8,y",
    ]


def test_an_open_quote_in_a_first_line_holds_nothing_back_either():
    asked = CsvFormat(features=("cpu", "mem"), columns=("cpu", "mem", "note"))
    records, reader = read(b'1,2,"open\n3,4,x\n', asked, ended=False)
    assert records == []
    assert not reader.idle(0.0)
    assert reader.idle(QUOTE_SECONDS)
    assert rows_of(reader.take(9)) == [[3, 4]]


def test_a_header_is_kept_with_a_position_as_far_as_it_is_short():
    for count in (3, 30, 300):
        header = Header(tuple(f"metric_of_some_service_{n}" for n in range(count)), ";")
        kept = json.loads(json.dumps(header.as_dict()))
        assert kept_header(kept, CsvFormat()) == header
        assert len(json.dumps(kept)) < 1600
    noise = Header(tuple(hashlib.sha256(b"%d" % n).hexdigest() for n in range(300)), ",")
    assert noise.as_dict() is None


def test_a_header_that_the_configuration_overrules_is_not_taken_from_a_position():
    kept = FORMER.as_dict()
    assert kept_header(kept, ASKED) == FORMER
    assert kept_header(None, ASKED) is None
    for asked in (
        CsvFormat(features=("cpu", "disk")),
        CsvFormat(features=("cpu",), delimiter=";"),
        CsvFormat(features=("cpu",), columns=("x", "cpu")),
    ):
        assert kept_header(kept, asked) is None


def test_a_name_that_is_no_text_gives_ids_that_are():
    reader = Reader("caf\udce9.jsonl", 100, rows=False)
    reader.feed(b"{}\n")
    assert reader.take(1)[0].id == "caf\\udce9.jsonl:1"
