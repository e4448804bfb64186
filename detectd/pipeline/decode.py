"""From bytes to events to the matrix that a detector scores, or to dead letters.

Every record ends either as one row of the matrix or as one dead letter; `Decoded.sound` and
`Decoded.dead` together name each record once.
"""

from __future__ import annotations

import csv
import itertools
import math
import struct
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np

from detectd import features
from detectd.pipeline import memory_budget, unexpected_errors
from detectd.pipeline.absence import what_is_there
from detectd.pipeline.fast_json import on_one_line, typed_reader
from detectd.pipeline.fields import NUMBERS, category_hash, joined_key, key_bytes, milliseconds
from detectd.pipeline.nesting import any_deeper, depth
from detectd.pipeline.records import MISSING_VALUES, Event, RecordError, Stage
from detectd.pipeline.surrogates import decode_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from detectd.pipeline.fast_json import Figures
    from detectd.pipeline.records import Dialect, Record

    Read = Callable[[bytes], tuple[Mapping[str, Any], bytes]]

# A CSV field may be as long as a record may; the reader's own limit is 128 KiB.
csv.field_size_limit(2**31 - 1)

BYTE_ORDER_MARK = "\ufeff".encode()


@dataclass(frozen=True, slots=True)
class Schema:
    """What of an event becomes the feature vector, and which fields give key and timestamp.

    A feature is the name of a field, or a path into nested objects and arrays: `disk.0.busy`.
    Missing is a feature that is absent or null, or whose text is one of `missing_values` (compared
    without the case of letters and without white space around it). With `missing="median"` it
    becomes NaN, to be imputed by whoever knows the training data, unless more than `max_missing`
    features are, or all of them. `read` is for values that are not JSON: it gives an event's fields
    and the same as one line of JSON, or raises Defect.

    A feature may be a function as well, with columns of its own: of the event's time, or of what
    came before with the same key. `columns` are those of the feature vector, `labels` the feature
    behind each. What is read of an event are `fields`, numbers, and `categories`, as hashes of
    their text; `sources` are all features with the field of each. Those that are `timed` are
    missing from an event without a time. A `key` of several fields is the JSON array of their
    values.
    """

    features: tuple[features.Declared, ...]
    key: tuple[str, ...] = ()
    timestamp: str | None = None
    numeric_strings: bool = False
    missing: Literal["dead_letter", "median"] = "dead_letter"
    missing_values: frozenset[str] = frozenset(map(str.lower, MISSING_VALUES))
    max_missing: int | None = None
    max_record_bytes: int = 1_048_576
    max_depth: int = 128
    read: Read | None = None
    columns: tuple[str, ...] = field(init=False, repr=False, compare=False)
    labels: tuple[str, ...] = field(init=False, repr=False, compare=False)
    fields: tuple[str, ...] = field(init=False, repr=False, compare=False)
    categories: tuple[str, ...] = field(init=False, repr=False, compare=False)
    sources: tuple[tuple[str, str | None], ...] = field(init=False, repr=False, compare=False)
    timed: tuple[str, ...] = field(init=False, repr=False, compare=False)
    remembers: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        declared = self.features
        read = features.fields(declared)
        for name, value in (
            ("columns", features.columns(declared)),
            ("labels", features.labels(declared)),
            ("fields", read.numbers),
            ("categories", read.categories),
            ("sources", tuple(map(features.source, declared))),
            ("timed", tuple(features.source(x)[0] for x in declared if features.needs_time(x))),
            ("remembers", any(isinstance(each, features.History) for each in declared)),
        ):
            object.__setattr__(self, name, value)

    @property
    def imputable(self) -> int:
        """How many features may be missing from an event that still gets a row."""
        if self.missing == "dead_letter":
            return 0
        most = len(self.features) - 1
        return most if self.max_missing is None else min(self.max_missing, most)


@dataclass(frozen=True, slots=True)
class Decoded:
    """The matrix (k, d), the k events behind its rows, and what could not become a row.

    If a feature is one of what came before with the same key, the rows are what was read of the
    events, (k, fields and categories): their columns depend on the events before them.

    `sound[i]` is the place in the batch of the record behind row i; `dead` maps the other places
    to the stage and the error.
    """

    rows: NDArray[np.float64]
    events: list[Event]
    sound: Sequence[int]
    dead: dict[int, RecordError]


