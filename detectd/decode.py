"""From bytes to events to the matrix that a detector scores, or to dead letters.

Every record ends either as one row of the matrix or as one dead letter; `Decoded.sound` and
`Decoded.dead` together name each record once.
"""

from __future__ import annotations

import csv
import itertools
import math
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np

from detectd.records import Defect, Event, Stage
from detectd.stamps import NUMBERS, key_bytes, milliseconds
from detectd.typed import on_one_line, typed_reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from detectd.records import Record
    from detectd.typed import Figures

    Read = Callable[[bytes], tuple[Mapping[str, Any], bytes]]

# A CSV field may be as long as a record may; the reader's own limit is 128 KiB.
csv.field_size_limit(2**31 - 1)


@dataclass(frozen=True, slots=True)
class Schema:
    """What of an event becomes the feature vector, and which fields give key and timestamp.

    A feature is the name of a field, or a path into nested objects and arrays: `disk.0.busy`.
    With `missing="median"` an absent or null feature becomes NaN, to be imputed by whoever knows
    the training data. `read` is for values that are not JSON: it gives an event's fields and the
    same as one line of JSON, or raises Defect.
    """

    features: tuple[str, ...]
    key: str | None = None
    timestamp: str | None = None
    numeric_strings: bool = False
    missing: Literal["dead_letter", "median"] = "dead_letter"
    max_record_bytes: int = 1_048_576
    read: Read | None = None


@dataclass(frozen=True, slots=True)
class Decoded:
    """The matrix (k, d), the k events behind its rows, and what could not become a row.

    `sound[i]` is the place in the batch of the record behind row i; `dead` maps the other places
    to the stage and the error.
    """

    rows: NDArray[np.float64]
    events: list[Event]
    sound: Sequence[int]
    dead: dict[int, Defect]

    def without(self, defects: Mapping[int, Defect]) -> Decoded:
        """The same, but for the rows with a defect, which are dead as well."""
        kept = [i for i in range(len(self.events)) if i not in defects]
        return Decoded(
            self.rows[kept],
            [self.events[i] for i in kept],
            [self.sound[i] for i in kept],
            self.dead | {self.sound[i]: defect for i, defect in defects.items()},
        )


def decode(records: Sequence[Record], schema: Schema) -> Decoded:
    """Decode a batch; rows are float64 (k, d), finite but for features to be imputed."""
    known: list[Event | None] = [None] * len(records)
    figures: list[Figures | None] = [None] * len(records)
    read_typed = typed_reader(schema)
    places: Sequence[int] = range(len(records))
    left = read_typed(records, known, figures) if read_typed else places
    dead: dict[int, Defect] = {}
    for place in left:
        try:
            known[place], figures[place] = _event(records[place], schema)
        except Defect as defect:
            dead[place] = defect
    events = [event for event in known if event is not None]
    rows = _matrix(filter(None, figures), len(events), len(schema.features))
    return Decoded(rows, events, [i for i in places if i not in dead] if dead else places, dead)


def _matrix(figures: Iterable[Figures], height: int, width: int) -> NDArray[np.float64]:
    """Rows (height, width); packing is three times as fast as numpy's own look at each number."""
    rows = np.empty((height, width))
    struct.pack_into(f"{height * width}d", rows.data, 0, *itertools.chain.from_iterable(figures))
    return rows


def _event(record: Record, schema: Schema) -> tuple[Event, Figures]:
    """Whatever the typed reader leaves: the event and its features, or Defect."""
    fields, text = _fields(record, schema)
    csv = record.columns is not None
    figures = tuple(_number(fields, _path(name), schema, csv) for name in schema.features)
    return Event(text, _key(record, fields, schema), _time(record, fields, schema)), figures


def _fields(record: Record, schema: Schema) -> tuple[Mapping[str, Any], bytes]:
    """The event's fields, and its original value as one line of JSON."""
    value = record.value
    if value is None:
        raise Defect(Stage.DECODE, "the record has no value (a tombstone)")
    size, max_bytes = len(value) + record.dropped, schema.max_record_bytes
    if size > max_bytes:
        kept = f"; its first {len(value)} are kept" if record.dropped else ""
        raise Defect(Stage.DECODE, f"{size} bytes, more than max_record_bytes = {max_bytes}{kept}")
    if not value.strip():
        raise Defect(Stage.DECODE, "the record is empty")
    if schema.read is not None:
        return schema.read(value)
    try:
        text = value.decode()
    except UnicodeDecodeError as broken:
        raise Defect(Stage.DECODE, f"not UTF-8: byte {broken.start}: {broken.reason}") from None
    if record.columns is not None:
        fields = _csv_fields(text, record.columns)
        return fields, msgspec.json.encode(fields)
    return _json_fields(value), on_one_line(value)


