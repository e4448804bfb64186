"""`detectd init`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from detectd import share
from detectd.errors import UsageError
from detectd.filesystem import atomic_files
from detectd.filesystem.os_errors import explained

if TYPE_CHECKING:
    import argparse

    from detectd.commands.console import Console

STDOUT = Path("-")


def init(arguments: argparse.Namespace, console: Console) -> None:
    """Write a first configuration, guessed from a file of events and commented."""
    from detectd.commands.first_config import first_config

    to_stdout = arguments.output == STDOUT
    output = (arguments.output.parent.resolve() / arguments.output.name).absolute()
    if not (to_stdout or arguments.force) and output.exists():
        raise UsageError(f"-o {output}: is there already; --force overwrites it, or name another")
    text = first_config(arguments.input, output.parent)
    if to_stdout:
        console.say(text)
        return
    try:
        atomic_files.replace(output, text.encode())
    except OSError as refused:
        raise explained(
            refused, f"-o {output}", "name another file", operators=UsageError
        ) from None
    console.say(f"written: {output}")
    history = arguments.input or "history.jsonl"
    console.say(
        f"Look it over, then:\n  detectd check --config {output}\n"
        f"  detectd fit --config {output} --input {history}\n  detectd run --config {output}\n"
        f"Every key, with its default: {share.REFERENCE}\nFor editors: {share.SCHEMA}"
    )
