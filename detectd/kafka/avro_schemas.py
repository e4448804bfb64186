"""Build a function from a schema that reads bodies as JSON values.

Values become what JSON has: an enum its symbol, a union the value of its branch, bytes and fixed
their base64. Logical types (Avro 1.12) become what a person writes:

    decimal                     a number, every digit kept
    timestamp-*                 2026-11-23T10:15:00.123Z, with 3, 6 or 9 digits of a second
    local-timestamp-*           the same without Z
    date, time-*                2026-11-23 and 10:15:00.123
    duration                    P1M2DT3.004S
    uuid                        its 36 characters

A time outside the calendar, such as the largest long, stays a number.
"""

from __future__ import annotations

from base64 import b64encode
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from fastavro import parse_schema, schemaless_reader
from fastavro.read import LOGICAL_READERS
from fastavro.schema import SchemaParseException, UnknownType

from detectd.pipeline import memory_budget
from detectd.pipeline.records import RecordError, Stage

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import BytesIO

    from detectd.kafka.schema_registry import Registered

# fastavro reads recursive types on the C stack, which a few thousand levels overflow: a record of
# that many bytes would crash the process.
MAX_LEVELS = 100

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - Z is written where it is meant
EPOCH_DAY = EPOCH.toordinal()
DAY_MICROS = 86_400_000_000

PRIMITIVES = {"null", "boolean", "int", "long", "float", "double", "bytes", "string"}
COMPLEX = {"record", "error", "enum", "fixed", "array", "map"}

SIZES = {"uuid": 16, "duration": 12}

# The attributes of a type that affect reading, unlike defaults and documentation.
READ = {"name", "namespace", "symbols", "size", "scale"}

# No valid schema has a type or field of this name.
ROOT = LEVEL = ""
INNER = "value"


# Types whose items need about as much memory as in the body. All others may need a hundred times
# that, or more: an array of a million nulls takes four bytes.
PLAIN = PRIMITIVES - {"null"}


class Levels:
    """The nesting depth of the record being read, and the number of items."""

    count = 0
    items = 0


def body_reader(registered: Registered) -> Callable[[BytesIO], Any]:
    """Return a function that reads one body, from its current offset, as a JSON value.

    Decimals stay `Decimal`, and doubles that are not finite stay as they are. What the function
    raises for a broken body is fastavro's. Raise RecordError if the schema cannot be understood.
    """
    levels = Levels()
    try:
        parsed = _parsed(registered, levels)
    except (SchemaParseException, UnknownType, LookupError, TypeError, RecursionError) as wrong:
        why = " ".join(f"{type(wrong).__name__}: {wrong}".split())[:200]
        raise RecordError(
            Stage.DECODE, f"schema {registered.id} cannot be understood: {why}"
        ) from None

    def read(body: BytesIO) -> Any:
        levels.count = levels.items = 0
        value: Any = schemaless_reader(body, parsed, None)
        return value[INNER]

    return read


def _parsed(registered: Registered, levels: Levels) -> Any:
    """fastavro's form of the schema, as the only field of a record.

    That record has the bytes of its field, and knows every type by its name, which a union of
    names alone does not.
    """
    schemas = (*registered.referenced, registered.schema)
    names: set[str] = set()
    for schema in schemas:
        _rewritten(schema, names, None)
    # Only a type that is referenced by name can contain itself.
    guard = levels if names else None
    *referenced, own = (_rewritten(schema, names, guard, levels) for schema in schemas)
    named: dict[str, Any] = {}
    for schema in referenced:
        parse_schema(schema, named)
    root = {"type": "record", "name": ROOT, "fields": [{"name": INNER, "type": own}]}
    return parse_schema(root, named)


def _rewritten(
    schema: Any, names: set[str], guard: Levels | None, counter: Levels | None = None
) -> Any:
    """Return the schema with detectd's logical types instead of Avro's, and without unneeded
    attributes.

    Add the types that are referenced by name to `names`. With a `counter`, items are counted.
    """
    if isinstance(schema, list):
        return [_rewritten(branch, names, guard, counter) for branch in schema]
    if isinstance(schema, str):
        schema = {"type": schema}
    kind = schema["type"]
    if not isinstance(kind, str):
        return _rewritten(kind, names, guard, counter)
    plain = {"type": kind} | {key: schema[key] for key in READ & schema.keys()}
    if kind in {"record", "error"}:
        plain["fields"] = [
            {"name": field["name"], "type": _rewritten(field["type"], names, guard, counter)}
            for field in schema["fields"]
        ]
        return _guarded(plain, guard) if guard else plain
    if kind == "array":
        items = _rewritten(schema["items"], names, guard, counter)
        return plain | {"items": _counted(items, counter)}
    if kind == "map":
        values = _rewritten(schema["values"], names, guard, counter)
        return plain | {"values": _counted(values, counter)}
    if kind in PRIMITIVES or kind in {"enum", "fixed"}:
        return plain | _logical(schema)
    names.add(kind)
    return kind


def _counted(item: Any, counter: Levels | None) -> Any:
    """Return the type of an item, with counting unless it is a plain one.

    A record that is referenced by name counts itself.
    """
    if isinstance(item, list):
        return [_counted(branch, counter) for branch in item]
    if counter is None or isinstance(item, str) or item.get("logicalType") == "detectd.leave":
        return item
    if item["type"] in PLAIN and "logicalType" not in item:
        return item
    then = READERS.get(f"{item['type']}-{item.get('logicalType')}")
    return item | {"logicalType": "detectd.item", "levels": counter, "then": then}


