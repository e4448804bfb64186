"""How a file is written is found out from its bytes, and said in the first configuration."""

from __future__ import annotations

import gzip
import tomllib

import pytest

from detectd.commands.init import first_config
from detectd.commands.init_sample import sample
from detectd.errors import UsageError

HEADER = ["time", "host", "load", "größe"]
ROWS = [
    [
        f"2026-11-23 12:{i // 60:02}:{i % 60:02}",
        f"h{i % 3}",
        f"{i * 7 % 11 + 0.5}",
        f"{i * 5 % 13}.25",
    ]
    for i in range(100)
]


def written(delimiter=",", header=True, comma=False):
    rows = [[*row[:2], *(x.replace(".", ",") if comma else x for x in row[2:])] for row in ROWS]
    return "".join(f"{delimiter.join(row)}\n" for row in ([HEADER] if header else []) + rows)


def config_for(path, content):
    path.write_bytes(content)
    return tomllib.loads(first_config(path, path.parent))


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_rows_need_no_word_of_their_delimiter(tmp_path, delimiter, line_end):
    text = written(delimiter).replace("\n", line_end)
    config = config_for(tmp_path / "rows.csv", b"\xef\xbb\xbf" + text.encode())
    assert config["source"] == {"kind": "file", "path": "rows.csv", "follow": False}
    assert config["event"] == {"features": ["load", "größe"], "timestamp": "time", "key": "host"}


@pytest.mark.parametrize(
    ("content", "asked"),
    [
        (written(";", comma=True).encode(), None),  # as an office in Europe has it
        (written("\t", comma=True).encode(), {"decimal": ","}),
        (written().encode("latin-1"), {"encoding": "latin-1"}),
    ],
)
def test_what_the_header_does_not_say_is_configured(tmp_path, content, asked):
    config = config_for(tmp_path / "rows.csv", content)
    assert config["source"].get("csv") == asked
    assert config["event"]["features"] == ["load", "größe"]


def test_columns_without_a_header_get_names(tmp_path):
    config = config_for(tmp_path / "rows.csv", written(header=False).encode())
    assert config["source"]["csv"]["columns"] == [f"column_{i}" for i in (1, 2, 3, 4)]
    assert config["event"]["features"] == ["column_3", "column_4"]
    assert config["event"]["timestamp"] == "column_1"


def test_words_for_nothing_are_no_text(tmp_path):
    lines = written().splitlines()
    for place, word in enumerate(("NaN", "NA", "-", "\\N", "null", "")):
        fields = lines[5 + place].split(",")
        lines[5 + place] = ",".join([*fields[:2], word, fields[3]])
    config = config_for(tmp_path / "rows.csv", "\n".join(lines).encode())
    assert config["event"]["features"] == ["load", "größe"]
    assert config["event"]["missing"] == "median"


@pytest.mark.parametrize("name", ["events.log", "events", "events.log.gz"])
def test_the_format_is_said_where_the_name_does_not(tmp_path, name):
    content = b"".join(b'{"a": %d.5, "b": "x"}\n' % (i * 7 % 11) for i in range(50))
    content = gzip.compress(content) if name.endswith(".gz") else content
    assert config_for(tmp_path / name, content)["source"]["format"] == "json"


@pytest.mark.parametrize("name", ["events.jsonl", "events.jsonl.gz", "events.ndjson.1"])
def test_a_name_that_says_it_is_enough(tmp_path, name):
    content = b"".join(b'{"a": %d.5, "b": "x"}\n' % (i * 7 % 11) for i in range(50))
    content = gzip.compress(content) if name.endswith(".gz") else content
    assert "format" not in config_for(tmp_path / name, content)["source"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (written().encode("utf-16"), "not UTF-8 text but UTF-16; save it as UTF-8"),
        (b'[{"a": 1},\n {"a": 2}]', "is a JSON array"),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path, content, words):
    path = tmp_path / "in.csv"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=words):
        sample(path)


def test_broken_records_are_counted_and_passed_over(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text('{"a": 1}\nbroken\n[1]\n{"a": 2}\n')
    found = sample(path)
    assert (found.total, list(found.events)) == (4, [{"a": 1}, {"a": 2}])


def test_few_rows_get_a_contamination_that_a_model_can_be_made_of(tmp_path):
    few = "\n".join(written().splitlines()[:31])
    assert config_for(tmp_path / "rows.csv", few.encode())["detector"]["contamination"] == 0.14
    assert (
        config_for(tmp_path / "rows.csv", written().encode())["detector"]["contamination"] == 0.04
    )
