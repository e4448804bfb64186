"""The unit as systemd's own tools see it."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess

import pytest

from tests.support.paths import ROOT

SYSTEMD = ROOT / "systemd"
UNIT = SYSTEMD / "detectd@.service"
MOST_EXPOSED = 1.2
SANDBOXED = ROOT / "packaging" / "detectd-sandboxed"

NOT_OF_THE_SANDBOX = (
    "Type|NotifyAccess|Exec|Restart|Timeout|Watchdog|OOMPolicy|SyslogId|RuntimeDir|WantedBy"
)


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
    parser.optionxform = str  # type: ignore[assignment]
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


@pytest.mark.parametrize("drop_in", ["own-user", "only-brokers", "notify-reload"])
def test_the_unit_is_sound_with_each_drop_in(analyze, tmp_path, drop_in):
    """notify-reload is for newer versions of systemd, which may warn of it."""
    shutil.copy(UNIT, tmp_path / UNIT.name)
    beside = tmp_path / f"{UNIT.name}.d"
    beside.mkdir()
    shutil.copy(SYSTEMD / f"{drop_in}.conf", beside)
    done = analyze("verify", "--man=no", tmp_path / UNIT.name)
    said = [line for line in done.stderr.splitlines() if "notify-reload" not in line]
    assert (done.returncode, done.stdout, said) == (0, "", [])


def test_run_is_not_writable_either():
    """ProtectSystem=strict does not cover /run where systemd mounts /proc for the unit."""
    assert settings(UNIT)["ReadOnlyPaths"] == "/run"


def test_instances_share_neither_state_nor_cache_nor_runtime_directory():
    unit = settings(UNIT)
    for kind in ("StateDirectory", "CacheDirectory", "RuntimeDirectory"):
        assert unit[kind] == "detectd/%i"
    text = UNIT.read_text(encoding="utf-8")
    assert "Environment=NUMBA_CACHE_DIR=%C/detectd/%i/" in text
    assert settings(SYSTEMD / "own-user.conf")["User"] == "detectd-%i"


@pytest.fixture
def sandboxed(tmp_path):
    """detectd-sandboxed, with stand-ins for systemctl, which has a drop-in, and systemd-run."""
    if os.geteuid() != 0:
        pytest.skip("only root starts units")
    drop_in = tmp_path / "drop-in.conf"
    for tool, does in {
        "systemctl": f"cat {UNIT} {drop_in}",
        "systemd-run": 'printf "%s\\n" "$@"; exit 77',
    }.items():
        (tmp_path / tool).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / tool).chmod(0o755)

    def run(text):
        drop_in.write_text(text)
        return subprocess.run(
            [SANDBOXED, "payments", "report", "--format", "a b"],
            env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )

    return run


def properties(done):
    """What systemd-run was told of the sandbox."""
    assert (done.returncode, done.stderr) == (77, "")
    lines = done.stdout.splitlines()
    return [line.removeprefix("--property=") for line in lines if "--property=" in line]


def test_a_sandboxed_command_has_all_that_the_unit_says_of_its_sandbox(sandboxed):
    credential = "LoadCredential=token:/etc/detectd/secrets/token"
    done = sandboxed(f"[Service]\n{credential}\n")
    given = properties(done)
    command = done.stdout.splitlines()[-5:]
    assert command == ["/usr/bin/env", "detectd", "report", "--format", "a b"]
    lines = re.findall(r"^[A-Z]\w+=.*$", UNIT.read_text().partition("[Service]")[2], re.MULTILINE)
    wanted = [line for line in lines if not re.match(NOT_OF_THE_SANDBOX, line)]
    assert len(wanted) > 40
    specifiers = {"%i": "payments", "%E": "/etc", "%S": "/var/lib", "%C": "/var/cache"}
    for specifier, value in specifiers.items():
        wanted = [line.replace(specifier, value) for line in wanted]
    assert given == [*wanted, credential]


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("[Service]\n  IPAddressDeny = any \n", ["IPAddressDeny=any"]),
        ("[Service] \nIPAddressDeny=any", ["IPAddressDeny=any"]),
        (
            "[Service]\nInaccessiblePaths=/srv \\\n# both of them\n  /opt\nNice=5\n",
            ["InaccessiblePaths=/srv  /opt", "Nice=5"],
        ),
        ("[Service]\n;Nice=5\n[Unit]\nDescription=a = b\n", []),
        (
            "[Service]\nUser=detectd-%i\nReadWritePaths=%S/a=b\n",
            ["User=detectd-payments", "ReadWritePaths=/var/lib/a=b"],
        ),
        ("[Service]\nStandardOutput=null\nExecStartPost=/bin/true\n", []),
    ],
)
def test_a_sandboxed_command_reads_drop_ins_as_systemd_does(sandboxed, text, means):
    """What was not recognized would leave a hole that the service does not have."""
    assert properties(sandboxed(text))[len(properties(sandboxed(""))) :] == means


def test_a_sandboxed_command_does_not_start_with_a_property_that_it_cannot_expand(sandboxed):
    done = sandboxed("[Service]\nInaccessiblePaths=/srv/%j\n")
    assert (done.returncode, done.stdout) == (2, "")
    assert "cannot expand InaccessiblePaths=/srv/%j: write" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_sandboxed_command_says_how_it_is_used():
    done = subprocess.run([SANDBOXED, "payments"], capture_output=True, text=True)
    assert (done.returncode, done.stderr[:6]) == (2, "usage:")


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