def _logical(schema: dict[str, Any]) -> dict[str, str]:
    """Return the logical type; as Avro demands, ignore it if it is unknown or does not fit the
    type."""
    kind, logical, size = schema["type"], str(schema.get("logicalType")), schema.get("size")
    scale = schema.get("scale", 0)
    fits = size == SIZES.get(logical, size) and isinstance(scale, int) and scale >= 0
    if fits and f"{kind}-detectd.{logical}" in READERS:
        return {"logicalType": f"detectd.{logical}"}
    return {"logicalType": "detectd.bytes"} if kind in {"bytes", "fixed"} else {}


def _guarded(record: dict[str, Any], levels: Levels) -> dict[str, Any]:
    """Return the record with an empty field in front, which is read on entry."""
    entry = {"type": "null", "logicalType": "detectd.enter", "levels": levels}
    fields = [{"name": LEVEL, "type": entry}, *record["fields"]]
    return record | {"logicalType": "detectd.leave", "levels": levels, "fields": fields}


def _enter(_: None, schema: Any, __: object) -> None:
    levels: Levels = schema["levels"]
    levels.count += 1
    if levels.count > MAX_LEVELS:
        raise RecordError(Stage.DECODE, f"more than {MAX_LEVELS} Avro records inside each other")


def _item(value: Any, schema: Any, _: object) -> Any:
    _count(schema["levels"], value)
    return value if schema["then"] is None else schema["then"](value, schema, _)


def _count(levels: Levels, value: Any) -> None:
    levels.items += (len(value) or 1) if isinstance(value, dict) else 1
    if levels.items > memory_budget.AVRO_ITEMS:
        raise RecordError(
            Stage.DECODE, f"more than {memory_budget.AVRO_ITEMS:,} items in Avro arrays and maps"
        )


def _leave(fields: dict[str, Any], schema: Any, _: object) -> dict[str, Any]:
    schema["levels"].count -= 1
    del fields[LEVEL]
    _count(schema["levels"], fields)
    return fields


def _base64(raw: bytes, *_: object) -> str:
    return b64encode(raw).decode()


def _decimal(raw: bytes, schema: Any, _: object) -> Decimal:
    # Not scaleb: it would round to the digits of a context.
    return Decimal(f"{int.from_bytes(raw, 'big', signed=True)}E-{schema.get('scale', 0)}")


def _date(days: int, *_: object) -> str | int:
    try:
        return date.fromordinal(EPOCH_DAY + days).isoformat()
    except (ValueError, OverflowError):
        return days


def _time(unit: str, micros: int) -> Callable[..., str | int]:
    def read(count: int, *_: object) -> str | int:
        if not 0 <= count * micros < DAY_MICROS:
            return count
        return (EPOCH + timedelta(microseconds=count * micros)).time().isoformat(unit)

    return read


def _timestamp(unit: str, micros: int, zone: str) -> Callable[..., str | int]:
    def read(count: int, *_: object) -> str | int:
        try:
            return (EPOCH + timedelta(microseconds=count * micros)).isoformat("T", unit) + zone
        except OverflowError:
            return count

    return read


def _timestamp_nanos(zone: str) -> Callable[..., str]:
    # 64 bits of nanoseconds reach from 1677 to 2262.
    def read(count: int, *_: object) -> str:
        micros, nanos = divmod(count, 1000)
        moment = EPOCH + timedelta(microseconds=micros)
        return f"{moment.isoformat('T', 'microseconds')}{nanos:03}{zone}"

    return read


def _duration(raw: bytes, *_: object) -> str:
    months, days, millis = (int.from_bytes(raw[at : at + 4], "little") for at in (0, 4, 8))
    return f"P{months}M{days}DT{millis // 1000}.{millis % 1000:03}S"


def _uuid(raw: bytes, *_: object) -> str:
    return str(UUID(bytes=raw))


# By the names under which fastavro looks them up; ours differ from its own, which stay.
READERS: dict[str, Callable[..., Any]] = {
    "bytes-detectd.bytes": _base64,
    "fixed-detectd.bytes": _base64,
    "bytes-detectd.decimal": _decimal,
    "fixed-detectd.decimal": _decimal,
    "fixed-detectd.duration": _duration,
    "fixed-detectd.uuid": _uuid,
    "int-detectd.date": _date,
    "int-detectd.time-millis": _time("milliseconds", 1000),
    "long-detectd.time-micros": _time("microseconds", 1),
    "long-detectd.timestamp-millis": _timestamp("milliseconds", 1000, "Z"),
    "long-detectd.timestamp-micros": _timestamp("microseconds", 1, "Z"),
    "long-detectd.timestamp-nanos": _timestamp_nanos("Z"),
    "long-detectd.local-timestamp-millis": _timestamp("milliseconds", 1000, ""),
    "long-detectd.local-timestamp-micros": _timestamp("microseconds", 1, ""),
    "long-detectd.local-timestamp-nanos": _timestamp_nanos(""),
}
GUARDS: dict[str, Callable[..., Any]] = {
    "null-detectd.enter": _enter,
    "record-detectd.leave": _leave,
    "error-detectd.leave": _leave,
    **{f"{kind}-detectd.item": _item for kind in (*PRIMITIVES, *COMPLEX)},
}
LOGICAL_READERS.update(READERS | GUARDS)
