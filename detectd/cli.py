"""The command line: parses, dispatches, prints and exits. Nothing else in the package does."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

# Imports here run before signals are handled.


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    if argv is None:
        _begin(serves=sys.argv[1:2] == ["run"])
    from detectd import quiet
    from detectd.commands import COMMANDS
    from detectd.commands.arguments import parser
    from detectd.commands.standard_streams import prepare
    from detectd.config_path import default_config

    prepare()
    quiet.install()
    arguments = parser({name: each.does for name, each in COMMANDS.items()}).parse_args(argv)
    if hasattr(arguments, "config"):
        arguments.config = (arguments.config or default_config()).absolute()
    return _run(arguments)


def _begin(*, serves: bool) -> None:
    """Handle early signals, and make sure that text is UTF-8."""
    from detectd import signals
    from detectd.commands.standard_streams import is_utf8, start_again_in_utf8
    from detectd.filesystem import umask

    if not is_utf8():
        if serves:
            signals.ignore_hangups()  # safe: the configuration is read afterwards
        start_again_in_utf8()
    umask.restrict()
    if serves:
        signals.hold()


def _run(arguments: argparse.Namespace) -> int:
    from detectd.commands import COMMANDS
    from detectd.commands.console import Console
    from detectd.errors import DetectdError
    from detectd.filesystem.os_errors import located

    try:
        COMMANDS[arguments.name].run(arguments, Console(say=_say, note=_note))
    except DetectdError as error:
        _complain(error, arguments.debug, getattr(arguments, "config", None))
        return error.exit_code
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:  # the reader of the output is gone
        return 1
    except OSError as failed:
        explained = located(failed)
        _complain(failed if arguments.debug else explained, arguments.debug)
        return explained.exit_code
    except MemoryError:
        _note("detectd: out of memory; free some memory, or raise MemoryMax=")
        return 1
    except Exception as unforeseen:  # noqa: BLE001 - the last resort: one line, and exit 1
        _complain(unforeseen, arguments.debug)
        return 1
    return 0


def _say(line: str) -> None:
    from detectd.commands.standard_streams import lose_output
    from detectd.filesystem.os_errors import explained
    from detectd.report.terminal import printable

    try:
        print(printable(line), flush=True)
    except BrokenPipeError:
        lose_output()
        raise
    except OSError as failed:
        lose_output()
        raise explained(failed, "stdout cannot be written") from None


def _note(line: str) -> None:
    from detectd.report.terminal import printable

    print(printable(line), file=sys.stderr)


def _complain(error: Exception, debug: bool, config: Path | None = None) -> None:
    from detectd.commands.console import printable
    from detectd.errors import DetectdError

    if debug:
        import traceback

        _note("".join(traceback.format_exception(error)).rstrip())
        return
    if isinstance(error, DetectdError):
        for line in str(error).splitlines():
            _note(f"detectd: {printable(_located(line, config))}")
        return
    _note(f"detectd: {type(error).__name__}: {error} (--debug shows the traceback)")


def _located(line: str, config: Path | None) -> str:
    """Return a line that begins with a key, prefixed by the name of the file in which it is set."""
    from detectd.settings import Settings

    section = line.split(":", maxsplit=1)[0].split(".", maxsplit=1)[0]
    return f"{config}: {line}" if config and section in Settings.model_fields else line
