"""Parse a record's bytes to the event's fields: JSON, CSV, or by the schema's reader."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import msgspec

from detectd.pipeline import memory_budget, unexpected_errors
from detectd.pipeline.fast_json import on_one_line
from detectd.pipeline.nesting import any_deeper, depth
from detectd.pipeline.records import RecordError, Stage
from detectd.pipeline.surrogates import decode_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from detectd.pipeline.records import Record
    from detectd.pipeline.schema import Schema

# A CSV field may be as long as a record may; the reader's own limit is 128 KiB.
csv.field_size_limit(2**31 - 1)

BYTE_ORDER_MARK = "\ufeff".encode()


def read_fields(record: Record, schema: Schema) -> tuple[Mapping[str, Any], bytes]:
    """Return the event's fields, and its original value as one line of JSON."""
    value = record.value
    if value is None:
        raise RecordError(Stage.DECODE, "the record has no value (a tombstone)")
    size, max_bytes = len(value) + record.dropped, schema.max_record_bytes
    if size > max_bytes:
        kept = f"; its first {len(value)} are kept" if record.dropped else ""
        raise RecordError(
            Stage.DECODE, f"{size} bytes, more than max_record_bytes = {max_bytes}{kept}"
        )
    if record.dropped:
        raise RecordError(
            Stage.DECODE, f"more than {memory_budget.HEADERS:,} headers; only these are kept"
        )
    if not value.strip():
        raise RecordError(Stage.DECODE, "the record is empty")
    if schema.read is not None:
        read, line = schema.read(value)
        _require_shallow(line, schema)
        return read, line
    if record.columns is not None:
        text = _text(value, record.dialect.encoding)
        fields = _csv_fields(text, record.columns, record.dialect.delimiter)
        return fields, msgspec.json.encode(fields)
    value = value.removeprefix(BYTE_ORDER_MARK)
    _text(value)
    _require_shallow(value, schema)
    return _json_fields(value), on_one_line(value)


def _require_shallow(text: bytes, schema: Schema) -> None:
    """Raise RecordError if JSON is nested deeper than the schema allows."""
    most = schema.max_depth
    if any_deeper((text,), most):
        error = f"nested {depth(text)} deep, more than source.max_depth = {most}"
        raise RecordError(Stage.DECODE, error)


def _text(value: bytes, encoding: str | None = None) -> str:
    """Return the text; CSV has an `encoding` of its own, and JSON is UTF-8."""
    try:
        return value.decode(encoding or "utf-8")
    except UnicodeDecodeError as broken:
        named = "UTF-8" if broken.encoding == "utf-8" else encoding
        hint = "; if it is Latin-1, set source.csv.encoding = 'latin-1'" if encoding else ""
        raise RecordError(
            Stage.DECODE, f"not {named}: byte {broken.start}: {broken.reason}{hint}"
        ) from None


def _json_fields(value: bytes) -> dict[str, Any]:
    try:
        fields: Any = decode_json(value)
    except msgspec.ValidationError:
        raise RecordError(Stage.DECODE, "a number is too large for a double") from None
    except (ValueError, RecursionError) as broken:
        raise RecordError(Stage.DECODE, f"not JSON: {broken}") from None
    if not isinstance(fields, dict):
        raise RecordError(Stage.DECODE, f"not a JSON object but {kind_of(fields)}")
    return fields


def _csv_fields(text: str, columns: tuple[str, ...], delimiter: str) -> dict[str, str]:
    try:
        # Quoted line breaks are part of the record, so it is parsed whole, not line by line.
        rows = list(csv.reader([text], delimiter=delimiter, strict=True))
    except csv.Error as broken:
        raise RecordError(Stage.DECODE, f"not CSV: {broken}") from None
    if len(rows) != 1 or len(rows[0]) != len(columns):
        found = sum(map(len, rows))
        raise RecordError(Stage.DECODE, f"{found} fields under a header of {len(columns)}")
    return dict(zip(columns, rows[0], strict=True))


def fields_of(record: Record, schema: Schema) -> Mapping[str, Any] | None:
    """Return the fields of a record's event; None if it is a dead letter."""
    try:
        return read_fields(record, schema)[0]
    except RecordError:
        return None
    except Exception as cause:  # noqa: BLE001 - it gets its dead letter, with the reason, elsewhere
        unexpected_errors.defect(Stage.DECODE, cause)
        return None


def kind_of(value: object) -> str:
    """Return the JSON name of the value's type."""
    names = {
        dict: "an object",
        list: "an array",
        str: "text",
        bool: "a boolean",
        type(None): "null",
    }
    return names.get(type(value), "a number")
