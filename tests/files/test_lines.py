"""The cuts do not depend on the chunks, and lose nothing."""

import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectd.sources.lines import BEARABLE, Cut, Cutter, ends_inside_quotes

text = st.lists(st.sampled_from([b"a", b"bc", b'"', b",", b"\n", b"\r\n", b"\r"]), max_size=60)


def cut(stream, sizes, rows, limit=1000):
    cutter = Cutter(limit, rows=rows)
    cuts = []
    for size in sizes:
        cuts += cutter.feed(stream[:size])
        stream = stream[size:]
    cuts += cutter.feed(stream) + cutter.finish()
    return [one for cut in cuts for one in ([cut] if isinstance(cut, Cut) else each(cut))]


def each(lines):
    return [Cut(line, 0, len(line) + 1, 1) for line in lines]


def plain_lines(stream):
    """What `split` makes of the whole stream."""
    lines = stream.split(b"\n")
    last = lines.pop()
    cuts = [Cut(line.removesuffix(b"\r"), 0, len(line) + 1, 1) for line in lines]
    return cuts + ([Cut(last.removesuffix(b"\r"), 0, len(last), 1)] if last else [])


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


def plain_rows(stream, limit):
    """Each row by trying one line, two, and so on; one alone where none of them ends a row."""
    lines, rows = plain_lines(stream), []
    while lines:
        taken = next((n for n in range(1, len(lines) + 1) if closes(lines[:n])), 1)
        if any(size_of(lines[:n]) > limit for n in range(1, taken)):
            taken = 1
        row = lines[:taken]
        rows.append(Cut(b"\n".join(line.value for line in row), 0, size_of(row), taken))
        lines = lines[taken:]
    return rows


def closes(lines):
    return not quoted_to_the_end(b"\n".join(line.value for line in lines))


def size_of(lines):
    return sum(line.size for line in lines)


@given(text.map(b"".join), st.integers(2, 30))
def test_rows_are_those_of_a_plain_reading(stream, limit):
    assert cut(stream, [3, 5], rows=True, limit=limit) == plain_rows(stream, limit)


@given(text.map(b"".join), st.booleans())
def test_quotes_are_followed_from_either_side(line, inside):
    expected = quoted_to_the_end((b'"' if inside else b"") + line)
    assert ends_inside_quotes(line, inside=inside) == expected


@pytest.mark.timeout(20)
@pytest.mark.parametrize("line", [b"1,2,3\n", b'1,2""\n', b'b",c,"d\n'])
def test_a_stray_quote_takes_time_in_proportion(line):
    stream = b'a,"open\n' + line * 150_000
    cuts = cut(stream, [], rows=True, limit=1 << 20)
    assert sum(each.size for each in cuts) == len(stream)
    assert sum(each.lines for each in cuts) == 150_001


@given(text.map(b"".join), st.lists(st.integers(0, 9), max_size=20), st.integers(2, 30))
def test_rows_do_not_depend_on_the_chunks_and_cover_the_stream(stream, sizes, limit):
    whole = cut(stream, [], rows=True, limit=limit)
    assert cut(stream, sizes, rows=True, limit=limit) == whole
    assert sum(each.size for each in whole) == len(stream)
    assert sum(each.lines for each in whole) == len(plain_lines(stream))


fields = st.text(st.sampled_from('ab,"\n é'), max_size=6)


@given(st.lists(st.lists(fields, min_size=2, max_size=3), max_size=6))
def test_rows_are_those_that_a_csv_writer_wrote(table):
    import io

    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows(table)
    cuts = cut(written.getvalue().encode(), [7, 5], rows=True)
    assert [next(csv.reader([each.value.decode()])) for each in cuts] == table


def test_a_quote_that_is_never_closed_costs_one_line():
    stream = b'a,"open\n' + b"c,d\n" * 50
    cuts = cut(stream, [], rows=True, limit=60)
    assert cuts[0].value == b'a,"open'
    assert [each.value for each in cuts[1:]] == [b"c,d"] * 50


def test_a_line_without_end_does_not_fill_the_memory():
    cutter = Cutter(10, rows=False)
    for _ in range(100):
        assert cutter.feed(b"x" * 10) == []
    (only,) = cutter.feed(b"\n")
    assert only == Cut(b"x" * 10 * BEARABLE, 1000 - 10 * BEARABLE, 1001, 1)


def test_among_short_lines_one_beyond_bearing_is_shortened():
    stream = b"ab\n" + b"x" * 999 + b"\ncd\n"
    long = Cut(b"x" * 10 * BEARABLE, 999 - 10 * BEARABLE, 1000, 1)
    assert cut(stream, [], rows=False, limit=10) == [
        Cut(b"ab", 0, 3, 1),
        long,
        Cut(b"cd", 0, 3, 1),
    ]


def test_a_quote_opens_only_where_a_field_does():
    assert ends_inside_quotes(b'a,"b')
    assert ends_inside_quotes(b'"a""')
    assert not ends_inside_quotes(b'5" disk,1')
    assert not ends_inside_quotes(b'"a","b"')
    assert not ends_inside_quotes(b'"a""b",c"')
