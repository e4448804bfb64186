"""A fast path for JSON events whose features are fields, read straight into the row.

A decoder built for the schema extracts the features and builds no other object. What it cannot
handle (a path, a number written as text, any error) goes to the general decoder, which also
produces the error messages.
"""

from __future__ import annotations

import math
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgspec

from detectd.pipeline.fields import (
    category_hash,
    joined_key,
    key_bytes,
    milliseconds,
    to_json,
)
from detectd.pipeline.memory_budget import CACHED_CATEGORIES, CACHED_KEY_BYTES
from detectd.pipeline.nesting import any_deeper
from detectd.pipeline.records import Event
from detectd.pipeline.unexpected_errors import NOT_THE_RECORDS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from detectd.pipeline.records import Record
    from detectd.pipeline.schema import Schema

    Figures = tuple[float, ...]
    Events = list[Event | None]

# In JSON, line separators outside of strings are only white space.
LINE_BREAKS = bytes.maketrans(b"\r\n", b"  ")
# As integers: Python finds an integer in bytes five times faster than bytes of length one.
NEWLINE, RETURN = b"\n\r"

# Records read in one call; if one of them fails, each is tried alone.
RUN = 64


def on_one_line(value: bytes) -> bytes:
    """Return JSON without line breaks."""
    return value.translate(LINE_BREAKS) if NEWLINE in value or RETURN in value else value


@lru_cache(8)
def typed_reader(schema: Schema) -> TypedReader | None:
    """Return a reader for the schema; None if it has paths, or values that are not JSON."""
    decoder = _decoder(schema)
    return None if decoder is None else TypedReader(schema, decoder)


class TypedReader:
    """Append the event and the features of each record to two lists.

    It is more lenient than the general decoder in one case: numbers too large for a double in
    fields that are not features.
    """

    def __init__(self, schema: Schema, decoder: msgspec.json.Decoder[Any]) -> None:
        self._decode = decoder.decode
        self._max_bytes, self._max_depth = schema.max_record_bytes, schema.max_depth
        self._events_of, self._figures_of = _events(schema), _figures(schema)
        self._timed = bool(schema.timed)

    def read(
        self, records: Sequence[Record], events: Events, figures: list[Figures | None]
    ) -> list[int]:
        """Return the indices left for the general decoder."""
        left = []
        for start in range(0, len(records), RUN):
            stop = min(start + RUN, len(records))
            if not self._take(records, slice(start, stop), events, figures):
                left += [
                    place
                    for place in range(start, stop)
                    if not self._take(records, slice(place, place + 1), events, figures)
                ]
        return left

    def _take(
        self,
        records: Sequence[Record],
        places: slice,
        events: Events,
        figures: list[Figures | None],
    ) -> bool:
        """Read all of these records, or none if one of them needs the general decoder."""
        run = records[places]
        values = self._plain(run)
        if values is None:
            return False
        text = b" ".join(values)
        try:
            if not text.isascii():
                text.decode()  # The decoder does not validate text that it skips.
            rows = list(map(self._decode, values))
            found = self._figures_of(rows)
            if RETURN in text or NEWLINE in text:
                values = list(map(on_one_line, values))
            made = self._events_of(values, run, rows)
        except NOT_THE_RECORDS:
            raise
        except Exception:  # noqa: BLE001 - the general decoder finds whose fault it is
            return False
        if self._timed and None in [each.timestamp_ms for each in made]:
            return False
        events[places], figures[places] = made, found
        return True

    def _plain(self, run: Sequence[Record]) -> list[bytes] | None:
        """Return the records' values; None if one is not JSON, not whole, too long or too deep."""
        values = [each.value or b"" for each in run if not (each.columns or each.dropped)]
        longest = max(map(len, values), default=0)
        if len(values) < len(run) or longest > self._max_bytes:
            return None
        if longest > 2 * self._max_depth and any_deeper(values, self._max_depth):
            return None
        return values


