"""The unit as systemd's own tools see it."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

SYSTEMD = Path(__file__).parents[2] / "systemd"
UNIT = SYSTEMD / "detectd@.service"
MOST_EXPOSED = 1.5


@pytest.fixture(scope="module")
def analyze():
    """systemd-analyze. Without it these tests are skipped, under CI=true they fail."""
    if not shutil.which("systemd-analyze"):
        give_up = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        give_up("no systemd-analyze to test with: apt install systemd")

    def run(*arguments):
        return subprocess.run(
            ["systemd-analyze", *map(str, arguments)], text=True, capture_output=True, timeout=60
        )

    return run


def settings(path):
    """The [Service] section; a key that comes again is a list in systemd, the last one here."""
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str
    parser.read(path, encoding="utf-8")
    return parser["Service"]


def test_the_unit_is_sound(analyze):
    done = analyze("verify", "--man=no", UNIT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_unit_exposes_little(analyze):
    done = analyze("security", "--offline=true", "--no-pager", UNIT)
    overall = re.search(r"Overall exposure level for .*: ([0-9.]+)", done.stdout)
    assert overall, done.stdout + done.stderr
    assert float(overall[1]) <= MOST_EXPOSED, done.stdout


def test_what_is_left_out_has_its_reason_beside_it():
    given, text = settings(UNIT), UNIT.read_text(encoding="utf-8")
    for missing in ("MemoryDenyWriteExecute", "ProcSubset", "PrivateNetwork"):
        assert missing not in given
        assert re.search(rf"^# {missing}=.*: \w+", text, re.MULTILINE)


def test_neither_a_refusal_nor_a_bad_configuration_is_tried_again():
    from detectd.errors import ConfigError, RefusedError

    spared = settings(UNIT)["RestartPreventExitStatus"].split()
    assert spared == [str(RefusedError.exit_code), str(ConfigError.exit_code)]
    # systemd looks at the exit code of the main process alone.
    assert "ExecStartPre" not in settings(UNIT)


def test_a_systemd_that_waits_for_reloads_sends_the_signal_itself():
    drop_in = settings(SYSTEMD / "notify-reload.conf")
    assert dict(drop_in) == {"Type": "notify-reload", "ExecReload": ""}


def test_the_directories_are_those_of_the_unit_and_have_its_modes():
    lines = (SYSTEMD / "detectd.tmpfiles.conf").read_text(encoding="utf-8").splitlines()
    made = [line.split() for line in lines if not line.startswith("#")]
    modes = {path: (mode, owner, group) for _, path, mode, owner, group, _ in made}
    unit = settings(UNIT)
    ours = (unit["User"], unit["Group"])
    assert modes["/var/lib/detectd"] == (unit["StateDirectoryMode"], *ours)
    assert modes["/var/cache/detectd"] == (unit["CacheDirectoryMode"], *ours)
    assert modes["/etc/detectd"] == ("0750", "root", "detectd")
    assert modes["/etc/detectd/secrets"] == ("0700", "root", "root")
