"""The runbook's commands, run as they are written, against a service that runs."""

from __future__ import annotations

import re
import shlex

import pytest

from detectd.settings import Settings
from tests.support.command import detectd, events
from tests.support.live import serving
from tests.support.paths import ROOT

RUNBOOK = (ROOT / "dashboards/runbook.md").read_text(encoding="utf-8")
INSTANCE = "sudo -u detectd detectd "
# Wrapped lines are one, so that a command in a sentence is found whole.
COMMANDS = sorted(
    {
        found.removeprefix(INSTANCE)
        for found in re.findall(
            rf"{INSTANCE}[^`\n]*?/etc/detectd/NAME\.toml", re.sub(r"(?<=\S)\n(?=\S)", " ", RUNBOOK)
        )
    }
)
HARMLESS = {"status", "anomalies", "check", "report", "tap", "models list", "dead-letters list"}


def arguments(command, world):
    """The words of a command, its place holders filled in."""
    words = command.replace("/etc/detectd/NAME.toml", str(world.path))
    words = words.replace("VERSION", min((world.home / "models").glob("2*T*")).name)
    return shlex.split(words.replace("FILE", str(world.home / "training.jsonl")))


def test_there_are_commands_for_an_instance():
    assert len(COMMANDS) >= 10
    assert all(command.endswith("--config /etc/detectd/NAME.toml") for command in COMMANDS)


def test_commands_in_blocks_change_nothing_but_where_the_text_says_so():
    """At 3 am blocks are copied whole."""
    blocks = re.findall(r"^```\n(.*?)^```", RUNBOOK, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    for line in lines:
        command = line.removeprefix(INSTANCE)
        reads = line.split()[0] in {"journalctl", "df"} or line.startswith(
            ("systemctl status", "systemctl show", "systemctl list-units")
        )
        harmless = any(command.startswith(each) for each in HARMLESS) or "--dry-run" in line
        compared = "Do:** if the stream has truly changed" in RUNBOOK and command.startswith(
            ("fit --input FILE --no-activate", "models activate VERSION")
        )
        decided = "activate the model; otherwise discard it" in RUNBOOK and command.startswith(
            ("models activate", "models discard")
        )
        assert reads or harmless or compared or decided, line


def test_what_the_runbook_runs_succeeds(fitted):
    assert fitted.fit(seed=2).returncode == 0
    fitted.write(source={"follow": True})
    fitted.lines(fitted.events, events(300, poison=0.1))
    with serving(fitted):
        for command in COMMANDS:
            if command.startswith("status"):
                done = detectd(*arguments(command, fitted))
                assert done.returncode == 0, (command, done.stderr)
                assert str(fitted.path) in done.stdout
    for command in COMMANDS:
        if not command.startswith("status"):
            done = detectd(*arguments(command, fitted))
            assert done.returncode == 0, (command, done.stderr)


def test_what_the_runbook_searches_the_log_for_is_logged():
    source = "\n".join(path.read_text() for path in (ROOT / "detectd").rglob("*.py"))
    searched = re.findall(r"journalctl .* -g (\S+)", RUNBOOK)
    assert searched
    for event in searched:
        assert re.search(rf'log\.\w+\(\s*"{event}', source) or event == "refit", event
    for event in re.findall(r"`((?:source|service|server|config)\.\w+)` in the log", RUNBOOK):
        assert f'"{event}"' in source


# Kafka's own settings of a topic are not ours.
NAMED = set(re.findall(r"`([a-z_]+\.[a-z_]+)[` ]", RUNBOOK)) - {"retention.ms", "retention.bytes"}


@pytest.mark.parametrize("key", sorted(NAMED))
def test_every_setting_and_event_that_the_runbook_names_is_there(key):
    section, _, name = key.partition(".")
    source = "\n".join(path.read_text() for path in (ROOT / "detectd").rglob("*.py"))
    field = Settings.model_fields.get(section)
    known = field is not None and name in getattr(field.annotation, "model_fields", {})
    assert known or f'"{key}"' in source or (ROOT / "dashboards" / key).exists()
