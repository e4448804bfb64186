"""What a service is started with: closed streams, readers that go away, another locale, signals."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.command import ENVIRONMENT, World, events, start
from tests.support.live import running
from tests.support.waiting import until

# The interpreter itself, for what is settled at its start.
COMMAND = [sys.executable, "-m", "detectd"]
CLOSED = {"stdin": "<&-", "stdout": ">&-", "stderr": "2>&-"}


def shell(world, redirections, *arguments):
    """Run the command as a shell does, with these redirections."""
    line = " ".join(f"'{word}'" for word in (*COMMAND, *arguments, "--config", world.path))
    return subprocess.run(
        ["sh", "-c", f"{line} {redirections}"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_stop_need_not_wait_for_the_end_of_a_hole(fitted):
    hole = 1 << 40  # hours of reading
    with running(fitted) as live:
        os.truncate(fitted.events, hole)
        home = Path("/proc", str(live.process.pid))
        (file,) = (fd for fd in (home / "fd").iterdir() if fd.resolve() == fitted.events)
        position = home / "fdinfo" / file.name
        while position.read_text().split()[1] == "0":
            time.sleep(0.01)


@pytest.mark.parametrize("closed", ["stderr", "all"])
def test_with_closed_streams_the_outputs_hold_verdicts_and_nothing_else(fitted, closed):
    fitted.write(server={"listen": ""})
    fitted.lines(fitted.events, events(300))
    redirections = " ".join(CLOSED.values()) if closed == "all" else CLOSED[closed]
    done = shell(fitted, redirections, "run")
    assert done.returncode == 0, done.stderr
    assert sum(map(len, fitted.outputs().values())) == 300  # each line is JSON
    assert "{" not in done.stdout


def test_with_stderr_closed_nothing_but_verdicts_is_on_stdout(fitted):
    fitted.write(server={"listen": ""}, sink={"kind": "stdout", "directory": None})
    fitted.lines(fitted.events, events(300))
    done = shell(fitted, "2>&-", "run")
    assert done.returncode == 0
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == 300
    assert all("id" in line for line in lines)


@pytest.mark.parametrize(
    ("section", "keys", "stream"),
    [
        ("source", {"kind": "stdin", "path": None}, "stdin"),
        ("sink", {"kind": "stdout", "directory": None}, "stdout"),
    ],
)
def test_a_closed_stream_that_is_needed_is_a_mistake_of_the_operator(fitted, section, keys, stream):
    fitted.lines(fitted.events, events(10))
    fitted.write(**{section: keys}, server={"listen": ""})
    done = shell(fitted, CLOSED[stream], "run")
    assert done.returncode == 78
    assert f"{stream} is closed" in done.stderr


def test_a_reader_of_the_log_that_goes_away_stops_nothing(fitted):
    fitted.write(source={"follow": True, "batch_seconds": 0.05}, server={"listen": ""})
    fitted.lines(fitted.events, events(50))
    with start("run", "--config", fitted.path, stdin=subprocess.DEVNULL) as process:
        while "service.started" not in process.stderr.readline():
            pass
        process.stderr.close()
        process.stdout.close()
        with fitted.events.open("a") as file:
            file.writelines(f"{line}\n" for line in events(200, seed=2))
        until(lambda: process.poll() is not None or fitted.answered() == 250)
        assert process.poll() is None
        process.terminate()
    assert process.returncode == 0


def test_a_full_disk_under_stdout_is_said_in_one_line(fitted):
    with Path("/dev/full").open("w") as full:
        done = fitted.run("report", stdout=full)
    assert done.returncode == 1
    assert done.stderr == (
        "detectd: stdout cannot be written: No space left on device; free space and run again\n"
    )


ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def test_in_an_ascii_locale_everything_is_utf_8_all_the_same(tmp_path):
    home = tmp_path / "Größe"
    home.mkdir()
    world = World(home)
    world.write(
        source={"path": str(home / "ereignisse-日本.jsonl")},
        sink={"directory": str(home / "aus-ø")},
        models={"directory": str(home / "modelle-é")},
        event={"features": ["größe", "b"]},
        server={"listen": ""},
        log={"format": "console"},
        training={"warmup": 400},
    )
    lines = [
        json.dumps(json.loads(e) | {"größe": json.loads(e)["a"]}, ensure_ascii=False)
        for e in events(600)
    ]
    world.lines(home / "ereignisse-日本.jsonl", lines)
    environment = ENVIRONMENT | ASCII

    def run(*arguments):
        return subprocess.run(
            [*COMMAND, *arguments, "--config", world.path],
            env=environment,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=120,
        )

    done = run("run")
    assert done.returncode == 0, done.stderr
    written = (home / "aus-ø" / "normal.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(written[-1])["event"]["größe"] is not None
    world.write(source={"path": str(home / "fehlt-ü")})
    gone = run("check")
    assert gone.returncode == 78
    assert str(world.path) in gone.stdout
    assert "fehlt-ü" in gone.stderr


def begun(process):
    """Wait until the process has taken over its signals, as the kernel knows."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
        (caught,) = re.findall(r"^SigCgt:\s+(\w+)$", status, re.MULTILINE)
        if int(caught, 16) >> signal.SIGHUP - 1 & 1:
            return
    raise AssertionError("signals are never taken over")


@pytest.fixture
def followed(fitted):
    fitted.write(
        source={"follow": True, "batch_seconds": 0.05},
        server={"listen": ""},
        log={"format": "json"},
    )
    fitted.lines(fitted.events, events(50))
    return fitted


@pytest.mark.parametrize("locale", [{}, ASCII], ids=["UTF-8", "ASCII"])
def test_a_hangup_while_it_starts_is_remembered_and_reloads_when_it_is_ready(followed, locale):
    with subprocess.Popen(
        [*COMMAND, "run", "--config", followed.path],
        env=ENVIRONMENT | locale,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        begun(process)
        process.send_signal(signal.SIGHUP)
        said = []
        while "config.reloaded" not in said:
            line = process.stderr.readline()
            assert line, said
            said.append(json.loads(line)["event"])
        assert "service.started" in said
        process.terminate()
    assert process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_while_it_starts_is_a_stop_like_any_other(followed, number):
    with subprocess.Popen([*COMMAND, "run", "--config", followed.path], env=ENVIRONMENT) as process:
        begun(process)
        process.send_signal(number)
    assert process.returncode == 0


def test_rotated_under_the_real_service_nothing_is_lost_or_doubled(fitted):
    rotated = []
    with running(fitted) as live:
        for seed in range(3):
            live.feed(events(100, seed))
            for topic in ("normal", "abstain"):
                path = fitted.out / f"{topic}.jsonl"
                rotated.append(path.rename(fitted.out / f"{topic}.{seed}"))
        live.feed(events(100, seed=9))
        live.until("output.rotated")
    ids = [json.loads(line)["id"] for path in rotated for line in path.read_text().splitlines()]
    ids += [out["id"] for outs in fitted.outputs().values() for out in outs]
    assert sorted(ids, key=lambda i: int(i.split(":")[1])) == [
        f"events.jsonl:{n + 1}" for n in range(400)
    ]
