"""Each configuration under config/ does what it says, overridden only in where things are."""

from __future__ import annotations

import itertools
import json
import shutil
import signal
import time
import tomllib

import numpy as np
import pytest

from detectd.telemetry.listen_address import MORE_PORTS
from tests.support.command import TOPICS, detectd, start
from tests.support.paths import ROOT

CONFIG = ROOT / "config"
FEATURES = ("cpu", "memory", "latency_ms")
WARMUP, COUNT = 400, 1000
SOON = {"DETECTD_TRAINING__WARMUP": str(WARMUP), "DETECTD_SERVER__LISTEN": ""}


def test_each_example_is_run():
    """The fleet's where a broker asks for a login; the reference is held against the settings."""
    run = {"file", "follow-csv", "pipe", "service", "kafka"}
    assert {path.stem for path in CONFIG.glob("*.toml")} == run | {"kafka-fleet", "reference"}


def test_each_example_listens_at_an_address_of_its_own():
    """They may run on one host; further processes of one take the 15 ports behind it."""
    ports = sorted(
        int(tomllib.loads(path.read_text())["server"]["listen"].rpartition(":")[2])
        for path in CONFIG.glob("*.toml")
        if path.stem != "reference"
    )
    assert all(after - before > MORE_PORTS for before, after in itertools.pairwise(ports))


@pytest.fixture
def here(tmp_path):
    """A directory to run in, and the configurations as they are."""
    return shutil.copytree(CONFIG, tmp_path / "here")


def metrics(count=COUNT):
    """Rows of the three features, a few of them far out."""
    rng = np.random.default_rng(1)
    return rng.normal(50, 5, (count, 3)) + 60 * (rng.random((count, 1)) < 0.02)


def json_lines(count=COUNT):
    when = "2026-11-23T12:00:00Z"
    return [
        json.dumps({"time": when} | dict(zip(FEATURES, row, strict=True)))
        for row in metrics(count).tolist()
    ]


def answered(directory):
    """How many records each output file has."""
    files = [directory / f"{topic}.jsonl" for topic in TOPICS]
    return [len(file.read_bytes().splitlines()) if file.exists() else 0 for file in files]


def until(satisfied, service, seconds=60):
    """Wait, then ask the service to stop; it must have nothing to complain of."""
    deadline = time.monotonic() + seconds
    while not satisfied() and service.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    service.send_signal(signal.SIGTERM)
    errors = service.stderr.read()
    assert service.wait(timeout=30) == 0, errors
    assert satisfied(), errors


def test_file(here):
    (here / "events.jsonl").write_text("\n".join(json_lines()) + "\n")
    for command in (["check"], ["fit", "--input", "events.jsonl"], ["run"], ["report"]):
        done = detectd(*command, "--config", "file.toml", cwd=here, env=SOON)
        assert done.returncode == 0, done.stderr
    assert sum(answered(here / "verdicts")) == COUNT


def test_follow_csv(here):
    """The log is there already when the service begins, and grows."""
    log = here / "metrics.csv"
    lines = [f"2026-11-23T12:00:00Z,{row[0]:.3f}\n" for row in metrics()]
    log.write_text("timestamp,value\n" + "".join(lines[: COUNT // 2]))
    environment = SOON | {"DETECTD_SOURCE__PATH": str(log)}
    with start("run", "--config", "follow-csv.toml", cwd=here, env=environment) as service:
        with log.open("a") as growing:
            growing.writelines(lines[COUNT // 2 :])
        until(lambda: sum(answered(here / "verdicts")) == COUNT, service)


def test_service(here):
    """As the package installs it: its file need not be there when it starts."""
    text = (here / "service.toml").read_text()
    (here / "service.toml").write_text(text.replace("/var/lib/detectd/detectd", str(here)))
    with start("run", "--config", here / "service.toml", cwd="/", env=SOON) as service:
        (here / "events.jsonl").write_text("\n".join(json_lines()) + "\n")
        until(lambda: sum(answered(here / "verdicts")) == COUNT, service)


def test_pipe(here):
    lines = json_lines()
    (here / "history.jsonl").write_text("\n".join(lines))
    fit = ["fit", "--input", "history.jsonl"]
    assert detectd(*fit, "--config", "pipe.toml", cwd=here).returncode == 0
    done = detectd("run", "--config", "pipe.toml", cwd=here, env=SOON, input="\n".join(lines[:50]))
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 50


def elsewhere(broker, source, sinks):
    """What a test must say otherwise: the broker, and names that are nobody else's."""
    topics = {f"DETECTD_TOPICS__{kind.upper()}": name for kind, name in sinks.items()}
    return SOON | topics | {
        "DETECTD_SOURCE__TOPICS": json.dumps([source]),
        "DETECTD_KAFKA__BOOTSTRAP_SERVERS": json.dumps(list(broker.servers)),
        "DETECTD_KAFKA__GROUP_ID": source,
    }  # fmt: skip


def answered_from(broker, source):
    """How many records the group has behind it."""
    return sum(mark.offset for mark in broker.committed_offsets(source).values())


def test_kafka(here, kafka_broker):
    source, *names = kafka_broker.create_topics("metrics", *TOPICS)
    sinks = dict(zip(TOPICS, names, strict=True))
    kafka_broker.produce(source, *(line.encode() for line in json_lines()))
    environment = elsewhere(kafka_broker, source, sinks)
    with start("run", "--config", "kafka.toml", cwd=here, env=environment) as service:
        until(lambda: answered_from(kafka_broker, source) >= COUNT, service)
    written = kafka_broker.read_committed(*names)
    assert sum(map(len, written.values())) == COUNT
