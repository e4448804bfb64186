"""Decode bytes to events and the matrix that a detector scores, or to dead letters.

Every record becomes either one row of the matrix or one dead letter; `Decoded.sound` and
`Decoded.dead` together name each record once.
"""

from __future__ import annotations

import itertools
import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from detectd import features
from detectd.pipeline import unexpected_errors
from detectd.pipeline.absence import what_is_there
from detectd.pipeline.fast_json import typed_reader
from detectd.pipeline.feature_values import category_of, field_of, number_of, path_of
from detectd.pipeline.fields import joined_key, milliseconds
from detectd.pipeline.formats import read_fields
from detectd.pipeline.records import Event, RecordError, Stage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from detectd.pipeline.fast_json import Figures
    from detectd.pipeline.records import Record
    from detectd.pipeline.schema import Schema


@dataclass(frozen=True, slots=True)
class Decoded:
    """The matrix (k, d), the k events behind its rows, and the records that have no row.

    If features remember (`Schema.remembers`), the matrix has the fields as read, `Schema.reads`.
    `sound[i]` is the index in the batch of the record behind row i; `dead` maps the other indices
    to stage and error.
    """

    rows: NDArray[np.float64]
    events: list[Event]
    sound: Sequence[int]
    dead: dict[int, RecordError]


def decode(records: Sequence[Record], schema: Schema) -> Decoded:
    """Decode a batch; rows are float64 (k, d), finite but for features to be imputed."""
    known: list[Event | None] = [None] * len(records)
    figures: list[Figures | None] = [None] * len(records)
    typed = typed_reader(schema)
    places: Sequence[int] = range(len(records))
    left = typed.read(records, known, figures) if typed else places
    dead: dict[int, RecordError] = {}
    for place in left:
        stage = Stage.DECODE
        try:
            fields, text = read_fields(records[place], schema)
            stage = Stage.FEATURES
            known[place], figures[place] = _event(records[place], fields, text, schema)
        except RecordError as defect:
            # A new exception: the traceback of this one would keep everything decoded from the
            # event.
            dead[place] = RecordError(defect.stage, defect.error)
        except Exception as cause:  # noqa: BLE001 - no record ends the stream
            dead[place] = unexpected_errors.defect(stage, cause)
    events = [event for event in known if event is not None]
    read = (each for each in figures if each is not None)
    rows = _matrix(read, len(events), len(schema.reads))
    if schema.assembled and not schema.remembers:
        rows = features.assemble(schema.features, rows, times_of(events))
    return Decoded(rows, events, [i for i in places if i not in dead] if dead else places, dead)


def _matrix(figures: Iterable[Figures], height: int, width: int) -> NDArray[np.float64]:
    """Return rows (height, width); packing is three times as fast as numpy's own conversion."""
    rows = np.empty((height, width))
    struct.pack_into(f"{height * width}d", rows.data, 0, *itertools.chain.from_iterable(figures))
    return rows


def times_of(events: Sequence[Event]) -> NDArray[np.float64]:
    """Return the events' times (k,), epoch milliseconds; NaN if there is none."""
    return np.array([each.timestamp_ms for each in events], dtype=np.float64)


def _event(
    record: Record, fields: Mapping[str, Any], text: bytes, schema: Schema
) -> tuple[Event, Figures]:
    """Decode what the typed reader cannot: return the event and its features, or raise Defect."""
    dialect = None if record.columns is None else record.dialect
    figures = tuple(number_of(fields, path_of(name), schema, dialect) for name in schema.fields)
    if schema.categories:
        figures += tuple(category_of(fields, name, schema) for name in schema.categories)
    event = Event(text, _key(record, fields, schema), _time(record, fields, schema))
    timeless = schema.timed if event.timestamp_ms is None else ()
    if schema.missing == "median":
        _require_enough(fields, figures, timeless, schema)
    elif timeless:
        raise RecordError(
            Stage.FEATURES, f"feature {timeless[0]!r} needs a time, {_no_time(fields, schema)}"
        )
    return event, figures


def _no_time(fields: Mapping[str, Any], schema: Schema) -> str:
    if schema.timestamp is None:
        return "and the record has none; set event.timestamp"
    there = what_is_there(schema.timestamp, fields)
    wrong = "is missing" if there else "holds none"
    return f"and {schema.timestamp!r} (event.timestamp) {wrong}{there}"


def _require_enough(
    fields: Mapping[str, Any], figures: Figures, timeless: Sequence[str], schema: Schema
) -> None:
    """Raise Defect if so many features are missing that the verdict would be on medians, not on the
    event."""
    unread = [name for name, x in zip(schema.reads, figures, strict=True) if math.isnan(x)]
    missing = [label for label, of in schema.sources if of in unread or label in timeless]
    width = len(schema.features)
    # A time of day alone does not describe an event without any other field.
    if len(missing) == width or (unread and len(unread) == len(schema.reads)):
        names = ", ".join(unread or missing)
        hint = what_is_there(unread[0], fields) if unread else f": {_no_time(fields, schema)}"
        raise RecordError(Stage.FEATURES, f"every feature is missing: {names!r}{hint}")
    if len(missing) > schema.imputable:
        raise RecordError(
            Stage.FEATURES,
            f"{len(missing)} of {width} features are missing, more than event.max_missing allows: "
            f"{', '.join(missing)!r}",
        )


def _key(record: Record, fields: Mapping[str, Any], schema: Schema) -> bytes | None:
    """Return the record's own key, or the configured fields' text."""
    if record.key is not None or not schema.key:
        return record.key
    return joined_key([field_of(fields, name) for name in schema.key])


def _time(record: Record, fields: Mapping[str, Any], schema: Schema) -> int | None:
    """Return the configured field where it holds a time, else the record's own timestamp."""
    if schema.timestamp is None:
        return record.timestamp_ms
    found = milliseconds(field_of(fields, schema.timestamp))
    return record.timestamp_ms if found is None else found
