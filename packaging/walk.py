"""The commands of the command line, as its own parser knows them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from detectd.commands import COMMANDS
from detectd.commands.arguments import parser

if TYPE_CHECKING:
    from collections.abc import Iterator

# Every command has them, except that `demo` needs no configuration.
COMMON = ("help", "debug", "config")


def command_line() -> argparse.ArgumentParser:
    """The parser that the command uses."""
    return parser({name: command.does for name, command in COMMANDS.items()})


def leaves(top: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The commands that do something, in the order of the help."""
    groups = [a for a in top._actions if isinstance(a, argparse._SubParsersAction)]  # noqa: SLF001
    if not groups:
        yield top
    for group in groups:
        for command in group.choices.values():
            yield from leaves(command)


def actions(command: argparse.ArgumentParser) -> list[argparse.Action]:
    """A command's options and arguments."""
    return command._actions  # noqa: SLF001
