"""The documentation's first hour, as a reader runs it: its script, its commands, its output."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documentation.pages import DOCS, blocks, read
from tests.support.command import ENVIRONMENT, detectd

PAGE = read(DOCS / "getting-started.md").partition("## Run it as a service")[0]
# What depends on the reader: where it stands, and which port was free.
THEIRS = re.compile(r"^(config|source|sink|server) ")
CHOOSING = read(DOCS / "explanation/choosing.md")


def script():
    (found,) = (block.text for block in blocks(PAGE) if block.language == "python")
    return found


def lines():
    """The commands of the page, without that of a checkout."""
    shown = [block.text for block in blocks(PAGE) if block.language == "sh"]
    return [line for text in shown for line in text.splitlines() if line != "make demo"]


def shown():
    """The lines of output that the page shows."""
    output = [block.text for block in blocks(PAGE) if block.language == "text"]
    return [line for text in output for line in text.splitlines() if not THEIRS.match(line)]


def test_the_page_has_commands_and_output():
    assert len(lines()) >= 8
    assert len(shown()) >= 10


def run(line, here):
    """Run a line in a shell, or without one if it has nothing for a shell."""
    words = shlex.split(line)
    if words[0] == "detectd" and shlex.join(words) == line:
        return detectd(*words[1:], cwd=here)
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", line],
        cwd=here,
        env=ENVIRONMENT | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_the_first_hour_runs_as_it_stands(tmp_path):
    (tmp_path / "simulate.py").write_text(script(), encoding="utf-8")
    said = ""
    for line in lines():
        done = run(line, tmp_path)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        said += done.stdout
    missing = [line for line in shown() if line not in said.splitlines()]
    assert not missing
    assert (tmp_path / "report.html").stat().st_size > 10_000


def worked_examples():
    """The commands of the worked examples, each with the output that the page shows."""
    found = re.findall(
        r"^<!-- run -->\n```console\n\$ (.*)\n((?:.*\n)*?)```$", CHOOSING, re.MULTILINE
    )
    return [pytest.param(command, output, id=command) for command, output in found]


@pytest.mark.parametrize(("command", "output"), worked_examples())
def test_a_worked_example_shows_what_is_printed(command, output, tmp_path):
    done = detectd(*command.split()[1:], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == output


def test_an_excerpt_is_part_of_what_is_printed(tmp_path):
    text = read(DOCS / "explanation/promise.md")
    (excerpt,) = (b.text for b in blocks(text) if b.text.startswith("$ detectd plan"))
    command, *excerpted = excerpt.splitlines()
    printed = detectd(*command.removeprefix("$ ").split()[1:], cwd=tmp_path).stdout.splitlines()
    assert [line for line in excerpted if line not in printed] == []


def test_the_errors_shown_are_those_that_are_printed(tmp_path):
    text = read(DOCS / "reference/exit-codes.md")
    (errors,) = (b.text for b in blocks(text) if b.text.startswith("detectd: "))
    good = next(b.text for b in blocks(PAGE) if b.language == "toml")
    slips = (
        ("contamination", "contaminaton"),
        ("contamination = 0.02", "contamination = 0.6"),
        ('name = "GMM"', 'name = "IForrest"'),
    )
    event = '{"time": 0, "host": "a", "cpu": 1, "memory": 1, "latency_ms": 1}\n'
    (tmp_path / "events.jsonl").write_text(event, encoding="utf-8")
    for line, (right, wrong) in zip(errors.splitlines(), slips, strict=True):
        path = tmp_path / "detectd.toml"
        path.write_text(good.replace(right, wrong), encoding="utf-8")
        done = detectd("check", "--config", path)
        assert done.stderr == line.replace("/etc/detectd", str(tmp_path)) + "\n"


def test_there_are_worked_examples():
    assert len(worked_examples()) == 4