def _json_fields(value: bytes) -> dict[str, Any]:
    try:
        fields = msgspec.json.decode(value)
    except msgspec.ValidationError:
        raise Defect(Stage.DECODE, "a number is too large for a double") from None
    except (ValueError, RecursionError) as broken:
        raise Defect(Stage.DECODE, f"not JSON: {broken}") from None
    if not isinstance(fields, dict):
        raise Defect(Stage.DECODE, f"not a JSON object but {kind_of(fields)}")
    return fields


def _csv_fields(text: str, columns: tuple[str, ...]) -> dict[str, str]:
    try:
        # Quoted line breaks are part of the record, so the text goes in whole, not line by line.
        rows = list(csv.reader([text], strict=True))
    except csv.Error as broken:
        raise Defect(Stage.DECODE, f"not CSV: {broken}") from None
    if len(rows) != 1 or len(rows[0]) != len(columns):
        found = sum(map(len, rows))
        raise Defect(Stage.DECODE, f"{found} fields under a header of {len(columns)}")
    return dict(zip(columns, rows[0], strict=True))


def fields_of(record: Record, schema: Schema) -> Mapping[str, Any] | None:
    """The fields of a record's event; None if it is a dead letter."""
    try:
        return _fields(record, schema)[0]
    except Defect:
        return None


def field_of(fields: Mapping[str, Any], name: str) -> Any:
    """The value of a field, by its name or its path; None where there is none."""
    return _lookup(fields, _path(name))


@lru_cache(4096)
def _path(feature: str) -> tuple[str, ...]:
    """The whole name first, since flat events may have dots in their names; then its parts."""
    return (feature, *feature.replace("[", ".").replace("]", "").split("."))


def _lookup(fields: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """The value at the path, or None where there is nothing."""
    if path[0] in fields:
        return fields[path[0]]
    here: Any = fields
    for part in path[1:]:
        if isinstance(here, dict):
            here = here.get(part)
        elif isinstance(here, list) and part.isdecimal() and int(part) < len(here):
            here = here[int(part)]
        else:
            return None
    return here


def _number(fields: Mapping[str, Any], path: tuple[str, ...], schema: Schema, csv: bool) -> float:
    """The feature as a finite double; NaN where it is missing and will be imputed."""
    value = _lookup(fields, path)
    if value is None or (csv and not value.strip()):
        if schema.missing == "median":
            return math.nan
        raise Defect(Stage.FEATURES, f"feature {path[0]!r} is missing")
    if isinstance(value, str):
        value = _parsed(value, path[0], csv or schema.numeric_strings)
    if not isinstance(value, NUMBERS):
        raise Defect(Stage.FEATURES, f"feature {path[0]!r} is {kind_of(value)}, not a number")
    try:
        number = float(value)
    except OverflowError:
        raise Defect(Stage.FEATURES, f"feature {path[0]!r} is too large for a double") from None
    if not math.isfinite(number):
        raise Defect(Stage.FEATURES, f"feature {path[0]!r} is not finite")
    return number


def _parsed(text: str, feature: str, numeric: bool) -> float | bool:
    word = text.strip().lower()
    if numeric and word in {"true", "false"}:
        return word == "true"
    try:
        # Python reads 1_000 as a number; no event means that.
        if numeric and "_" not in word:
            return float(word)
    except ValueError:
        pass
    raise Defect(Stage.FEATURES, f"feature {feature!r} is text, not a number: {text[:40]!r}")


def kind_of(value: object) -> str:
    """What JSON calls a value of that type."""
    names = {
        dict: "an object",
        list: "an array",
        str: "text",
        bool: "a boolean",
        type(None): "null",
    }
    return names.get(type(value), "a number")


def _key(record: Record, fields: Mapping[str, Any], schema: Schema) -> bytes | None:
    """The record's own key, or the configured field's text."""
    if record.key is not None or schema.key is None:
        return record.key
    return key_bytes(field_of(fields, schema.key))


def _time(record: Record, fields: Mapping[str, Any], schema: Schema) -> int | None:
    """The configured field where it holds a time, else the record's own timestamp."""
    if schema.timestamp is None:
        return record.timestamp_ms
    found = milliseconds(field_of(fields, schema.timestamp))
    return record.timestamp_ms if found is None else found
