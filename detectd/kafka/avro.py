"""Avro records in Confluent's wire format, as events.

A record is a zero byte, the id of its schema as four bytes (big-endian), and the body. It is read
with the schema that it was written with: fields have the names and the absences of that version.

    schemas    a schema of the registry -> a function from bodies to JSON values
    registry   ids -> schemas, over HTTP
"""

from __future__ import annotations

import time
from io import BytesIO
from typing import TYPE_CHECKING, Any

from detectd.errors import ConfigError
from detectd.extras import how_to_get
from detectd.kafka.known_schemas import Known, Unknown
from detectd.kafka.schema_registry import Registry
from detectd.pipeline import memory_budget
from detectd.pipeline.fields import to_json
from detectd.pipeline.formats import kind_of
from detectd.pipeline.records import RecordError, Stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from detectd.pipeline.schema import Read

__all__ = ["Registry", "reader"]

HEADER_BYTES = 5
# Registries use signed integers, so larger ids do not exist.
END_OF_IDS = 2**31

# Python's own text would include memory addresses, and a replay must give the same bytes.
BROKEN: dict[type[Exception], str] = {
    EOFError: "it ends early",
    UnicodeDecodeError: "a string is not UTF-8",
    IndexError: "a union or an enum has no such branch",
    OverflowError: "a number is too large",
    ValueError: "a number is too large",
    ArithmeticError: "the schema is invalid",
    TypeError: "the schema is invalid",
}


def reader(registry: Registry, *, clock: Callable[[], float] = time.monotonic) -> Read:
    """Return a function from a record's bytes to the event: its fields, and the same as one line of
    JSON.

    In the JSON a number that is not finite is null, while its field still holds it. The function
    raises RecordError if the record is invalid, and the errors of `Registry.schema` for the
    registry. Schemas never change, so each is fetched once while in use. Raise ConfigError without
    fastavro.
    """
    try:
        from detectd.kafka.avro_schemas import body_reader
    except ModuleNotFoundError as missing:
        raise ConfigError(
            f'source.format: "avro" needs {missing.name}; {how_to_get("avro")}'
        ) from None

    known, unknown = Known(), Unknown(clock)

    def body_of(number: int) -> Callable[[BytesIO], Any]:
        if found := known.get(number):
            return found
        unknown.check(number)
        try:
            registered = registry.schema(number)
            read_body = body_reader(registered)
        except RecordError as defect:
            unknown.add(number, defect.error)
            raise
        known.add(number, read_body, len(to_json((registered.schema, registered.referenced))))
        return read_body

    def read(value: bytes) -> tuple[dict[str, Any], bytes]:
        number = _schema_id(value)
        fields = _body(value, number, body_of(number))
        try:
            text = to_json(fields)
        except RecursionError:
            raise RecordError(Stage.DECODE, "nested too deep for JSON") from None
        if len(text) > max(
            memory_budget.AVRO_EXPANSION * len(value), memory_budget.AVRO_JSON_BYTES
        ):
            raise RecordError(
                Stage.DECODE, f"{len(value)} bytes of Avro are {len(text)} bytes of JSON"
            )
        return fields, text

    return read


def _schema_id(value: bytes) -> int:
    if len(value) < HEADER_BYTES:
        raise RecordError(Stage.DECODE, f"{len(value)} bytes, too few to name an Avro schema")
    if value[0] != 0:
        raise RecordError(
            Stage.DECODE, f"not Avro in Confluent's format: it begins with byte {value[0]}, not 0"
        )
    number = int.from_bytes(value[1:HEADER_BYTES], "big")
    if number >= END_OF_IDS:
        raise RecordError(
            Stage.DECODE, f"no registry has a schema {number}: ids end at {END_OF_IDS}"
        )
    return number


def _body(value: bytes, number: int, read_body: Callable[[BytesIO], Any]) -> dict[str, Any]:
    body = BytesIO(value)
    body.seek(HEADER_BYTES)
    try:
        fields = read_body(body)
    except tuple(BROKEN) as broken:
        why = next(words for error, words in BROKEN.items() if isinstance(broken, error))
        raise RecordError(Stage.DECODE, f"not Avro of schema {number}: {why}") from None
    left = len(value) - body.tell()
    if left:
        raise RecordError(Stage.DECODE, f"not Avro of schema {number}: {left} bytes follow its end")
    if not isinstance(fields, dict):
        raise RecordError(
            Stage.DECODE, f"not an Avro record but {kind_of(fields)} (schema {number})"
        )
    return fields
