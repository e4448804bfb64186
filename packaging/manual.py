"""Print detectd(1): the prose of detectd.1.in, and the commands as the parser has them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from walk import COMMON, actions, command_line, leaves

from detectd import __version__

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

PROSE = Path(__file__).with_name("detectd.1.in")


def manual() -> str:
    """The page, in roff."""
    top = command_line()
    commands = [*leaves(top)]
    common = [action for action in actions(commands[0]) if action.dest in COMMON]
    page = PROSE.read_text(encoding="utf-8")
    for mark, lines in {
        "@VERSION@": [escaped(__version__)],
        "@COMMANDS@": [line for command in commands for line in described(command)],
        "@COMMON@": [line for action in common for line in entry(action)],
    }.items():
        page = page.replace(mark, "\n".join(lines))
    return page


def described(command: argparse.ArgumentParser) -> Iterator[str]:
    """A command, what it does, and the options that are its own."""
    own = [action for action in actions(command) if action.dest not in COMMON]
    name = command.prog.removeprefix("detectd ")
    yield from (".TP", f".B {escaped(name)}", escaped(command.description or ""))
    if own:
        yield ".RS"
        for action in own:
            yield from entry(action)
        yield ".RE"


def entry(action: argparse.Action) -> Iterator[str]:
    """An option or argument, and what it means."""
    names = ", ".join(rf"\fB{escaped(name)}\fR" for name in action.option_strings)
    value = action.metavar or "|".join(action.choices or ())
    takes = "" if action.nargs == 0 else rf"\fI{escaped(value or action.dest)}\fR"
    yield from (".TP", f"{names} {takes}".strip(), escaped(action.help or ""))


def escaped(text: str) -> str:
    """Text that roff leaves as it is: a hyphen is a minus that can be copied, a dot no request."""
    plain = text.replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{plain}" if plain.startswith((".", "'")) else plain


if __name__ == "__main__":
    sys.stdout.write(manual())
