"""The cuts do not depend on the chunks, and lose nothing."""

import csv
import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from detectd.pipeline import memory_budget
from detectd.sources import lines as lines_module
from detectd.sources.lines import LineSplitter, Segment, ends_inside_quotes, fields_behind

text = st.lists(
    st.sampled_from([b"a", b"bc", b'"', b'",a,"', b",", b"\n", b"\r\n", b"\r"]), max_size=60
)
delimiters = st.sampled_from([",", ";", "\t", "|"])
widths = st.none() | st.integers(1, 3)


@pytest.fixture(scope="module", autouse=True)
def short_rows():
    """Rows of few lines at most, so that generated streams reach the bound."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines_module, "MOST_LINES", 6)
        yield


def cut(stream, sizes, rows, limit=1000, **dialect):
    cutter = LineSplitter(limit, rows=rows, **dialect)
    cuts = []
    for size in sizes:
        cuts += cutter.feed(stream[:size])
        stream = stream[size:]
    cuts += cutter.feed(stream) + cutter.finish()
    return [one for cut in cuts for one in ([cut] if isinstance(cut, Segment) else each(cut))]


def each(lines):
    return [Segment(line, 0, len(line) + 1, 1) for line in lines]


def plain_lines(stream, limit=1000):
    """What `split` makes of the whole stream; of a very long line, only the beginning is kept."""
    longest = memory_budget.longest_line(limit)
    lines = stream.split(b"\n")
    ends = [1] * (len(lines) - 1) + [0]
    return [
        Segment(line[:longest].removesuffix(b"\r"), len(line[longest:]), len(line) + line_end, 1)
        for line, line_end in zip(lines, ends, strict=True)
        if line or line_end
    ]


@given(text.map(b"".join), st.lists(st.integers(0, 9), max_size=20))
def test_lines_are_those_of_split_however_the_stream_is_chunked(stream, sizes):
    assert cut(stream, sizes, rows=False) == plain_lines(stream)


def quoted_to_the_end(row):
    """The CSV rules, one character at a time."""
    state = "start"
    for char in row.decode():
        if state == "start":
            state = {'"': "quoted", ",": "start"}.get(char, "plain")
        elif state == "quoted":
            state = "quote" if char == '"' else "quoted"
        elif state == "quote" and char == '"':
            state = "quoted"
        else:
            state = "start" if char == "," else "plain"
    return state == "quoted"


def plain_rows(stream, limit, width):
    """Each row by trying one line, two, and so on; one alone where none of them ends a row."""
    lines, rows = plain_lines(stream, limit), []
    while lines:
        most = min(len(lines), lines_module.MOST_LINES)
        taken = next((n for n in range(1, most + 1) if closes(lines[:n])), 1)
        too_long = any(size_of(lines[:n]) > limit for n in range(1, taken))
        if too_long or not (taken == 1 or is_row(lines[:taken], width)):
            taken = 1
        row = lines[:taken]
        rows.append(Segment(b"\n".join(line.value for line in row), 0, size_of(row), taken))
        lines = lines[taken:]
    return rows


def closes(lines):
    return not quoted_to_the_end(b"\n".join(line.value for line in lines))


def is_row(lines, width):
    """What the csv module says, to which a return outside of quotes is no text."""
    text = b"\n".join(line.value for line in lines).replace(b"\r", b".").decode()
    try:
        (row,) = csv.reader([text], strict=True)
    except csv.Error:
        return False
    return width in (None, len(row))


def size_of(lines):
    return sum(line.size for line in lines)


@given(text.map(b"".join), st.integers(2, 30), widths, delimiters)
@example(b'aaa",a,"",a,"",a,"",a,"",a,"",a,"', 2, None, ",")  # longer than what is kept of a line
def test_rows_are_those_of_a_plain_reading(stream, limit, width, delimiter):
    expected = plain_rows(stream, limit, width)
    written, asked = stream.replace(b",", delimiter.encode()), {"delimiter": delimiter}
    found = cut(written, [3, 5], rows=True, limit=limit, width=width, **asked)
    assert [each.value.replace(delimiter.encode(), b",") for each in found] == [
        each.value for each in expected
    ]
    assert [(each.size, each.lines) for each in found] == [(c.size, c.lines) for c in expected]


@given(text.map(b"".join).filter(lambda line: b"\r" not in line), st.booleans())
def test_the_fields_of_a_line_are_those_of_the_csv_module(line, inside):
    line = line.replace(b"\n", b"") + b'"' * inside
    found = fields_behind(line, inside=inside)
    try:
        (row,) = csv.reader([('"' * inside + line.decode()) or "x"], strict=True)
    except csv.Error as wrong:
        expected = found if "unexpected end of data" in str(wrong) else None
    else:
        expected = len(row) - 1
    assert found == expected


@pytest.mark.slow
@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "line", [b"1,2,3\n", b'1,2""\n', b'b",c,"d\n', b'b",c,"d\n' * 9 + b'x"y\n']
)
def test_a_stray_quote_takes_time_in_proportion(line, monkeypatch):
    monkeypatch.setattr(lines_module, "MOST_LINES", 1000)
    count = 150_000 // line.count(b"\n")
    stream = b'a,"open\n' + line * count
    cuts = cut(stream, [], rows=True, limit=1 << 20, width=3)
    assert sum(each.size for each in cuts) == len(stream)
    assert sum(each.lines for each in cuts) == stream.count(b"\n")


@given(text.map(b"".join), st.lists(st.integers(0, 9), max_size=20), st.integers(2, 30), widths)
def test_rows_do_not_depend_on_the_chunks_and_cover_the_stream(stream, sizes, limit, width):
    whole = cut(stream, [], rows=True, limit=limit, width=width)
    assert cut(stream, sizes, rows=True, limit=limit, width=width) == whole
    assert sum(each.size for each in whole) == len(stream)
    assert sum(each.lines for each in whole) == len(plain_lines(stream))


fields = st.text(st.sampled_from('ab,;|\t"\n é'), max_size=6)


@given(st.lists(st.lists(fields, min_size=3, max_size=3), max_size=6), delimiters)
def test_rows_are_those_that_a_csv_writer_wrote(table, delimiter):
    written = io.StringIO()
    csv.writer(written, delimiter=delimiter, lineterminator="\n").writerows(table)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines_module, "MOST_LINES", 99)
        stream = written.getvalue().encode()
        cuts = cut(stream, [7, 5], rows=True, delimiter=delimiter, width=3)
    read = [next(csv.reader([each.value.decode()], delimiter=delimiter)) for each in cuts]
    assert read == table


def test_a_quote_that_is_never_closed_costs_one_line():
    stream = b'a,"open\n' + b"c,d\n" * 50
    cuts = cut(stream, [], rows=True, limit=60)
    assert cuts[0].value == b'a,"open'
    assert [each.value for each in cuts[1:]] == [b"c,d"] * 50


def test_a_line_without_end_does_not_fill_the_memory():
    cutter = LineSplitter(10, rows=False)
    for _ in range(100):
        assert cutter.feed(b"x" * 10) == []
    (only,) = cutter.feed(b"\n")
    assert only == Segment(b"x" * 160, 840, 1001, 1)


def test_of_a_line_no_more_is_kept_than_the_budget_says():
    assert [memory_budget.longest_line(limit) >> 20 for limit in (1 << 20, 4 << 20, 64 << 20)] == [
        16,
        16,
        64,
    ]


def test_among_short_lines_one_beyond_bearing_is_shortened():
    stream = b"ab\n" + b"x" * 999 + b"\ncd\n"
    long = Segment(b"x" * 160, 839, 1000, 1)
    assert cut(stream, [], rows=False, limit=10) == [
        Segment(b"ab", 0, 3, 1),
        long,
        Segment(b"cd", 0, 3, 1),
    ]


def test_a_quote_opens_only_where_a_field_does():
    assert ends_inside_quotes(b'a,"b')
    assert ends_inside_quotes(b'"a""')
    assert not ends_inside_quotes(b'5" disk,1')
    assert not ends_inside_quotes(b'"a","b"')
    assert not ends_inside_quotes(b'"a""b",c"')


@pytest.mark.parametrize("last", [b'7,"x, y"', b'7,"x"', b'7,x"y', b'"7",x'])
def test_the_rows_between_a_stray_quote_and_the_next_are_rows(last):
    """Whether the next quote seems to close the stray one or not."""
    lines = [b'0,"open', b"1,a", b"2,b", last, b"8,c"]
    cuts = cut(b"\n".join(lines) + b"\n", [], rows=True, width=2)
    assert [each.value for each in cuts] == lines


def test_a_row_over_several_lines_is_one_if_it_has_as_many_fields_as_the_header():
    stream = b'1,"a\nb ""c""\nd",2\n3,x,4\n'
    assert len(cut(stream, [], rows=True, width=3)) == 2
    assert len(cut(stream, [], rows=True, width=2)) == 4


def test_an_open_quote_holds_back_so_many_lines_at_most():
    cutter = LineSplitter(10**6, rows=True)
    given_up = [cutter.feed(line) for line in [b'1,"open\n', *[b"2,x\n"] * 5]]
    assert given_up[:5] == [[]] * 5
    assert [each.value for each in given_up[5]] == [b'1,"open', *[b"2,x"] * 5]
    assert cutter.held == 0


def test_behind_a_stray_quote_a_row_over_several_lines_is_one():
    lines = [b'a,"x', b'b",c,"d', b'e",f', b"1,2,3,4"]
    cuts = cut(b"\n".join(lines) + b"\n", [], rows=True, width=4)
    assert [each.value for each in cuts] == [lines[0], b"\n".join(lines[1:3]), lines[3]]
