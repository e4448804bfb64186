"""The first hour: a configuration is written and found, slips are caught, what was done is said."""

import gzip
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
from contextlib import contextmanager

import pytest

from tests.support.command import detectd, events, start
from tests.support.complaints import one_line
from tests.support.waiting import until

RANDOM = random.Random(7)


def fleet(count):
    """Events of seven hosts, with all that people have in them beside their numbers."""
    for i in range(count):
        event = {
            "n": i,
            "ts": f"2026-11-23T{i // 3600 % 24:02}:{i // 60 % 60:02}:{i % 60:02}Z",
            "host": f"web-{i % 7}",
            "rack": 7,
            "up": True,
            "status": RANDOM.choice([200, 404, 500]),
            "bytes_total": i // 7 * 1000,
            "disk": [{"busy": RANDOM.random()}],
            "cpu": RANDOM.gauss(40, 8),
            "mem": RANDOM.gauss(60, 5),
            "request_id": RANDOM.randrange(10**9),
            "label": 0,
        }
        if RANDOM.random() < 0.02:
            del event["mem"]
        yield event


def write_jsonl(path, rows):
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def write_csv(path, count):
    lines = ["time,host,value,load,rack\n"]
    for i in range(count):
        when = f"2026-11-23 12:{i // 60 % 60:02}:{i % 60:02}"
        lines.append(f"{when},h{i % 3},{RANDOM.gauss(5, 2):.3f},{RANDOM.random():.4f},7\n")
    path.write_text("".join(lines), encoding="utf-8")
    return path


def test_the_first_hour(tmp_path):
    """init, check, fit, run and report, with nothing written by hand and no option but --input."""
    write_jsonl(tmp_path / "metrics.jsonl", fleet(2000))
    done = detectd("init", "--input", "metrics.jsonl", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"written: {tmp_path}/detectd.toml" in done.stdout
    for command in (["check"], ["fit", "--input", "metrics.jsonl"], ["run"], ["report"]):
        done = detectd(*command, cwd=tmp_path, env={"DETECTD_SERVER__LISTEN": ""})
        assert done.returncode == 0, done.stderr
    verdicts = tmp_path / "verdicts"
    assert sum(len(each.read_text().splitlines()) for each in verdicts.glob("*.jsonl")) == 2000
    assert not (verdicts / "dead_letter.jsonl").read_text()


def test_init_says_why(tmp_path):
    write_jsonl(tmp_path / "metrics.jsonl", fleet(500))
    text = detectd("init", "--input", "metrics.jsonl", "-o", "-", cwd=tmp_path).stdout
    for line in (
        'path = "metrics.jsonl"',
        '"disk.0.busy",',
        '"cpu",',
        '"n": a counter',
        '"bytes_total": a counter',
        '"rack": always 7',
        '"request_id": an identifier',
        '"status": a code',
        '"label": a label',
        'timestamp = "ts"',
        'key = "host"  # 7 of them',
        'missing = "median"',
    ):
        assert line in text


@pytest.mark.parametrize("name", ["rows.csv", "rows.log", "rows.csv.gz"])
def test_init_of_rows(tmp_path, name):
    path = write_csv(tmp_path / "rows", 600)
    content = path.read_bytes()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    config = tmp_path / "conf" / "rows.toml"
    config.parent.mkdir()
    done = detectd("init", "--input", tmp_path / name, "-o", config)
    assert done.returncode == 0, done.stderr
    text = config.read_text(encoding="utf-8")
    assert f'path = "{tmp_path / name}"' in text
    for line in ('"value",', '"load",', 'timestamp = "time"', 'key = "host"', '"rack": always'):
        assert line in text
    assert detectd("check", "--config", config).returncode == 0
    assert detectd("fit", "--config", config, "--input", tmp_path / name).returncode == 0


def test_init_overwrites_nothing_unless_it_is_told(tmp_path):
    (tmp_path / "detectd.toml").write_text("mine")
    one_line(detectd("init", cwd=tmp_path), 2, tmp_path / "detectd.toml", "--force")
    assert (tmp_path / "detectd.toml").read_text() == "mine"
    assert detectd("init", "--force", cwd=tmp_path).returncode == 0
    done = detectd("check", cwd=tmp_path)
    one_line(done, 78, f"{tmp_path}/events.jsonl does not exist")


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        ('[{"a": 1}]', 2, "is a JSON array"),
        ("", 2, "is empty"),
        ("{\n", 1, "none of its 1 records can be read"),
        ('{"a": "x", "b": 7}\n' * 20, 1, "a: text, always 'x'; b: always 7"),
    ],
)
def test_what_init_cannot_use_is_said(tmp_path, content, code, words):
    (tmp_path / "in.jsonl").write_text(content)
    one_line(detectd("init", "--input", "in.jsonl", cwd=tmp_path), code, words)
    assert not (tmp_path / "detectd.toml").exists()


