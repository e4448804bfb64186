"""Output of commands, in place of `print`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from detectd.filesystem.result_file import write_result
from detectd.settings.loader import examine

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from detectd.settings import Settings


class Console(NamedTuple):
    """The destinations of lines: `say` is the result, `note` is for a person who watches."""

    say: Callable[[str], None]
    note: Callable[[str], None]


def configuration(arguments: argparse.Namespace, console: Console) -> Settings:
    """Return the settings of the command, after printing warnings about them."""
    settings, warnings = examine(arguments.config)
    for warning in warnings:
        console.note(f"detectd: WARNING: {warning}")
    return settings


def printable(text: str) -> str:
    """Return the text without terminal control characters, since it may come from an untrusted
    source."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def give(
    found: dict[str, Any],
    text: Callable[[dict[str, Any]], str],
    arguments: argparse.Namespace,
    console: Console,
) -> None:
    """Print figures as text or JSON, depending on --format, or write them to the file of -o."""
    rendered = json.dumps(found, indent=2) if arguments.format == "json" else text(found)
    write(rendered, arguments, console)


def write(rendered: str, arguments: argparse.Namespace, console: Console) -> None:
    """Print the text, or write it to the file of -o."""
    if arguments.output is None:
        console.say(rendered)
        return
    write_result(arguments.output, rendered + "\n")
