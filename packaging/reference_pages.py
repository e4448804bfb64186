"""Markdown of the reference pages: the commands from the parser, the keys from the settings."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parent))

from schema import schema
from walk import COMMON, actions, command_line, leaves

from detectd.commands import COMMANDS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

BOUNDS = {
    "minimum": "≥",
    "exclusiveMinimum": ">",
    "maximum": "≤",
    "exclusiveMaximum": "<",
}


def commands() -> str:
    """Return a section for each command, with its options in a table."""
    order = [*COMMANDS]
    sections = sorted(
        leaves(command_line()), key=lambda each: order.index(each.prog.removeprefix("detectd "))
    )
    fullest = max(sections, key=lambda each: sum(a.dest in COMMON for a in actions(each)))
    common = [each for each in actions(fullest) if each.dest in COMMON]
    lines = ["## Options of every command", "", *_options(common)]
    for command in sections:
        own = [action for action in actions(command) if action.dest not in COMMON]
        lines += ["", f"## {command.prog}", "", _sentence(command.description or "")]
        lines += ["", "```text", _usage(command), "```"]
        if own:
            lines += ["", *_options(own)]
    return "\n".join(lines)


def configuration() -> str:
    """Return a section for each table of the configuration, with its keys."""
    whole = schema()
    return "\n".join(_tables(whole, whole["properties"], ""))


def _usage(command: argparse.ArgumentParser) -> str:
    words = command.format_usage().removeprefix("usage: ").split()
    return " ".join(words)


def _options(options: list[argparse.Action]) -> Iterator[str]:
    yield from ("| option | meaning |", "|---|---|")
    for action in options:
        value = str(action.metavar or "") or "|".join(map(str, action.choices or ()))
        takes = "" if action.nargs == 0 else value or action.dest.upper()
        name = ", ".join(f"{name} {takes}".strip() for name in action.option_strings) or takes
        yield f"| {_code(name)} | {_cell(_sentence(action.help or _of_choices(action)))} |"


def _of_choices(action: argparse.Action) -> str:
    listed = " or ".join(map(str, action.choices or ()))
    return f"{listed}; default: {action.default}" if listed and action.default else listed


def _tables(whole: dict[str, Any], properties: dict[str, Any], above: str) -> Iterator[str]:
    for section, reference in properties.items():
        name = f"{above}{section}"
        definition = whole["$defs"][reference["$ref"].rpartition("/")[2]]
        keys = definition["properties"]
        inner = {key: value for key, value in keys.items() if "$ref" in value}
        yield from (f"## [{name}] {{ #{name.replace('.', '-')} }}", "")
        yield from ("| key | meaning | type | default |", "|---|---|---|---|")
        for key, described in keys.items():
            if key not in inner:
                yield _key(name, key, described, required=key in definition.get("required", ()))
        yield ""
        yield from _tables(whole, inner, f"{name}.")


def _key(section: str, key: str, described: dict[str, Any], *, required: bool) -> str:
    default = "required" if required else "none"
    if described.get("default") is not None:
        default = _code(json.dumps(described["default"], ensure_ascii=False))
    meaning = described.get("description", "")
    anchor = f'<span id="{section}.{key}"></span>'
    return f"| {anchor}{_code(key)} | {_cell(meaning)} | {_cell(_type(described))} | {default} |"


def _type(described: dict[str, Any]) -> str:
    if "anyOf" in described:
        return " or ".join(_type(each) for each in described["anyOf"])
    if "$ref" in described:
        return "inline table"
    if "const" in described or "enum" in described:
        choices = described.get("enum", [described.get("const")])
        return ", ".join(_code(json.dumps(each)) for each in choices)
    if described.get("type") == "array":
        return f"array of {_type(described['items'])}"
    name = "table" if described.get("type") == "object" else described.get("format")
    bounds = ", ".join(
        f"{sign} {_number(described[key])}" for key, sign in BOUNDS.items() if key in described
    )
    return f"{name or described.get('type', 'any')} {bounds}".strip()


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] if text and not text.startswith("source ->") else text


def _code(text: str) -> str:
    return f"`{text}`".replace("|", r"\|")


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ").replace("<", "&lt;")