def test_the_configuration_is_found(world, tmp_path):
    world.lines(world.events, events(10))
    empty = tmp_path / "empty"
    empty.mkdir()
    assert detectd("check", cwd=world.home).returncode == 0
    assert detectd("check", cwd=world.home, env={"DETECTD_CONFIG": ""}).returncode == 0
    assert detectd("check", cwd=empty, env={"DETECTD_CONFIG": str(world.path)}).returncode == 0
    one_line(detectd("check", cwd=empty), 78, f"{empty}/detectd.toml", "detectd init")
    absent = {"DETECTD_CONFIG": "other.toml"}
    one_line(detectd("check", cwd=world.home, env=absent), 78, f"{world.home}/other.toml")
    done = detectd("plan", cwd=world.home, env=absent)
    assert f"WARNING: {world.home}/other.toml does not exist" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_directory_that_may_not_be_entered_holds_no_configuration():
    """As with sudo in root's home."""
    with tempfile.TemporaryDirectory() as name:  # 0700, and root's
        # That user may not be able to read the code: what `check` needs of it is loaded first.
        code = (
            "import os, detectd.quiet, detectd.config_path, detectd.settings.loader;"
            "from detectd.commands import arguments, check, console, standard_streams;"
            "from detectd.cli import main;"
            "os.setgid(65534); os.setuid(65534); raise SystemExit(main(['check']))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=name, text=True, capture_output=True
        )
    one_line(done, 78, "no configuration: neither")


def test_slips_and_what_is_said_of_them(world):
    """A line each, with what was meant: in the file, in the environment, in names of files."""
    write_jsonl(world.events, fleet(300))
    world.write(event={"features": ["cpu", "mem"], "missing": "median"})
    home = world.home
    slips = [
        (
            {"event": {"key": "hots"}},
            "'hots' is in none of the first 100 records; did you mean 'host'?",
        ),
        ({"event": {"timestamp": "time"}}, "'time' is in none of the first 100 records"),
        (
            {"event": {"timestamp": "host"}},
            "'host' holds no time in the first 100 records, for example 'web-0'",
        ),
    ]
    for slip, words in slips:
        before = {section: world.config[section].copy() for section in slip}
        world.write(**slip)
        done = world.run("check")
        assert done.returncode == 0, done.stderr
        assert f"WARNING   event.{next(iter(slip['event']))}: {words}" in done.stdout
        world.config |= before
    world.write(source={"path": str(home / "evnts.jsonl")})
    one_line(
        world.run("check"), 78, f"{home}/evnts.jsonl does not exist; did you mean {world.events}?"
    )
    world.write(source={"path": "evnts.jsonl", "follow": True})
    done = world.run("check")
    assert f"WARNING   source.path: {home}/evnts.jsonl does not exist; did you mean" in done.stdout
    misnamed = home / "detctd.toml"
    one_line(detectd("check", "--config", misnamed), 78, f"did you mean {world.path}?")
    done = world.run("check", env={"DETECTD_DETECTOR_CONTAMINATION": "0.1"})
    assert "did you mean $DETECTD_DETECTOR__CONTAMINATION?" in done.stdout


def test_an_unknown_variable_is_no_reason_to_stop(fitted):
    fitted.lines(fitted.events, events(50))
    variable = {"DETECTD_REJCTOR__T": "40"}
    done = fitted.run("run", env=variable)
    assert done.returncode == 0, done.stderr
    assert "did you mean $DETECTD_REJECTOR__T?" in done.stderr
    assert "WARNING: $DETECTD_REJCTOR__T sets nothing" in fitted.run("report", env=variable).stderr


