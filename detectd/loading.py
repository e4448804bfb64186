"""From a TOML file and the environment to `Settings`, or to one plain line per mistake."""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from pydantic_settings import SettingsError

from detectd.errors import ConfigError
from detectd.settings import Settings
from detectd.settings.section import Section

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from pydantic_core import ErrorDetails

# What pydantic says of a wrong value, where its own words do not say how to mend it.
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


def load(path: Path) -> Settings:
    """The settings of the file at `path`, overridden by the environment.

    Raises ConfigError with one line per mistake, each naming the file (or the variable), the key
    and the mend.
    """
    return settle(read(path), str(path))


def settle(written: dict[str, Any], origin: str) -> Settings:
    """The settings of what was written in a file, or on the command line. See `load`."""
    try:
        settings = Settings(**written)
    except ValidationError as invalid:
        raise ConfigError("\n".join(_explain(invalid.errors(), origin))) from None
    except SettingsError as unreadable:
        raise ConfigError(_not_json(str(unreadable))) from None
    mistakes = [*_explain(_wrong_types(written), origin), *_stray_variables()]
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return settings


def read(path: Path) -> dict[str, Any]:
    """The tables of a TOML file, not looked at yet. Raises ConfigError where it is none."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: there is no such file; name the configuration with --config FILE"
        ) from None
    except tomllib.TOMLDecodeError as broken:
        raise ConfigError(f"{path}: not TOML: {broken}") from None
    except UnicodeDecodeError as broken:
        raise ConfigError(
            f"{path}: not UTF-8 text (byte {broken.start}); save it as UTF-8"
        ) from None
    except OSError as unreadable:
        raise ConfigError(f"{path}: cannot be read: {unreadable.strerror}") from None


def _wrong_types(written: Mapping[str, Any]) -> Iterable[ErrorDetails]:
    """Values that only a lenient reading accepts: `seed = "7"`, `follow = 1`.

    Numbers in quotes are right in the environment, where all is text, and a mistake in the file.
    """
    for name, table in written.items():
        section = Settings.model_fields[name].annotation
        assert isinstance(section, type)
        assert issubclass(section, Section)
        try:
            section.model_validate_json(json.dumps(table, default=str), strict=True)
        except ValidationError as invalid:
            for error in invalid.errors():
                location = [name, *map(str, error["loc"])]
                if error["type"].endswith("_type") and not _variable(location):
                    yield {**error, "loc": tuple(location)}


def _explain(errors: Iterable[ErrorDetails], origin: str) -> Iterable[str]:
    for error in errors:
        location = [str(part) for part in error["loc"]]
        key = f"{'.'.join(location)}: " if location else ""
        yield f"{_origin(location, origin)}: {key}{_sentence(error, location)}"


def _origin(location: list[str], written: str) -> str:
    """The environment variable that set the key, else where it was written."""
    variable = _variable(location)
    return f"${variable}" if variable else written


def _variable(location: list[str]) -> str | None:
    wanted = "DETECTD_" + "__".join(location[:2]).upper()
    return next((name for name in os.environ if name.upper() == wanted), None)


def _stray_variables() -> Iterable[str]:
    """Variables that look like ours and set nothing: pydantic-settings passes over them."""
    for variable in sorted(os.environ):
        section, nested, _ = variable.removeprefix("DETECTD_").partition("__")
        section = section.lower()
        if variable.startswith("DETECTD_") and nested and section not in Settings.model_fields:
            yield f"${variable}: there is no section [{section}]; {_nearest([section])}"


def _not_json(message: str) -> str:
    """pydantic-settings names the section alone; name the variables that can be meant."""
    section = message.split('"')[1]
    prefix = f"DETECTD_{section}".upper()
    variables = ", ".join(f"${name}" for name in os.environ if name.upper().startswith(prefix))
    return f"{variables}: a list or a table in the environment is written as JSON"


def _sentence(error: ErrorDetails, location: list[str]) -> str:
    kind, value = error["type"], error["input"]
    if kind == "extra_forbidden":
        return f"unknown key; {_nearest(location)}"
    if kind == "value_error":
        return str(error["ctx"]["error"])
    if kind in PLAIN_WORDS:
        return PLAIN_WORDS[kind]
    message = error["msg"].removeprefix("Input ").removeprefix("should ")
    return f"must {message} (it is {json.dumps(value, default=str)})"


def _nearest(location: list[str]) -> str:
    table: Any = Settings
    for part in location[:-1]:
        table = table.model_fields[part].annotation
    known = list(getattr(table, "model_fields", {}))
    close = difflib.get_close_matches(location[-1], known, n=1)
    return f"did you mean {close[0]}?" if close else f"the keys here are {', '.join(known)}"
