"""`output.detail = "verdict"` by the real command: nothing that leaves it has a figure."""

import json

import pytest

from tests.support.command import events

ENVELOPE = {"verdict", "reason", "model", "id", "event"}
DEAD = {"id", "stage", "error", "raw", "raw_encoding"}


@pytest.fixture
def ran(fitted):
    """A service that has answered events, poison and then events that have moved away."""
    fitted.write(
        output={"detail": "verdict"},
        drift={"average_run_length": 10_000.0},
        topics={"alerts": "alerts"},
    )
    moved = [json.dumps({"a": 9 + i / 1000, "b": 9.0}) for i in range(1000)]
    fitted.lines(fitted.events, [*events(600, poison=0.02), *moved])
    done = fitted.run("run")
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0)
    return fitted


def test_no_output_has_a_figure(ran):
    outputs = ran.outputs()
    assert all(outputs.values())
    for topic, records in outputs.items():
        for record in records:
            assert record.keys() == (DEAD if topic == "dead_letter" else ENVELOPE)
    assert sum(map(len, outputs.values())) == 1600
    alerts = [json.loads(line) for line in (ran.out / "alerts.jsonl").read_text().splitlines()]
    assert alerts
    wanted = {"alert", "kind", "model", "number", "event", "after", "moved"}
    wanted |= {"id", "state", "key", "since", "until", "severity", "summary"}
    assert all(alarm.keys() == wanted for alarm in alerts)


def test_a_second_run_and_a_replay_have_none_either(ran):
    ran.write(event={"missing": "median"})
    before = ran.raw_outputs()
    assert ran.run("run").returncode == 0
    assert ran.raw_outputs() == before
    died = ran.outputs()["dead_letter"]
    (ran.home / "events.jsonl").write_text("")
    listed = ran.run("dead-letters", "list")
    assert (listed.returncode, f"{len(died):,}" in listed.stdout) == (0, True)
    assert ran.run("dead-letters", "replay").returncode == 0


def test_whoever_looks_is_told_that_there_is_no_detail(ran):
    for command in (
        ("anomalies",),
        ("anomalies", "--by", "key"),
        ("report",),
        ("tap", "--verdict", "anomaly", "--last", "3", "--n", "3", "--format", "text"),
    ):
        done = ran.run(*command)
        assert (done.returncode, done.stderr) == (0, "")
        assert "no detail" in done.stdout
    listed = json.loads(ran.run("anomalies", "--format", "json", "--last", "1").stdout)
    assert [each["score"] for each in listed["anomalies"]] == [None]
    page = ran.run("report", "--format", "html")
    assert (page.returncode, "no detail" in page.stdout) == (0, True)


def test_a_warm_up_has_none_either(world):
    world.write(output={"detail": "verdict"}, training={"warmup": 1000})
    world.lines(world.events, events(100))
    assert world.run("run").returncode == 0
    records = world.outputs()["abstain"]
    assert len(records) == 100
    assert all(record.keys() == ENVELOPE for record in records)


def test_an_explanation_is_refused_with_it(fitted):
    fitted.write(output={"detail": "verdict", "explain": True})
    done = fitted.run("check")
    assert done.returncode == 78
    assert "output: explanations contain scores; set explain = false" in done.stderr