def _events(schema: Schema) -> Callable[[list[bytes], Sequence[Record], list[Any]], list[Event]]:
    """Return a function that builds events from values, records and rows."""
    keyed, timed = [f"key{i}" for i in range(len(schema.key))], schema.timestamp is not None
    key_of = key_bytes if len(keyed) == 1 else joined_key
    parts = attrgetter(*keyed) if keyed else None

    def events(values: list[bytes], records: Sequence[Record], rows: list[Any]) -> list[Event]:
        keys = [each.key for each in records]
        times = [each.timestamp_ms for each in records]
        if parts:
            keys = [
                key_of(parts(row)) if key is None else key
                for key, row in zip(keys, rows, strict=True)
            ]
        if timed:
            stamps = [milliseconds(row.time) for row in rows]
            times = [
                own if stamp is None else stamp for own, stamp in zip(times, stamps, strict=True)
            ]
        return list(map(Event, values, keys, times))

    return events


def _figures(schema: Schema) -> Callable[[list[Any]], list[Figures]]:
    """Return a function that builds figures from rows: NaN for a missing feature to be imputed.

    It raises ValueError if too many features of one row are missing.
    """
    width, read = len(schema.fields), len(schema.reads)
    others = bool(schema.key or schema.timestamp)
    imputes = schema.missing == "median" and read > 0
    # One field may have several features.
    several = schema.remembers or bool(schema.categories)
    imputable = 0 if several else min(schema.imputable, width - 1)
    number_of = _CategoryNumbers(schema.missing_values).of

    def figures(rows: list[Any]) -> list[Figures]:
        found = list(map(msgspec.structs.astuple, rows))
        if others:
            found = [row[:read] for row in found]
        if imputes:
            for place in [place for place, row in enumerate(found) if None in row]:
                if found[place].count(None) > imputable:
                    raise ValueError
                found[place] = tuple(math.nan if x is None else x for x in found[place])
        if read > width:
            found = [(*row[:width], *map(number_of, row[width:])) for row in found]
        return found

    return figures


class _CategoryNumbers(dict[bytes | str, float]):
    """The numbers of categories, by their text, or by the JSON of what is no text.

    A look-up raises ValueError for one that is missing.
    """

    def __init__(self, missing_values: frozenset[str]) -> None:
        self._missing_values = missing_values

    def __missing__(self, category: bytes | str) -> float:
        text = category.encode() if isinstance(category, str) else category
        if text.decode().strip().lower() in self._missing_values:
            raise ValueError
        number = category_hash(text)
        if len(text) <= CACHED_KEY_BYTES:
            if len(self) >= CACHED_CATEGORIES:
                self.clear()
            self[category] = number
        return number

    def of(self, value: Any) -> float:
        """Return the number of a field's value."""
        if type(value) is str:
            return self[value]
        if value is None:
            raise ValueError
        # Not by the value: 1, 1.0 and true are equal, but not the same category.
        return self[to_json(value)]


def _decoder(schema: Schema) -> msgspec.json.Decoder[Any] | None:
    own = [(f"category{i}", name) for i, name in enumerate(schema.categories)]
    own += [(f"key{i}", name) for i, name in enumerate(schema.key)]
    if schema.timestamp is not None:
        own.append(("time", schema.timestamp))
    names = (*schema.fields, *(name for _, name in own))
    flat = not any(c in name for name in names for c in ".[")
    if not (schema.read is None and flat and len(set(names)) == len(names)):
        return None
    figure: Any = (float | None, None) if schema.missing == "median" else (float,)
    fields = [(f"f{column}", *figure) for column in range(len(schema.fields))]
    names_of = dict(zip((field[0] for field in fields), schema.fields, strict=True))
    for field, name in own:
        fields.append((field, Any, None))
        names_of[field] = name
    row = msgspec.defstruct("Row", fields, rename=names_of, gc=False)
    return msgspec.json.Decoder(row)
