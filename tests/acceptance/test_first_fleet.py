"""The first hour on telemetry with known faults: what the configuration of `init` finds."""

import json
from collections import Counter

import pytest

from tests.support.command import TOPICS, World, detectd, start
from tests.support.fleets import requests, telemetry
from tests.support.live import Live

QUIET = {"DETECTD_SERVER__LISTEN": "", "DETECTD_LOG__FORMAT": "json"}


def done(*command, cwd, **environment):
    finished = detectd(*command, cwd=cwd, env=QUIET | environment)
    assert finished.returncode == 0, finished.stderr
    return finished


def verdicts(directory):
    """The verdict of each event by its line, from 0."""
    found = {}
    for topic in TOPICS:
        for line in (directory / f"{topic}.jsonl").read_text().splitlines():
            found[int(json.loads(line)["id"].rsplit(":", 1)[1]) - 1] = topic
    return found


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    """Three days of history and a configuration by `init`; a day to judge, and its 80 faults."""
    home = tmp_path_factory.mktemp("fleet")
    history, _ = telemetry(0, 3)
    stream, faults = telemetry(3, 1, faults=80)
    (home / "history.jsonl").write_text("\n".join(history) + "\n")
    (home / "stream.jsonl").write_text("\n".join(stream) + "\n")
    done("init", "--input", "stream.jsonl", cwd=home)
    return home, faults


def scored(home, faults):
    """Fit and run; which faults that show were called anomalies, by kind, and the verdicts."""
    done("fit", "--input", "history.jsonl", cwd=home)
    ran = done("run", cwd=home)
    found = verdicts(home / "verdicts")
    assert len(found) == 288 * 20
    shown = [(at, kind) for at, kind, shows in faults if shows]
    return (
        Counter(kind for at, kind in shown if found[at] == "anomaly"),
        Counter(kind for _, kind in shown),
        found,
        ran.stderr,
    )


def kept_or_said(home, log):
    """Whether the abstention is within the promise; if not, a warning says why and what to do."""
    observed = json.loads(done("report", "--format", "json", cwd=home).stdout)["observed"]
    return observed["inside_promise"] or '"promise.alarm"' in log


def test_strong_faults_of_a_fleet_are_found(fleet):
    home, faults = fleet
    done("check", cwd=home)
    found, there, answers, log = scored(home, faults)
    for kind in ("slow", "failing", "leaking"):
        assert found[kind] == there[kind] >= 18, (found, there)
    # What is wrong only together with the rest, and for that hour: most of them.
    assert found["untimely"] >= 12, found
    struck = {at for at, _, _ in faults}
    false = sum(topic == "anomaly" and at not in struck for at, topic in answers.items())
    assert false <= 0.02 * len(answers)  # the share of anomalies that the configuration expects
    assert kept_or_said(home, log)
    every = ("anomalies", "--last", str(len(answers)), "--format", "json")
    listed = json.loads(done(*every, cwd=home).stdout)
    assert listed["matched"] == Counter(answers.values())["anomaly"]


def test_with_the_hour_they_are_found_too(fleet, tmp_path):
    home, faults = fleet
    text = (home / "detectd.toml").read_text()
    assert '  # {fn = "hour"},' in text
    for name in ("history.jsonl", "stream.jsonl"):
        (tmp_path / name).hardlink_to(home / name)
    (tmp_path / "detectd.toml").write_text(text.replace('# {fn = "hour"},', '{fn = "hour"},'))
    found, there, _, log = scored(tmp_path, faults)
    for kind in ("slow", "failing", "leaking"):
        assert found[kind] == there[kind], (found, there)
    assert found["untimely"] >= 14, found
    assert kept_or_said(tmp_path, log)


def test_slow_requests_of_a_followed_log_are_found(tmp_path):
    """The first 2,000 train; then 15 of 3,000 take twenty times as long."""
    slow = range(2100, 5000, 193)[:15]
    lines = requests(5000, slow)
    world = World(tmp_path)
    world.path.unlink()
    world.lines(world.events, lines[:2500])
    done("init", "--input", "events.jsonl", cwd=tmp_path)
    service = {"DETECTD_SOURCE__FOLLOW": "true", "DETECTD_LOG__LEVEL": "debug"}
    with start("run", cwd=tmp_path, env=QUIET | service) as process:
        live = Live(world, process)
        live.until("model.serving")
        live.feed(lines[2500:], answers=5000)
        process.terminate()
        live.said += map(json.loads, process.stderr)
        assert process.wait() == 0
    found = verdicts(tmp_path / "verdicts")
    assert [found[at] for at in slow] == ["anomaly"] * 15
