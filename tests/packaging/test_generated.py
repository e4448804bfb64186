"""The manual page and the completions: made from the parser, and fit for those who read them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from tests.support.paths import ROOT

PACKAGING = ROOT / "packaging"
sys.path.insert(0, str(PACKAGING))

from completion import completion  # noqa: E402 - a script
from manual import escaped, manual  # noqa: E402
from walk import actions, command_line, leaves  # noqa: E402


def needs(tool, package):
    """The tool. Without it a test is skipped, under CI=true it fails."""
    if not shutil.which(tool):
        give_up = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        give_up(f"no {tool} to test with: apt install {package}")
    return tool


def said_by(*command, text=None):
    done = subprocess.run(command, input=text, text=True, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


def test_the_manual_has_every_command_and_option():
    page = manual()
    assert "@" not in page.replace("detectd@", "")
    for command in leaves(command_line()):
        assert f".B {escaped(command.prog.removeprefix('detectd '))}\n" in page
        for action in actions(command):
            for name in action.option_strings:
                assert rf"\fB{escaped(name)}\fR" in page


def test_the_manual_is_good_roff():
    groff = needs("groff", "groff-base")
    shown = said_by(groff, "-man", "-ww", "-Tascii", "-P-cbou", text=manual())
    assert "--max-abstain-rate" in shown


def test_the_manual_tells_all_exit_codes():
    from detectd import errors

    codes = {kind.exit_code for kind in vars(errors).values() if hasattr(kind, "exit_code")}
    assert all(f".B {code}\n" in manual() for code in {0} | codes)


def test_bash_completes_commands_options_and_their_values(tmp_path):
    script = tmp_path / "detectd"
    script.write_text(completion("bash"))

    def completed(*words):
        listed = " ".join(f"'{word}'" for word in words)
        code = f"""
            set -u; . {script}; COMP_WORDS=({listed}); COMP_CWORD={len(words) - 1}; COMPREPLY=()
            _shtab_detectd; printf '%s\\n' "${{COMPREPLY[@]-}}"
        """
        return said_by("bash", "--norc", "-c", code).split()

    commands = {command.prog.split()[1] for command in leaves(command_line())}
    assert set(completed("detectd", "")) >= commands
    assert completed("detectd", "models", "act") == ["activate"]
    assert "--connect" in completed("detectd", "check", "--")
    assert completed("detectd", "report", "--format", "j") == ["json"]


@pytest.mark.parametrize(("shell", "check"), [("zsh", "-n"), ("fish", "--no-execute")])
def test_other_shells_can_read_theirs(tmp_path, shell, check):
    script = tmp_path / "script"
    script.write_text(completion(shell))
    said_by(needs(shell, shell), check, str(script))
