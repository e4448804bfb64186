"""Warn if the first events lack fields that the configuration names. Pure.

A missing key or time causes no error: outputs then have no key, or the arrival time. A missing
feature may be imputed. So that a typo in a name is noticed, the first records are checked. If the
field appears later, the warning ends.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from detectd.pipeline import memory_budget
from detectd.pipeline.absence import LONGEST, alternatives, names_of
from detectd.pipeline.feature_values import field_of
from detectd.pipeline.fields import milliseconds
from detectd.pipeline.formats import fields_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from detectd.pipeline.records import Record
    from detectd.pipeline.schema import Schema

# Enough to distinguish a wrong name from a field that only some events have.
FIRST_RECORDS = 100

# How many characters of an invalid time are shown.
SHOWN = 40


class _Wanted(NamedTuple):
    """An expected field, and the number of events that lack it."""

    key: str
    name: str


class FieldWatch:
    """Check the first events of a stream; `warnings` has a line for each field they lack."""

    def __init__(self, schema: Schema, limit: int = FIRST_RECORDS) -> None:
        self._schema = schema
        self._limit = limit
        named = [("event.key", name) for name in schema.key]
        if schema.timestamp is not None:
            named.append(("event.timestamp", schema.timestamp))
        if schema.missing == "median":
            read = dict.fromkeys((*schema.fields, *schema.categories))
            named += [("event.features", name) for name in read]
        self._wanted = [_Wanted(key, name) for key, name in named]
        self._seen = 0
        self._names: dict[str, None] = {}
        self._odd: dict[str, str] = {}
        self.warnings: list[str] = []

    def look(self, records: Sequence[Record], *, last: bool = False) -> bool:
        """Check a batch, the `last` one of a bounded stream. Return True if `warnings` has
        changed."""
        if not self._wanted:
            return False
        before = self.warnings
        # Later, one event per batch is enough to see that a field appears after all.
        for record in records[: max(1, self._limit - self._seen)]:
            fields = fields_of(record, self._schema)
            if fields is not None:
                self._seen += 1
                if not self.warnings:
                    names = islice(names_of(fields), memory_budget.NAMES)
                    self._names.update(dict.fromkeys(each[:LONGEST] for each in names))
                    self._names = dict(islice(self._names.items(), memory_budget.NAMES))
                self._wanted = [each for each in self._wanted if self._lacks(each, record, fields)]
        if self._seen >= self._limit or (last and self._seen):
            self.warnings = [self._warning(each) for each in self._wanted]
        return self.warnings != before

    def _lacks(self, wanted: _Wanted, record: Record, fields: Mapping[str, Any]) -> bool:
        value = field_of(fields, wanted.name)
        if wanted.key == "event.key":
            return value is None and record.key is None
        if wanted.key == "event.features":
            return value is None
        if value is not None:
            self._odd.setdefault(wanted.key, repr(value)[:SHOWN])
        return milliseconds(value) is None

    def _warning(self, wanted: _Wanted) -> str:
        first = f"the first {self._limit} records" if self._seen >= self._limit else "the records"
        if wanted.key in self._odd:
            return (
                f"{wanted.key}: {wanted.name!r} holds no time in {first}, for example "
                f"{self._odd[wanted.key]}; times are "
                "ISO 8601 or epoch"
            )
        there = alternatives(wanted.name, self._names)
        return f"{wanted.key}: {wanted.name!r} is in none of {first}; {there}"
