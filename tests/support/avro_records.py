"""Avro records and a reader of them, without a registry to ask."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import fastavro
import pytest

from detectd.kafka.avro import reader
from detectd.kafka.schema_registry import Registered
from detectd.pipeline.records import RecordError, Stage
from tests.support.registry import framed


class Shelf:
    """A registry that has one schema under every id."""

    def __init__(self, schema: Any, *referenced: Any) -> None:
        self.schema_and_referenced = (schema, referenced)

    def schema(self, number: int) -> Registered:
        return Registered(number, *self.schema_and_referenced)


def record_of(name: str = "Event", /, **fields: Any) -> dict[str, Any]:
    """Return the schema of a record with these fields."""
    listed = [{"name": field, "type": kind} for field, kind in fields.items()]
    return {"type": "record", "name": name, "fields": listed}


def written(schema: Any, value: Any) -> bytes:
    """Return the value as fastavro writes it, in Confluent's frame."""
    body = BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema(schema), value)
    return framed(7, body.getvalue())


def read_of(schema: Any, *referenced: Any) -> Any:
    """Return a reader of the schema and of those it refers to."""
    return reader(Shelf(schema, *referenced))


def error_of(read: Any, value: bytes) -> str:
    """Return why the value cannot be read: one line."""
    with pytest.raises(RecordError) as raised:
        read(value)
    assert raised.value.stage is Stage.DECODE
    assert "\n" not in raised.value.error
    return raised.value.error