class Page:
    """What a service on a socket shows."""

    def __init__(self, world):
        self.path = f"{world.home}/d.sock"

    def __call__(self, page="readyz"):
        with socket.socket(socket.AF_UNIX) as channel:
            channel.connect(self.path)
            channel.sendall(f"GET /{page} HTTP/1.0\r\n\r\n".encode())
            answer = b"".join(iter(lambda: channel.recv(65536), b"")).decode()
        head, _, body = answer.partition("\r\n\r\n")
        return int(head.split()[1]), body


def listening(world):
    world.write(
        source={"follow": True, "batch_seconds": 0.05},
        server={"listen": f"unix:{world.home}/d.sock"},
        log={"format": "json"},
    )
    return Page(world)


def logged(service, event):
    """The next log line of that kind; the service must not outlive a test that fails."""
    seen = []
    for line in service.stderr:
        seen.append(json.loads(line))
        if seen[-1]["event"] == event:
            return seen[-1]
    raise AssertionError(seen)


@contextmanager
def running(world, **options):
    with start("run", "--config", world.path, **options) as service:
        try:
            yield service
        except BaseException:
            service.kill()
            raise


def test_a_path_that_has_never_existed_is_waited_for_and_not_ready(fitted):
    page = listening(fitted)
    with running(fitted) as service:
        said = logged(service, "config.warning")
        assert f"{fitted.events} does not exist" in said["reason"]
        logged(service, "service.started")
        status, body = page()
        assert (status, fitted.events.name in body, "waiting" in body) == (503, True, True)
        assert json.loads(page("status")[1])["state"] == "waiting"
        fitted.lines(fitted.events, events(100))
        until(lambda: page()[0] == 200)
        fitted.events.rename(fitted.home / "events.jsonl.1")  # as in a rotation
        until(lambda: sum(json.loads(page("status")[1])["outputs"].values()) == 100)
        assert page()[0] == 200
        service.terminate()
        stopped = logged(service, "service.stopped")
    assert stopped["reason"] == "SIGTERM"
    assert (
        stopped["records"]
        == 100
        == sum(stopped[name] for name in ("normal", "anomaly", "abstain", "dead_letter"))
    )
    assert stopped["seconds"] > 0


def test_a_field_that_events_lack_is_said_until_it_comes(fitted):
    page = listening(fitted)
    fitted.write(event={"key": "hots"})
    lines = [json.dumps({"host": "x", "a": i % 5, "b": i % 7}) for i in range(120)]
    fitted.lines(fitted.events, lines)
    with running(fitted) as service:
        reason = logged(service, "config.warning")["reason"]
        assert reason == (
            "event.key: 'hots' is in none of the first 100 records; did you mean 'host'? "
            "the fields are host, a, b"
        )
        until(lambda: page() == (200, f"ready\nwarning: {reason}\n"))
        assert json.loads(page("status")[1])["warnings"] == [reason]
        with fitted.events.open("a") as file:
            file.write('{"hots": "x", "a": 1, "b": 1}\n')
        until(lambda: page() == (200, "ready\n"))
        service.terminate()
        service.stderr.read()
        assert service.wait() == 0


def test_the_configuration_as_it_was_installed_is_said_to_be_that(world):
    text = (
        '[source]\nkind = "file"\npath = "/var/lib/detectd/detectd/events.jsonl"\nfollow = true\n'
        '[sink]\nkind = "stdout"\n[event]\nfeatures = ["cpu", "memory", "latency_ms"]\n'
    )
    world.path.write_text(text)
    done = world.run("check")
    assert done.returncode == 0, done.stderr
    assert "WARNING   source.path, event.features: this is the configuration as" in done.stdout
    environment = {
        "DETECTD_SERVER__LISTEN": f"unix:{world.home}/d.sock",
        "DETECTD_LOG__FORMAT": "json",
    }
    with running(world, env=environment) as service:
        reasons = [logged(service, "config.warning")["reason"] for _ in range(2)]
        logged(service, "service.started")
        status, body = Page(world)()
        assert status == 503
        assert any("as installed" in reason for reason in reasons)
        assert all(reason in body for reason in reasons)
        service.terminate()
        service.stderr.read()


