"""Detect and parse the header of a CSV stream. Pure.

A line is the header if it names every feature. A stream that continues in a new or truncated file
has a former header, which stays valid if the first line there is not a header.
"""

from __future__ import annotations

import csv
import zlib
from base64 import b64decode, b64encode
from functools import lru_cache
from typing import Any

import msgspec

from detectd.errors import ConfigError
from detectd.pipeline import memory_budget
from detectd.pipeline.absence import alternatives
from detectd.pipeline.records import Dialect

# In order of preference, if several fit a header, as one of a single column does.
DELIMITERS = (",", ";", "\t", "|")

# The maximum bytes of a header in a position, which may have to fit into the metadata of a Kafka
# offset. Longer ones are compressed; if still too long, they are read again from the beginning of
# the file.
LONGEST_PLAIN, LONGEST_KEPT = 500, 1500


class CsvFormat(msgspec.Struct, frozen=True):
    """The configured format of CSV; None is left to the header.

    `columns` are those of a stream without a header line.
    """

    features: tuple[str, ...] = ()
    delimiter: str | None = None
    decimal: str | None = None
    columns: tuple[str, ...] = ()
    encoding: str = "utf-8"


class Header(msgspec.Struct, frozen=True):
    """The names of the columns, and the delimiter: None if no line has shown it yet."""

    columns: tuple[str, ...]
    delimiter: str | None = None

    def dialect(self, asked: CsvFormat) -> Dialect:
        """Return the format of the rows.

        With semicolons as delimiters, numbers may have a decimal comma or point, unless configured.
        """
        delimiter = self.delimiter or ","
        marks = asked.decimal or (".," if delimiter == ";" else ".")
        return Dialect(delimiter, marks, asked.encoding)

    def as_dict(self) -> dict[str, Any] | None:
        """Return the header for a position; None if it is too long."""
        kept = _kept(self.columns)
        return {**kept, "delimiter": self.delimiter} if kept else None

    def names_all(self, features: tuple[str, ...]) -> bool:
        """Return whether each feature is a column."""
        return set(features) <= set(self.columns)


@lru_cache(8)
def _kept(columns: tuple[str, ...]) -> dict[str, Any] | None:
    text = msgspec.json.encode(columns)
    if len(text) <= LONGEST_PLAIN:
        return {"columns": list(columns)}
    packed = b64encode(zlib.compress(text, 9)).decode()
    return {"packed": packed} if len(packed) <= LONGEST_KEPT else None


def kept_header(found: dict[str, Any] | None, asked: CsvFormat) -> Header | None:
    """Return the header in a position; None if there is none, or the configuration has changed."""
    if found is None or asked.columns:
        return None
    if packed := found.get("packed"):
        found = found | {"columns": msgspec.json.decode(zlib.decompress(b64decode(packed)))}
    header = msgspec.convert(found, Header)
    same = asked.delimiter in (None, header.delimiter)
    return header if same and header.names_all(asked.features) else None


class Found(msgspec.Struct, frozen=True):
    """The header, whether the first line is it, and a remark for the operator."""

    header: Header
    is_first_line: bool
    remark: str | None = None


def find_header(line: bytes, name: str, asked: CsvFormat, former: Header | None) -> Found:
    """Return the header of a stream that begins with `line`.

    A line that repeats names of the former header is a header, too, even if it lacks a feature: its
    rows must not be read under outdated names.

    Raise ConfigError if the line is not a header and there is no former one.
    """
    candidates = _candidates(line, name, asked, former)
    complete = [each for each in candidates if each.names_all(asked.features)]
    if complete:
        header = max(complete, key=_width)
        if len(set(header.columns)) < len(header.columns):
            raise _no_header(line, name, asked)
        return Found(header, is_first_line=True)
    if former is None:
        raise _no_header(line, name, asked, max(candidates, key=_width, default=None))
    successor = next((each for each in candidates if _succeeds(each, former)), None)
    if successor is not None:
        lacks = _lacking(asked.features, successor.columns)
        return Found(successor, is_first_line=True, remark=f"the header has changed: {lacks}")
    delimiter = former.delimiter or next(
        (each.delimiter for each in candidates if _width(each) == _width(former)), ","
    )
    return without_header(Header(former.columns, delimiter), asked)


def without_header(former: Header, asked: CsvFormat) -> Found:
    """Return the former header, for a first line that is a row."""
    remark = None if asked.columns else "the first line is not a header; the previous one stays"
    return Found(former, is_first_line=False, remark=remark)


def likely_delimiter(line: bytes, asked: CsvFormat, former: Header | None) -> str:
    """Return the likely delimiter of a first line."""
    if asked.delimiter:
        return asked.delimiter
    if former and former.delimiter:
        return former.delimiter
    return max(DELIMITERS, key=lambda each: line.count(each.encode()))


def _candidates(line: bytes, name: str, asked: CsvFormat, former: Header | None) -> list[Header]:
    """Return the possible headers of the line, one for each delimiter."""
    try:
        text = line.decode(asked.encoding)
    except UnicodeDecodeError as broken:
        if former is not None:
            return []
        raise ConfigError(
            f"{name}: its first line is not a CSV header in {asked.encoding}: byte {broken.start}: "
            f"{broken.reason}; set source.csv.encoding, for example to 'latin-1'"
        ) from None
    found = []
    for delimiter in (asked.delimiter,) if asked.delimiter else DELIMITERS:
        if text.count(delimiter) >= memory_budget.COLUMNS:
            continue
        try:
            rows = list(csv.reader([text], delimiter=delimiter, strict=True, skipinitialspace=True))
        except csv.Error:
            continue
        if len(rows) == 1 and any(columns := _names(rows[0])):
            found.append(Header(columns, delimiter))
    return found


def _names(fields: list[str]) -> tuple[str, ...]:
    """Return the fields stripped of white space; generate names if several are empty."""
    names = [field.strip() for field in fields]
    if names.count("") > 1:
        names = [field or f"column {place}" for place, field in enumerate(names, 1)]
        if not any(map(str.strip, fields)):
            return ()
    return tuple(names)


def _width(header: Header) -> int:
    return len(header.columns)


def _succeeds(header: Header, former: Header) -> bool:
    known = sum(name in former.columns for name in header.columns)
    return 2 * known >= _width(header) and not any(map(_is_number, header.columns))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _lacking(features: tuple[str, ...], columns: tuple[str, ...]) -> str:
    lacks = next(each for each in features if each not in columns)
    known = alternatives(lacks, columns, "columns")
    return f"there is no column {lacks!r} (event.features); {known}"


def too_long(name: str, max_record_bytes: int) -> ConfigError:
    """Return the error for a stream whose first line is too long."""
    return ConfigError(
        f"{name}: its first line is not a CSV header: it has more than source.max_record_bytes = "
        f"{max_record_bytes} bytes"
    )


def _no_header(line: bytes, name: str, asked: CsvFormat, best: Header | None = None) -> ConfigError:
    fix = "for a file without a header line set source.csv.columns"
    if best is None or len(set(best.columns)) < _width(best):
        shown = line[:80].decode(asked.encoding, "replace")
        return ConfigError(
            f"{name}: its first line is not a CSV header, which names each column once: {shown!r}; "
            f"{fix}"
        )
    return ConfigError(
        f"{name}: its first line is not a CSV header: {_lacking(asked.features, best.columns)}; "
        f"{fix}"
    )
