"""Settings from the environment: `DETECTD_SECTION__KEY`, case-insensitive.

A variable holds text, which is parsed by the type of its key: text stays text, a list or a table is
JSON, and if a key accepts several types, or any, the text is a number, true or false if it looks
like one. If a key accepts text or a list, a leading bracket means a list. An empty variable unsets
a key that may be unset.
"""

from __future__ import annotations

import difflib
import json
import re
import types
from collections.abc import Mapping
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    NamedTuple,
    TypeGuard,
    Union,
    get_args,
    get_origin,
)

from pydantic import BaseModel

from detectd.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "DETECTD_"
LEVELS = "__"

# Variables of detectd that are not configuration keys: the location of the configuration, and the
# test suite's.
OTHERS = re.compile(r"DETECTD_(CONFIG|TEST_\w+)")

# Kubernetes sets these in every container beside a Service whose name begins with "detectd".
KUBERNETES = re.compile(
    r"DETECTD_(\w+_)?(SERVICE_(HOST|PORT)(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)\w*)?)"
)


class Overrides(NamedTuple):
    """The settings from the environment.

    `tables` are like those of the file; `names` has the variable of each (section, key, …);
    `warnings` is a line for each variable that sets nothing.
    """

    tables: dict[str, Any]
    names: dict[tuple[str, ...], str]
    warnings: list[str]


def overrides(settings: type[BaseModel], environment: Mapping[str, str]) -> Overrides:
    """Read all variables that begin with the prefix.

    Raise ConfigError with one line for each variable that cannot be parsed.
    """
    found = Overrides({}, {}, [])
    mistakes: list[str] = []
    # Upper case sorts before lower case: of two spellings the usual one wins.
    for name in sorted(environment):
        if not name.upper().startswith(PREFIX) or _is_of_others(name.upper()):
            continue
        location = _location(settings, name[len(PREFIX) :].split(LEVELS))
        if location is None:
            found.warnings.append(f"${name} sets nothing: {_nearest_variable(settings, name)}")
        elif location in found.names:
            found.warnings.append(f"${name} sets nothing: ${found.names[location]} is set, too")
        else:
            found.names[location] = name
            try:
                _put(found.tables, location, _read(settings, location, environment[name]))
            except ValueError as unreadable:
                mistakes.append(f"${name}: {unreadable}")
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return found


def variables(table: type[BaseModel], prefix: str = PREFIX) -> Iterator[str]:
    """Yield the variable of each key."""
    for key, kind in _keys(table).items():
        name = f"{prefix}{key}".upper()
        if _is_section(kind):
            yield from variables(kind, f"{name}{LEVELS}")
        else:
            yield name


def _is_of_others(name: str) -> bool:
    return OTHERS.fullmatch(name) is not None or (
        LEVELS not in name and KUBERNETES.fullmatch(name) is not None
    )


def _location(table: type[BaseModel], parts: list[str]) -> tuple[str, ...] | None:
    """Return the key of a variable; None if there is no such key."""
    first, *rest = parts
    keys = _keys(table)
    key = next((key for key in keys if key.lower() == first.lower()), None)
    if key is None:
        return None
    if not rest:
        return (key,)
    kind = keys[key]
    if _is_section(kind):
        inner = _location(kind, rest)
        return inner and (key, *inner)
    # The arguments of detectors are in lower case; one in mixed case is meant as it is written.
    named = [part.lower() if part.isupper() else part for part in rest]
    return (key, *named) if _is_table(kind) and all(named) else None


def _keys(table: type[BaseModel]) -> dict[str, Any]:
    """Return the keys of a table, and what each takes."""
    return {key: field.annotation for key, field in table.model_fields.items()}


def _nearest_variable(settings: type[BaseModel], name: str) -> str:
    # Without the prefix, which every name shares.
    known = [each.removeprefix(PREFIX) for each in (*variables(settings), f"{PREFIX}CONFIG")]
    close = difflib.get_close_matches(name.upper().removeprefix(PREFIX), known, n=1)
    if close:
        return f"did you mean ${PREFIX}{close[0]}?"
    return "no key has that name; a key is set as $DETECTD_SECTION__KEY, two underscores between"


def _put(tables: dict[str, Any], location: tuple[str, ...], value: Any) -> None:
    for part in location[:-1]:
        tables = tables.setdefault(part, {})
        if not isinstance(tables, dict):
            raise ValueError("another variable sets the whole of it; keep one of them")  # noqa: TRY004
    tables[location[-1]] = value


def _read(table: type[BaseModel], location: tuple[str, ...], text: str) -> Any:
    """Return the value of a variable. Raise ValueError if the text does not fit its key."""
    key, *rest = location
    kind = _keys(table)[key]
    if _is_section(kind):
        if rest:
            return _read(kind, tuple(rest), text)
        return _json(text, dict, 'a section is a table, as JSON: {"key": …}; better set its keys')
    return literal(text) if rest else _of_kind(kind, text)


def _of_kind(annotation: Any, text: str) -> Any:
    """Return the value of a key, which takes what its annotation says."""
    kinds = _choices(annotation)
    if type(None) in kinds and not text:
        return None
    if any(map(_is_list, kinds)):
        if str in kinds and not text.lstrip().startswith("["):
            return text
        return _json(text, list, 'a list is written as JSON: ["a", "b"]')
    if any(map(_is_table, kinds)):
        return _json(text, dict, 'a table is written as JSON: {"key": 1}')
    scalars = [kind for kind in kinds if kind is not type(None)]
    # pydantic reads a lone kind from its text, and its complaint is of the text.
    return text if len(scalars) == 1 or all(map(_is_text, scalars)) else literal(text)


def literal(text: str) -> Any:
    """Return text as a number, a boolean, None, a list or a table if it looks like one, else as
    text."""
    word = text.strip()
    if word.lower() in {"true", "false"}:
        return word.lower() == "true"
    if word.lower() in {"null", "none"}:
        return None
    for read in (int, float, json.loads):
        try:
            return read(word)
        except ValueError:
            continue
    return text


def _json(text: str, kind: type, fix: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, kind):
        raise ValueError(fix)  # noqa: TRY004 - the text is wrong, not a type of ours
    return value


def _choices(annotation: Any) -> list[Any]:
    """Return the kinds of values that an annotation allows."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _choices(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return [kind for each in get_args(annotation) for kind in _choices(each)]
    return [annotation]


def _is_list(kind: Any) -> bool:
    return get_origin(kind) in (tuple, list)


def _is_table(kind: Any) -> bool:
    kind = get_origin(kind) or kind
    return isinstance(kind, type) and issubclass(kind, Mapping)


def _is_section(kind: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _is_text(kind: Any) -> bool:
    return kind in (str, Path) or get_origin(kind) is Literal
