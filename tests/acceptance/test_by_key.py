"""A promise for each key through the real command: fit, run, report, refit."""

import json

import numpy as np
import pytest

from tests.support.command import World
from tests.support.complaints import one_line

SCALES = {"calm": 1.0, "wild": 50.0, "rare": 5.0}


def of_hosts(count, seed, shares=(0.5, 0.47, 0.03)):
    """Events of three hosts whose values differ in scale; the last has too few for a zone."""
    rng = np.random.default_rng(seed)
    hosts = rng.choice([*SCALES], count, p=shares).tolist()
    values = rng.normal(0.0, [SCALES[host] for host in hosts]).tolist()
    return [
        json.dumps({"host": host, "v": value}) for host, value in zip(hosts, values, strict=True)
    ]


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    world.lines(world.events, of_hosts(3000, 1))
    world.write(
        event={"features": ["v"], "key": "host"},
        calibration={"by_key": True},
        server={"listen": ""},
        log={"format": "json"},
    )
    return world


def fitted(world):
    training = world.lines(world.home / "training.jsonl", of_hosts(2000, 0))
    done = world.run("fit", "--input", training)
    assert done.returncode == 0, done.stderr
    return done.stdout


def abstained(world):
    """The share of each host's events that were abstained from."""
    outputs = world.outputs()
    hosts = [each["event"]["host"] for topic in outputs for each in outputs[topic]]
    held = [each["event"]["host"] for each in outputs["abstain"]]
    return {host: held.count(host) / hosts.count(host) for host in SCALES}


def test_each_host_keeps_its_own_promise_and_the_report_says_so(world):
    told = fitted(world)
    assert "by key    2 keys have zones of their own" in told
    assert world.run("run").returncode == 0
    report = json.loads(world.run("report", "--format", "json").stdout)
    own = report["by_key"]
    assert (own["own"], own["events"]) == (2, 3000)
    assert own["inside_promise"] is True
    assert report["observed"]["inside_promise"] is True
    rates = abstained(world)
    p = own["expected_rejection_rate"]
    assert all(abs(rates[host] - p) < 0.05 for host in ("calm", "wild"))
    text = world.run("report").stdout
    assert "of the keys without a zone of their own (" in text
    page = world.run("report", "--format", "html").stdout
    assert "2 keys have zones of their own" in page
    # One zone for all abstains from hardly any event of the calm host.
    world.write(calibration={"by_key": False}, sink={"directory": str(world.home / "pooled")})
    assert world.run("run").returncode == 0
    assert abstained(world)["calm"] < 0.01


def test_a_warm_up_knows_the_keys_and_a_second_run_goes_on_counting(world):
    world.write(training={"warmup": 1000})
    world.lines(world.events, of_hosts(2500, 2))
    assert world.run("run").returncode == 0
    first = json.loads(world.run("report", "--format", "json").stdout)
    assert (first["by_key"]["own"], first["by_key"]["events"]) == (2, 1500)
    with world.events.open("a") as file:
        file.writelines(f"{line}\n" for line in of_hosts(500, 3))
    assert world.run("run").returncode == 0
    second = json.loads(world.run("report", "--format", "json").stdout)
    assert second["by_key"]["events"] == 2000
    assert second["observed"]["events"] == 2000


def test_a_refit_keeps_the_keys_of_its_rows(world):
    fitted(world)
    world.lines(world.events, of_hosts(1500, 1))
    world.write(
        training={
            "refit": "every",
            "every_events": 1000,
            "cooldown_events": 0,
            "warmup": 500,
            "window": 1000,
        }
    )
    assert world.run("run").returncode == 0
    report = json.loads(world.run("report", "--format", "json").stdout)
    versions = {
        each["model"] for topic in world.outputs().values() for each in topic if "model" in each
    }
    assert len(versions) >= 2
    assert report["by_key"]["own"] == 2


def test_a_host_that_breaks_its_promise_is_named(world):
    fitted(world)
    assert world.run("run").returncode == 0
    held = [each["event"] for each in world.outputs()["abstain"]]
    edge = [json.dumps(event) for event in held if event["host"] == "calm"]
    with world.events.open("a") as file:
        file.writelines(f"{line}\n" for line in (edge * 300)[:300])
    assert world.run("run").returncode == 0
    report = json.loads(world.run("report", "--format", "json").stdout)
    worst = report["by_key"]["worst"][0]
    assert worst["key"] == "calm"
    assert worst["rejection_rate"] > worst["rejection_rate_upper"]
    assert worst["inside_promise"] is report["observed"]["inside_promise"] is False
    assert "calm: " in world.run("report").stdout


def test_a_model_without_keys_serves_all_by_one_zone_and_says_how_to_change_that(world):
    world.write(calibration={"by_key": False})
    fitted(world)
    world.write(calibration={"by_key": True})
    for command in ("check", "report"):
        done = world.run(command)
        assert done.returncode == 0, done.stderr
        assert "calibration.by_key: the model does not know the keys" in done.stdout
    assert world.run("run").returncode == 0


def test_a_backtest_judges_by_key(world):
    fitted(world)
    labelled = [json.dumps(json.loads(line) | {"bad": 0}) for line in of_hosts(1000, 4)]
    path = world.lines(world.home / "labelled.jsonl", labelled)
    told = ["--input", path, "--label", "bad", "--format", "json"]
    found = json.loads(world.run("backtest", *told).stdout)
    world.lines(world.events, labelled)
    assert world.run("run").returncode == 0
    outputs = world.outputs()
    for verdict in ("normal", "anomaly", "abstain"):
        assert found["verdicts"][verdict] == len(outputs[verdict])
    assert any("calibration.by_key" in warning for warning in found["warnings"])
    swept = json.loads(world.run("backtest", *told, "--sweep", "T=3,3.4537362689545836").stdout)
    assert all("impossible" not in each for each in swept["sweep"])


def test_check_says_what_a_key_needs_and_refuses_by_key_without_keys(world):
    told = world.run("check").stdout
    assert "WARNING" not in told
    assert "by key    a key with at least 60 calibration scores has a zone and a promise" in told
    world.write(event={"key": None})
    one_line(world.run("check"), 78, "calibration.by_key", "event.key")
