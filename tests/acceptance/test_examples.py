"""Each configuration under config/ does what it says, overridden only in where things are."""

from __future__ import annotations

import itertools
import json
import shutil
import tomllib

import pytest

from detectd.telemetry.listen_address import MORE_PORTS
from tests.support.command import TOPICS, detectd, start
from tests.support.examples import (
    CONFIG,
    COUNT,
    SOON,
    answered_from,
    elsewhere,
    fleet,
    hosts_over_time,
    json_lines,
    metrics,
    sensors,
    stop_when,
)


def test_each_example_is_run():
    """The fleet's where a broker asks for a login; the reference is held against the settings."""
    run = {"file", "follow-csv", "pipe", "service", "kafka", "fleet", "series", "sensors"}
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


def answered(directory):
    """How many records each output file has."""
    files = [directory / f"{topic}.jsonl" for topic in TOPICS]
    return [len(file.read_bytes().splitlines()) if file.exists() else 0 for file in files]


def test_file(here):
    (here / "events.jsonl").write_text("\n".join(json_lines()) + "\n")
    for command in (["check"], ["fit", "--input", "events.jsonl"], ["run"], ["report"]):
        done = detectd(*command, "--config", "file.toml", cwd=here, env=SOON)
        assert done.returncode == 0, done.stderr
    assert sum(answered(here / "verdicts")) == COUNT


def test_fleet(here):
    """The host that is as busy as another one always is stands out among its own events."""
    (here / "fleet.jsonl").write_text("\n".join(fleet()) + "\n")
    for command in (["check"], ["fit", "--input", "fleet.jsonl"], ["run"], ["report"]):
        done = detectd(*command, "--config", "fleet.toml", cwd=here, env=SOON)
        assert done.returncode == 0, done.stderr
    assert sum(answered(here / "verdicts")) == COUNT
    abstained = (here / "verdicts/abstain.jsonl").read_text().splitlines()
    young = [line for line in map(json.loads, abstained) if line["reason"] == "warming_up"]
    assert sorted(line["key"] for line in young) == sorted([f"h{i}" for i in range(10)] * 20)
    anomalies = (here / "verdicts/anomaly.jsonl").read_text().splitlines()
    latest = fleet()[COUNT - 10]
    assert [line for line in map(json.loads, anomalies) if line["event"] == json.loads(latest)]


def test_series(here):
    """A host that leaves its day is found, though others are as busy all the time."""
    history, stream, fault = hosts_over_time()
    (here / "history.jsonl").write_text("\n".join(history) + "\n")
    (here / "metrics.jsonl").write_text("\n".join(history + stream) + "\n")
    for command in (["check"], ["fit", "--input", "history.jsonl"], ["run"], ["report"]):
        done = detectd(*command, "--config", "series.toml", cwd=here, env=SOON)
        assert done.returncode == 0, done.stderr
    assert sum(answered(here / "verdicts")) == len(history) + len(stream)
    alarms = (here / "verdicts" / "anomaly.jsonl").read_text().splitlines()
    assert fault in [json.loads(alarm)["event"] for alarm in alarms]


def test_sensors(here):
    """A flow that is low for a while is found, though each of its values is a usual one."""
    lines = sensors()
    (here / "sensors.jsonl").write_text("\n".join(lines) + "\n")
    for command in (["check"], ["run"], ["report"]):
        done = detectd(*command, "--config", "sensors.toml", cwd=here, env=SOON)
        assert done.returncode == 0, done.stderr
    assert sum(answered(here / "verdicts")) == COUNT
    alarms = (here / "verdicts" / "anomaly.jsonl").read_text().splitlines()
    found = {json.loads(alarm)["event"]["time"] for alarm in alarms}
    assert {json.loads(line)["time"] for line in lines[-40:]} <= found
    assert len(found) < 40 + 30


def test_follow_csv(here):
    """The log is there already when the service begins, and grows."""
    log = here / "metrics.csv"
    lines = [f"2026-11-23T12:00:00Z,{row[0]:.3f}\n" for row in metrics()]
    log.write_text("timestamp,value\n" + "".join(lines[: COUNT // 2]))
    environment = SOON | {"DETECTD_SOURCE__PATH": str(log)}
    with start("run", "--config", "follow-csv.toml", cwd=here, env=environment) as service:
        with log.open("a") as growing:
            growing.writelines(lines[COUNT // 2 :])
        stop_when(lambda: sum(answered(here / "verdicts")) == COUNT, service)


def test_service(here):
    """As the package installs it: its file need not be there when it starts."""
    text = (here / "service.toml").read_text()
    (here / "service.toml").write_text(text.replace("/var/lib/detectd/detectd", str(here)))
    with start("run", "--config", here / "service.toml", cwd="/", env=SOON) as service:
        (here / "events.jsonl").write_text("\n".join(json_lines()) + "\n")
        stop_when(lambda: sum(answered(here / "verdicts")) == COUNT, service)


def test_pipe(here):
    lines = json_lines()
    (here / "history.jsonl").write_text("\n".join(lines))
    fit = ["fit", "--input", "history.jsonl"]
    assert detectd(*fit, "--config", "pipe.toml", cwd=here).returncode == 0
    done = detectd("run", "--config", "pipe.toml", cwd=here, env=SOON, input="\n".join(lines[:50]))
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 50


def test_kafka(here, kafka_broker):
    source, *names = kafka_broker.create_topics("metrics", *TOPICS)
    sinks = dict(zip(TOPICS, names, strict=True))
    kafka_broker.produce(source, *(line.encode() for line in json_lines()))
    environment = elsewhere(kafka_broker, source, sinks)
    with start("run", "--config", "kafka.toml", cwd=here, env=environment) as service:
        stop_when(lambda: answered_from(kafka_broker, source) >= COUNT, service)
    written = kafka_broker.read_committed(*names)
    assert sum(map(len, written.values())) == COUNT