def decode(records: Sequence[Record], schema: Schema) -> Decoded:
    """Decode a batch; rows are float64 (k, d), finite but for features to be imputed."""
    known: list[Event | None] = [None] * len(records)
    figures: list[Figures | None] = [None] * len(records)
    read_typed = typed_reader(schema)
    places: Sequence[int] = range(len(records))
    left = read_typed(records, known, figures) if read_typed else places
    dead: dict[int, RecordError] = {}
    for place in left:
        stage = Stage.DECODE
        try:
            fields, text = _fields(records[place], schema)
            stage = Stage.FEATURES
            known[place], figures[place] = _event(records[place], fields, text, schema)
        except RecordError as defect:
            # Another one: the traceback of this would keep all that was decoded of the event.
            dead[place] = RecordError(defect.stage, defect.error)
        except Exception as cause:  # noqa: BLE001 - no record ends the stream
            dead[place] = unexpected_errors.defect(stage, cause)
    events = [event for event in known if event is not None]
    read = (each for each in figures if each is not None)
    rows = _matrix(read, len(events), len(schema.fields) + len(schema.categories))
    if schema.timed and not schema.remembers:
        rows = features.assemble(schema.features, rows, _times(events))
    return Decoded(rows, events, [i for i in places if i not in dead] if dead else places, dead)


def _matrix(figures: Iterable[Figures], height: int, width: int) -> NDArray[np.float64]:
    """Rows (height, width); packing is three times as fast as numpy's own look at each number."""
    rows = np.empty((height, width))
    struct.pack_into(f"{height * width}d", rows.data, 0, *itertools.chain.from_iterable(figures))
    return rows


def _times(events: Sequence[Event]) -> NDArray[np.float64]:
    """The events' times, NaN if there is none."""
    return np.array([each.timestamp_ms for each in events], dtype=np.float64)


def _event(
    record: Record, fields: Mapping[str, Any], text: bytes, schema: Schema
) -> tuple[Event, Figures]:
    """Whatever the typed reader leaves: the event and its features, or Defect."""
    dialect = None if record.columns is None else record.dialect
    figures = tuple(_number(fields, _path(name), schema, dialect) for name in schema.fields)
    if schema.categories:
        figures += tuple(_category(fields, _path(name), schema) for name in schema.categories)
    event = Event(text, _key(record, fields, schema), _time(record, fields, schema))
    timeless = schema.timed if event.timestamp_ms is None else ()
    if schema.missing == "median":
        _require_enough(fields, figures, timeless, schema)
    elif timeless:
        raise RecordError(
            Stage.FEATURES, f"feature {timeless[0]!r} needs a time, {_no_time(schema)}"
        )
    return event, figures


def _no_time(schema: Schema) -> str:
    if schema.timestamp is None:
        return "and the record has none; set event.timestamp"
    return f"and {schema.timestamp!r} (event.timestamp) holds none"


def _require_enough(
    fields: Mapping[str, Any], figures: Figures, timeless: Sequence[str], schema: Schema
) -> None:
    """Raise Defect if so much is missing that medians would be judged, and not the event."""
    read = (*schema.fields, *schema.categories)
    unread = [name for name, x in zip(read, figures, strict=True) if math.isnan(x)]
    missing = [label for label, of in schema.sources if of in unread or label in timeless]
    width = len(schema.features)
    # A time of day alone says nothing about an event from which every field is missing.
    if len(missing) == width or (unread and len(unread) == len(read)):
        names = ", ".join(unread or missing)
        hint = what_is_there(unread[0], fields) if unread else f": {_no_time(schema)}"
        raise RecordError(Stage.FEATURES, f"every feature is missing: {names!r}{hint}")
    if len(missing) > schema.imputable:
        raise RecordError(
            Stage.FEATURES,
            f"{len(missing)} of {width} features are missing, more than event.max_missing allows: "
            f"{', '.join(missing)!r}",
        )


def _fields(record: Record, schema: Schema) -> tuple[Mapping[str, Any], bytes]:
    """The event's fields, and its original value as one line of JSON."""
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
    """Raise Defect if JSON is nested too deep for readers that must give up somewhere."""
    most = schema.max_depth
    if any_deeper((text,), most):
        error = f"nested {depth(text)} deep, more than source.max_depth = {most}"
        raise RecordError(Stage.DECODE, error)


