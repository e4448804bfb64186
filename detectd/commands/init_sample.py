"""Read the first events of an unknown file, and detect its format.

The format is detected from the bytes: JSON lines or CSV, the encoding, the separators of fields and
decimals, and whether there is a header.
"""

from __future__ import annotations

import csv
import gzip
import itertools
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from detectd.errors import UsageError
from detectd.filesystem.os_errors import explained
from detectd.pipeline.field_guessing import number
from detectd.pipeline.fields import milliseconds
from detectd.pipeline.nesting import any_deeper
from detectd.pipeline.surrogates import decode_json
from detectd.settings.ends import SUFFIXES, RowFormat
from detectd.settings.loader import decoded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

# How many bytes of a file are examined.
LONGEST = 16 << 20
RECORDS = 20_000

# The default of `source.max_depth`, as there is no configuration yet.
DEEPEST = 128

DELIMITERS = (",", ";", "\t", "|")

# How many rows decide on the delimiter, and how many of them must have the same width.
FIRST_ROWS = 50
MOST = 0.9


@dataclass(frozen=True)
class Sample:
    """Events, and the settings needed to read them; `total` counts the records.

    `csv` holds the keys of [source.csv] that need a value, with the reason for each.
    """

    events: Sequence[Mapping[str, Any]]
    total: int
    row_format: RowFormat
    csv: dict[str, tuple[Any, str]] = field(default_factory=dict)


def sample(path: Path) -> Sample:
    """Read the first events at `path`. Raise UsageError if there are none."""
    text, encoding = _text(path, _content(path))
    first = text.lstrip()[:1]
    if first == "[":
        raise UsageError(
            f"--input {path}: is a JSON array, not one record per line; convert it with: "
            "jq -c '.[]'"
        )
    named = next((SUFFIXES[end] for end in reversed(path.suffixes) if end in SUFFIXES), None)
    row_format: RowFormat = named or ("json" if first == "{" else "csv")
    if row_format == "json":
        lines = text.splitlines()[:RECORDS]
        return Sample([e for line in lines if (e := _object(line)) is not None], len(lines), "json")
    found = _rows(text)
    if encoding != "utf-8":
        found.csv["encoding"] = (encoding, "it is not UTF-8")
    return found


def _content(path: Path) -> bytes:
    try:
        if not path.stat().st_size:
            raise UsageError(f"--input {path}: is empty; name a file with records")
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(LONGEST)
    except (gzip.BadGzipFile, EOFError) as damaged:
        raise UsageError(f"--input {path}: cannot be read: {damaged}; name another file") from None
    except OSError as refused:
        raise explained(
            refused, f"--input {path}: cannot be read", "name another file", operators=UsageError
        ) from None
    # A truncated last line is not a record.
    return content[: content.rfind(b"\n") + 1] if len(content) == LONGEST else content


def _text(path: Path, content: bytes) -> tuple[str, str]:
    """Return the text and its encoding. Any bytes are valid Latin-1, so only UTF-16 and the like
    are refused."""
    try:
        return decoded(content), "utf-8"
    except ValueError as broken:
        if "byte" in str(broken):
            return content.decode("latin-1"), "latin-1"
        raise UsageError(f"--input {path}: {broken}; save it as UTF-8") from None


def _object(line: str) -> Mapping[str, Any] | None:
    value = line.encode()
    if any_deeper((value,), DEEPEST):
        return None
    try:
        found: Any = decode_json(value)
    except (msgspec.DecodeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _rows(text: str) -> Sample:
    """Return the events of CSV: with its header, or with generated column names."""
    delimiter = _delimiter(text)
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter, skipinitialspace=True)
    rows = [row for row in itertools.islice(reader, RECORDS + 1) if row]
    asked: dict[str, tuple[Any, str]] = {}
    names = [name.strip() for name in rows[0]] if rows else []
    if _is_header(names):
        rows = rows[1:]
    else:
        names = [f"column_{place}" for place in range(1, len(names) + 1)]
        asked["columns"] = (names, "there is no header line: give the columns meaningful names")
    events = [dict(zip(names, row, strict=True)) for row in rows if len(row) == len(names)]
    if delimiter != "," and _has_decimal_commas(events):
        events = [{name: _with_point(value) for name, value in e.items()} for e in events]
        if delimiter != ";":
            asked["decimal"] = (",", "numbers are written with a comma")
    return Sample(events, len(rows), "csv", asked)


def _delimiter(text: str) -> str:
    """Return the delimiter that gives most rows the same number of fields, and the most fields."""
    lines = text.splitlines(keepends=True)[:FIRST_ROWS]
    widths: dict[str, int] = {}
    for delimiter in DELIMITERS:
        rows = [row for row in csv.reader(lines, delimiter=delimiter) if row]
        if rows:
            (width, count), *_ = Counter(map(len, rows)).most_common()
            widths[delimiter] = width if count >= MOST * len(rows) else 0
    return max(widths, key=lambda each: widths[each], default=",")


def _is_header(names: Sequence[str]) -> bool:
    """Return whether a first row is a header: all different, none of them a number or a time."""
    values = any(number(name) is not None or milliseconds(name) is not None for name in names)
    return not values and len(set(names)) == len(names)


def _has_decimal_commas(events: Sequence[Mapping[str, str]]) -> bool:
    return any(_with_point(value) is not value for event in events for value in event.values())


def _with_point(text: str) -> str:
    """Return a number with a decimal comma as one with a point; other text as it is."""
    if text.count(",") != 1 or "." in text:
        return text
    pointed = text.replace(",", ".")
    return pointed if number(pointed.strip()) is not None else text
