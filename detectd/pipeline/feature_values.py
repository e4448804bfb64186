"""The value of a feature: a field or a path into the event, as a finite double."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from detectd.pipeline import memory_budget
from detectd.pipeline.absence import what_is_there
from detectd.pipeline.fields import NUMBERS, category_hash, key_bytes
from detectd.pipeline.formats import kind_of
from detectd.pipeline.records import RecordError, Stage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from detectd.pipeline.records import Dialect
    from detectd.pipeline.schema import Schema


def field_of(fields: Mapping[str, Any], name: str) -> Any:
    """Return the value of a field, by its name or its path; None if there is none."""
    return _lookup(fields, path_of(name))


@lru_cache(memory_budget.CACHED_KEYS)
def path_of(feature: str) -> tuple[str, ...]:
    """Return the whole name, since flat events may have dots in their names, then its parts as a
    path."""
    return (feature, *feature.replace("[", ".").replace("]", "").split("."))


def _lookup(fields: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """Return the value at the path, or None if there is nothing."""
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


def number_of(
    fields: Mapping[str, Any], path: tuple[str, ...], schema: Schema, dialect: Dialect | None
) -> float:
    """Return the feature as a finite double; NaN if it is missing and will be imputed."""
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


def category_of(fields: Mapping[str, Any], name: str, schema: Schema) -> float:
    """Return the hash of the value's text, or of its JSON; NaN if it is missing and imputed."""
    value = field_of(fields, name)
    text = key_bytes(value)
    if text is not None and text.decode().strip().lower() not in schema.missing_values:
        return category_hash(text)
    if schema.missing == "median":
        return math.nan
    hint = what_is_there(name, fields) if value is None else ""
    raise RecordError(Stage.FEATURES, f"feature {name!r} is missing{hint}")


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
    """Return the number that is written with at most one of the decimal `marks`, or None."""
    if "," in text:
        # With a point or another comma beside it, a comma is a thousands separator.
        if "," not in marks or "." in text or text.count(",") > 1:
            return None
        text = text.replace(",", ".")
    elif marks == "," and "." in text:
        return None
    try:
        # Python reads 1_000 as a number; events do not use that.
        return None if "_" in text else float(text)
    except ValueError:
        return None
