"""Load `Settings` from a TOML file and the environment, or report one plain line per mistake."""

from __future__ import annotations

import codecs
import itertools
import json
import os
import tomllib
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError

from detectd.config_path import DEFAULT_CONFIG, LOCAL_CONFIG
from detectd.errors import ConfigError
from detectd.filesystem.os_errors import explained
from detectd.nearest import missing, nearest
from detectd.settings import Settings
from detectd.settings.environment import overrides
from detectd.settings.relative_paths import resolve
from detectd.settings.types import Section

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from pydantic_core import ErrorDetails

    # The variable that set each (section, key, …).
    Names = Mapping[tuple[str, ...], str]

# Byte order marks of UTF-16 and UTF-32; the longer mark begins with the shorter.
MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}

# Replacements for pydantic's messages that do not say how to fix a value.
PLAIN_WORDS = {
    "missing": "is required and not set",
    "bool_type": "must be true or false, without quotes",
    "int_type": "must be a whole number, without quotes",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number, without quotes",
    "string_type": 'must be text, in quotes: "…"',
    "tuple_type": 'must be a list: ["…", "…"]',
    "dict_type": "must be a table",
    "model_type": "must be a table of keys, written as [section]",
    "model_attributes_type": "must be a table of keys, written as [section]",
    "too_short": "must name at least one",
    "string_too_short": "must not be empty",
    "path_type": 'must be a path, in quotes: "…"',
}

# The same, of those where it helps to see the value.
WITH_VALUE = {
    "bool_parsing": "must be true or false, without quotes",
    "int_parsing": "must be a whole number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
}

# The limits of a number: pydantic's name, ours, and where pydantic has the limit.
LIMITS = {
    "greater_than": ("greater than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}


class Loaded(NamedTuple):
    """A configuration, and its warnings, one line each."""

    settings: Settings
    warnings: list[str]


def load(path: Path) -> Settings:
    """Return the settings of the file at `path`, overridden by the environment, its paths absolute.

    Raise ConfigError with one line per mistake, each with the file (or the variable), the key and
    the fix.
    """
    return examine(path).settings


def examine(path: Path) -> Loaded:
    """Load the settings as `load` does, with warnings."""
    path = path.absolute()
    settings = settle(read(path), str(path))
    variables = overrides(Settings, os.environ)
    located, surprises = resolve(settings, path, variables.names)
    return Loaded(located, [*variables.warnings, *surprises])


def settle(written: dict[str, Any], origin: str) -> Settings:
    """Return the settings from values in a file or on the command line. See `load`."""
    names = overrides(Settings, os.environ).names
    try:
        settings = Settings(**written)
    except ValidationError as invalid:
        raise ConfigError("\n".join(_explain(invalid.errors(), origin, names))) from None
    mistakes = [*_explain(_wrong_types(written, names), origin, names)]
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return settings


def read(path: Path) -> dict[str, Any]:
    """Return the tables of a TOML file, not validated yet. Raise ConfigError if it is invalid."""
    try:
        return tomllib.loads(decoded(path.read_bytes()))
    except FileNotFoundError:
        raise ConfigError(_missing(path)) from None
    except tomllib.TOMLDecodeError as broken:
        raise ConfigError(f"{path}: not TOML: {broken}") from None
    except ValueError as broken:
        raise ConfigError(f"{path}: {broken}; save it as UTF-8") from None
    except OSError as unreadable:
        raise explained(unreadable, f"{path}: cannot be read") from None


def decoded(content: bytes) -> str:
    """Return text in UTF-8, with or without a byte order mark. Raise ValueError with the actual
    encoding."""
    other = next((name for mark, name in MARKS.items() if content.startswith(mark)), None)
    if other or b"\0" in content:
        raise ValueError(f"not UTF-8 text but {other or 'UTF-16 or binary'}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as broken:
        line = content.count(b"\n", 0, broken.start) + 1
        raise ValueError(f"not UTF-8 text (line {line}, byte {broken.start})") from None


def _missing(path: Path) -> str:
    if path == DEFAULT_CONFIG:
        return (
            f"no configuration: neither {LOCAL_CONFIG.absolute()} nor {path} exists; "
            "name one with --config FILE, or write one with `detectd init`"
        )
    return missing(path, "name the configuration with --config FILE")


def _wrong_types(written: Mapping[str, Any], names: Names) -> Iterable[ErrorDetails]:
    """Values that only a lenient reading accepts: `seed = "7"`, `follow = 1`.

    Numbers in quotes are correct in the environment, where all is text, and an error in the file.
    """
    for name, table in written.items():
        section = Settings.model_fields[name].annotation
        assert isinstance(section, type)
        assert issubclass(section, Section)
        try:
            section.model_validate_json(json.dumps(table, default=str), strict=True)
        except ValidationError as invalid:
            for error in invalid.errors():
                location = (name, *error["loc"])
                if error["type"].endswith("_type") and not _variable([*map(str, location)], names):
                    yield {**error, "loc": location}


def _explain(errors: Iterable[ErrorDetails], origin: str, names: Names) -> Iterable[str]:
    listed = [*errors]
    wrong_within = {error["loc"][:-1] for error in listed}
    for error in listed:
        if error["type"] == "too_short" and error["loc"] in wrong_within:
            continue  # invalid items are not counted
        location = [str(part) for part in error["loc"]]
        key = f"{_dotted(error['loc'])}: " if location else ""
        variable = _variable(location, names)
        where = f"${variable}" if variable else origin
        # Rules between sections report all of their mistakes in one error.
        yield from (f"{where}: {key}{line}" for line in _sentence(error, location).split("\n"))


def _dotted(location: Iterable[str | int]) -> str:
    """Return a key, with its place in a list: event.features[2]."""
    parts = (f".{part}" if isinstance(part, str) else f"[{part}]" for part in location)
    return "".join(parts).removeprefix(".")


def _variable(location: list[str], names: Names) -> str | None:
    """Return the environment variable that set the key, or a table that it is in."""
    tables = itertools.accumulate((part,) for part in location)
    return next((names[table] for table in tables if table in names), None)


def _sentence(error: ErrorDetails, location: list[str]) -> str:
    kind, value = error["type"], error["input"]
    if kind == "extra_forbidden":
        return f"unknown key; {_nearest(location)}"
    if kind == "value_error":
        return str(error["ctx"]["error"])
    if kind in PLAIN_WORDS:
        return PLAIN_WORDS[kind]
    if kind in LIMITS:
        words, limit = LIMITS[kind]
        message = f"must be {words} {_shown(error['ctx'][limit])}"
    else:
        said = error["msg"].removeprefix("Input ").removeprefix("should ")
        message = WITH_VALUE.get(kind, f"must {said}")
    return f"{message} (it is {_shown(value)})"


def _shown(value: Any) -> str:
    """Return a value as in the file, large numbers with commas."""
    return f"{value:,}" if type(value) is int else json.dumps(value, default=str)


def _nearest(location: list[str]) -> str:
    table: Any = Settings
    for part in location[:-1]:
        table = table.model_fields[part].annotation
    known = list(getattr(table, "model_fields", {}))
    close = nearest(location[-1], known)
    return f"did you mean {close}?" if close else f"the keys here are {', '.join(known)}"
