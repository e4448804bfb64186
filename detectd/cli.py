"""The command line: parses, dispatches, prints and exits. Nothing else in the package does."""

from __future__ import annotations

import os
import sys
import traceback
from typing import TYPE_CHECKING

from detectd.arguments import default_config, parser
from detectd.commands import COMMANDS
from detectd.commands.console import Console, printable
from detectd.errors import DetectdError
from detectd.stderr import bear_loss

if TYPE_CHECKING:
    from pathlib import Path


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    bear_loss()
    arguments = parser({name: does.__doc__ or "" for name, does in COMMANDS.items()}).parse_args(
        argv
    )
    if hasattr(arguments, "config"):
        arguments.config = (arguments.config or default_config()).absolute()
    try:
        COMMANDS[arguments.name](arguments, Console(say=_say, note=_note))
    except DetectdError as error:
        _complain(error, arguments.debug, getattr(arguments, "config", None))
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone; keep the interpreter from flushing into nothing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as unforeseen:  # noqa: BLE001 - the last resort: one line, and exit 1
        _complain(unforeseen, arguments.debug)
        return 1
    return 0


def _say(line: str) -> None:
    print(line, flush=True)


def _note(line: str) -> None:
    print(line, file=sys.stderr)


def _complain(error: Exception, debug: bool, config: Path | None = None) -> None:
    if debug:
        traceback.print_exception(error)
        return
    if isinstance(error, DetectdError):
        for line in str(error).splitlines():
            _note(f"detectd: {printable(_located(line, config))}")
        return
    _note(f"detectd: {type(error).__name__}: {error} (--debug shows the traceback)")


def _located(line: str, config: Path | None) -> str:
    """A line that begins with a key gets the name of the file in which it is set."""
    from detectd.settings import Settings

    section = line.split(":", maxsplit=1)[0].split(".", maxsplit=1)[0]
    return f"{config}: {line}" if config and section in Settings.model_fields else line
