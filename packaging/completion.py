"""Print the completion of the command line for a shell: bash, zsh or fish."""

from __future__ import annotations

import sys

import shtab
from walk import actions, command_line, leaves

COMPLETES = {"FILE": shtab.FILE, "PATH": shtab.FILE, "DIR": shtab.DIRECTORY}


def completion(shell: str) -> str:
    """The script that the shell reads."""
    top = command_line()
    for command in leaves(top):
        for action in actions(command):
            if action.metavar in COMPLETES:
                action.complete = COMPLETES[action.metavar]  # type: ignore[attr-defined]
    return shtab.complete(top, shell)


if __name__ == "__main__":
    sys.stdout.write(completion(sys.argv[1]))
