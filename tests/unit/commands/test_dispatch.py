"""Commands are imported when they are run: each of the table must be there by then."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pkgutil import resolve_name

import pytest

from detectd import commands
from detectd.commands import COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_a_function_of_arguments_and_console(name):
    function = resolve_name(f"{commands.__name__}.{COMMANDS[name].function}")
    assert [*inspect.signature(function).parameters] == ["arguments", "console"]


def test_the_help_imports_no_command():
    code = """if True:
        import sys
        from detectd.commands import COMMANDS
        from detectd.commands.arguments import parser

        parser({name: command.does for name, command in COMMANDS.items()})
        print(*(name for name in sys.modules if name.startswith(("detectd.commands.", "numpy"))))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["detectd.commands.arguments"]