def _text(value: bytes, encoding: str | None = None) -> str:
    """The text; CSV has an `encoding` of its own, and JSON is UTF-8."""
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
        # Quoted line breaks are part of the record, so the text goes in whole, not line by line.
        rows = list(csv.reader([text], delimiter=delimiter, strict=True))
    except csv.Error as broken:
        raise RecordError(Stage.DECODE, f"not CSV: {broken}") from None
    if len(rows) != 1 or len(rows[0]) != len(columns):
        found = sum(map(len, rows))
        raise RecordError(Stage.DECODE, f"{found} fields under a header of {len(columns)}")
    return dict(zip(columns, rows[0], strict=True))


def fields_of(record: Record, schema: Schema) -> Mapping[str, Any] | None:
    """The fields of a record's event; None if it is a dead letter."""
    try:
        return _fields(record, schema)[0]
    except RecordError:
        return None
    except Exception as cause:  # noqa: BLE001 - it gets its dead letter, with the reason, elsewhere
        unexpected_errors.defect(Stage.DECODE, cause)
        return None


def field_of(fields: Mapping[str, Any], name: str) -> Any:
    """The value of a field, by its name or its path; None where there is none."""
    return _lookup(fields, _path(name))


@lru_cache(memory_budget.CACHED_KEYS)
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


def _number(
    fields: Mapping[str, Any], path: tuple[str, ...], schema: Schema, dialect: Dialect | None
) -> float:
    """The feature as a finite double; NaN if it is missing and will be imputed."""
    value = _lookup(fields, path)
    if isinstance(value, str):
        text = value.strip()
        missing = text.lower() in schema.missing_values
        value = math.nan if missing else _parsed(text, path[0], schema, dialect)
    else:
        missing = value is None
    if missing:
        if schema.missing == "median":
            return math.nan
        hint = what_is_there(path[0], fields) if value is None else ""
        raise RecordError(Stage.FEATURES, f"feature {path[0]!r} is missing{hint}")
    if not isinstance(value, NUMBERS):
        raise RecordError(Stage.FEATURES, f"feature {path[0]!r} is {kind_of(value)}, not a number")
    try:
        number = float(value)
    except OverflowError:
        raise RecordError(
            Stage.FEATURES, f"feature {path[0]!r} is too large for a double"
        ) from None
    if not math.isfinite(number):
        raise RecordError(Stage.FEATURES, f"feature {path[0]!r} is not finite")
    return number


def _category(fields: Mapping[str, Any], path: tuple[str, ...], schema: Schema) -> float:
    """The hash of the value's text, or of its JSON; NaN if it is missing and will be imputed."""
    value = _lookup(fields, path)
    text = key_bytes(value)
    if text is not None and text.decode().strip().lower() not in schema.missing_values:
        return category_hash(text)
    if schema.missing == "median":
        return math.nan
    hint = what_is_there(path[0], fields) if value is None else ""
    raise RecordError(Stage.FEATURES, f"feature {path[0]!r} is missing{hint}")


def _parsed(text: str, feature: str, schema: Schema, dialect: Dialect | None) -> float:
    hint = ""
    if dialect is not None or schema.numeric_strings:
        marks = "." if dialect is None else dialect.decimal_marks
        number = _float(text, marks)
        if number is not None:
            return number
        word = text.lower()
        if word in {"true", "false"}:
            return float(word == "true")
        if dialect is not None and _float(text, ".,") is not None:
            hint = f"; the decimal mark of source.csv.decimal is {marks!r}"
    raise RecordError(
        Stage.FEATURES, f"feature {feature!r} is text, not a number: {text[:40]!r}{hint}"
    )


def _float(text: str, marks: str) -> float | None:
    """The number that is written with at most one of the decimal `marks`, or None."""
    if "," in text:
        # With a point as well, or with two, commas would group the digits.
        if "," not in marks or "." in text or text.count(",") > 1:
            return None
        text = text.replace(",", ".")
    elif marks == "," and "." in text:
        return None
    try:
        # Python reads 1_000 as a number; no event means that.
        return None if "_" in text else float(text)
    except ValueError:
        return None


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
    """The record's own key, or the configured fields' text."""
    if record.key is not None or not schema.key:
        return record.key
    return joined_key([field_of(fields, name) for name in schema.key])


def _time(record: Record, fields: Mapping[str, Any], schema: Schema) -> int | None:
    """The configured field where it holds a time, else the record's own timestamp."""
    if schema.timestamp is None:
        return record.timestamp_ms
    found = milliseconds(field_of(fields, schema.timestamp))
    return record.timestamp_ms if found is None else found
