"""JSON events whose features are plain numbers, read straight into the row.

A decoder made for the schema takes the features out of the text and makes no object of anything
else. What it does not take (a path, a number written as text, whatever is wrong) is left to the
general decoder, which also has the words for what is wrong.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from detectd.records import Event
from detectd.stamps import key_bytes, milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from detectd.decode import Schema
    from detectd.records import Record

    Figures = tuple[float, ...]
    Events = list[Event | None]
    Read = Callable[[Sequence[Record], Events, list[Figures | None]], None]

# What line separators can stand for in JSON: nothing but white space between tokens.
LINE_BREAKS = bytes.maketrans(b"\r\n", b"  ")
# As integers: Python finds a byte in bytes five times faster so than as bytes of length one.
NEWLINE, RETURN = b"\n\r"


def on_one_line(value: bytes) -> bytes:
    """JSON without line breaks."""
    return value.translate(LINE_BREAKS) if NEWLINE in value or RETURN in value else value


@lru_cache(8)
def typed_reader(schema: Schema) -> Read | None:
    """A function that puts the event and the features of each record into two lists.

    It leaves both as they are where the general decoder has to look; there is no function at all
    for schemas with paths, or values that are not JSON. It accepts one thing more than the general
    one: numbers too large for a double in fields that nobody asked for.
    """
    decoder = _decoder(schema)
    if decoder is None:
        return None
    width, max_bytes = len(schema.features), schema.max_record_bytes
    imputes, keyed, timed = schema.missing == "median", schema.key, schema.timestamp
    as_tuple, decode = msgspec.structs.astuple, decoder.decode

    def read(records: Sequence[Record], events: Events, figures: list[Figures | None]) -> None:
        for place, record in enumerate(records):
            value, key, moment = record.value, record.key, record.timestamp_ms
            if value is None or record.columns or record.dropped or len(value) > max_bytes:
                continue
            try:
                if not value.isascii():
                    value.decode()  # The decoder looks at no text that it skips.
                row = decode(value)
            except (ValueError, RecursionError):
                continue
            if keyed is not None and key is None:
                key = key_bytes(row.key)
            if timed is not None:
                stamp = milliseconds(row.time)
                moment = moment if stamp is None else stamp
            found = as_tuple(row)[:width]
            figures[place] = (
                tuple(math.nan if x is None else x for x in found) if imputes else found
            )
            events[place] = Event(on_one_line(value), key, moment)

    return read


def _decoder(schema: Schema) -> msgspec.json.Decoder[Any] | None:
    names = (*schema.features, *(name for name in (schema.key, schema.timestamp) if name))
    flat = not any(c in name for name in names for c in ".[")
    if schema.read is not None or not flat or len(set(names)) < len(names):
        return None
    figure: Any = (float | None, None) if schema.missing == "median" else (float,)
    fields = [(f"f{column}", *figure) for column in range(len(schema.features))]
    names_of = dict(zip((field[0] for field in fields), schema.features, strict=True))
    for field, name in (("key", schema.key), ("time", schema.timestamp)):
        if name is not None:
            fields.append((field, Any, None))
            names_of[field] = name
    row = msgspec.defstruct("Row", fields, rename=names_of, gc=False)
    return msgspec.json.Decoder(row)