def test_fit_takes_files_patterns_and_stdin(world):
    logs = world.home / "logs"
    logs.mkdir()
    lines = events(900)
    for i in range(3):
        content = "\n".join(lines[300 * i : 300 * (i + 1)]).encode()
        (logs / f"day-{i}.jsonl.gz").write_bytes(gzip.compress(content))
    whole = world.lines(world.home / "whole.jsonl", lines)
    (logs / "other.jsonl").write_text('{"x": 1}\n')
    pattern = f"{logs}/day-*.jsonl.gz"

    def model(*inputs, **options):
        done = world.run("fit", "--input", *inputs, **options)
        assert done.returncode == 0, done.stderr
        version = done.stdout.splitlines()[-1].split()[1].rstrip(",")
        manifest = json.loads((world.home / "models" / version / "manifest.json").read_text())
        return manifest["training_rows"], manifest["files"]["rows.npy"], done

    rows, digest, done = model(whole)
    assert rows == 900
    assert "fitted on 900 rows of one input: " in done.stdout
    assert model(pattern)[:2] == (rows, digest)
    assert model(*sorted(logs.glob("day-*")), pattern)[:2] == (rows, digest)
    assert model("-", input="\n".join(lines))[:2] == (rows, digest)
    *_, done = model(pattern, logs / "other.jsonl")
    assert f"{logs}/other.jsonl: none of its records is usable" in done.stderr
    assert "other.jsonl:1: feature 'a' is missing" in done.stderr
    one_line(world.run("fit", "--input", f"{logs}/*.csv"), 2, f"{logs}/*.csv", "no file matches")
    one_line(world.run("fit", "--input", whole, logs / "day-9.jsonl.gz"), 2, "day-9.jsonl.gz")
    one_line(world.run("fit", "--input", "-", input=""), 1, "0 rows")


def test_fit_without_activation_leaves_the_model_that_answers(fitted):
    active = (fitted.home / "models" / "active.json").read_text()
    other = fitted.lines(fitted.home / "other.jsonl", events(1000, seed=5))
    done = fitted.run("fit", "--no-activate", "--input", other)
    assert done.returncode == 0, done.stderr
    before = json.loads(active)["history"][-1]
    assert (
        f"active: {before}, as before; activate the new one with `detectd models activate "
        in done.stdout
    )
    assert (fitted.home / "models" / "active.json").read_text() == active
    done = fitted.run("fit", "--input", other)
    assert f"replacing {before}" in done.stdout


def test_prune_says_what_it_did(fitted):
    models = fitted.home / "models"
    done = fitted.run("models", "prune")
    assert done.stdout == f"nothing to remove: 1 in {models}, --keep 5\n"
    fitted.run("fit", "--input", fitted.lines(fitted.home / "other.jsonl", events(1000, seed=5)))
    first, _ = sorted(path.name for path in models.iterdir() if path.is_dir())
    done = fitted.run("models", "prune", "--keep", 1)
    assert done.stdout == f"removed: {first}\n"


def test_a_bounded_run_says_how_it_ended(fitted):
    fitted.write(log={"format": "json"})
    fitted.lines(fitted.events, events(200, poison=0.1))
    done = fitted.run("run")
    lines = list(map(json.loads, done.stderr.splitlines()))
    last = lines[-1]
    assert (last["event"], last["reason"]) == ("service.stopped", "the source has ended")
    assert last["records"] == 200
    assert last["records_per_second"] > 0
    assert fitted.run("models", "list").stdout.startswith(f"* {last['model']}  ")
    assert "batch" not in {line["event"] for line in lines}  # one a batch is for debugging
    assert last["dead_letter"] == len(fitted.outputs()["dead_letter"])


def test_relative_paths_start_at_the_configuration(world, tmp_path):
    """Wherever the command is given; what an earlier version left elsewhere is used, and said."""
    world.write(
        source={"path": "events.jsonl"}, sink={"directory": "out"}, models={"directory": "models"}
    )
    world.lines(world.events, events(200))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = detectd("check", "--config", world.path, cwd=elsewhere)
    assert f"source    file {world.events}" in done.stdout
    assert "WARNING" not in done.stdout
    world.events.rename(elsewhere / "events.jsonl")
    config = os.path.relpath(world.path, elsewhere)
    done = detectd("check", "--config", config, cwd=elsewhere)
    assert done.returncode == 0, done.stderr
    assert f"source    file {elsewhere}/events.jsonl" in done.stdout
    assert f"sink      file {elsewhere}/out" in done.stdout
    assert f"WARNING   source.path: {elsewhere}/events.jsonl is used, as before" in done.stdout
