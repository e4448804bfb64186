"""What can be changed while the service runs, by whom, and what stays as it was."""

import json
import shutil
import time

import pytest

from tests.support.command import events, start
from tests.support.live import running
from tests.support.waiting import until

UNCHANGEABLE = [
    ("source", "path", "elsewhere.jsonl"),
    ("source", "max_record_bytes", 99),
    ("sink", "directory", "elsewhere"),
    ("topics", "normal", "other"),
    ("event", "features", ["a"]),
    ("detector", "name", "HBOS"),
    ("detector", "seed", 7),
    ("models", "directory", "elsewhere"),
    ("server", "listen", "127.0.0.1:1"),
    ("calibration", "method", "cross"),
]
WRONG = [
    ("rejector", "T", 0.5),
    ("rejector", "delta", 2.0),
    ("rejector", "max_abstain_rate", 0.0),
    ("drift", "average_run_length", 3),
    ("source", "batch_records", 0),
    ("log", "level", "loud"),
]
GOOD = [
    ("rejector", {"T": 8.0}),
    ("rejector", {"T": None}),  # chosen again
    ("rejector", {"T": 32.0}),
    ("rejector", {"T": None, "max_abstain_rate": 0.05}),
    ("rejector", {"delta": 0.2}),
    ("rejector", {"cost_false_negative": 9.0}),
    ("drift", {"average_run_length": 1000.0}),
    ("source", {"batch_records": 10}),
    ("log", {"level": "info"}),
    ("log", {"level": "debug"}),
]


def test_a_hangup_applies_what_can_change_and_refuses_the_rest_by_name(fitted):
    with running(fitted) as live:
        live.feed(events(50))
        for section, key, value in UNCHANGEABLE + WRONG:
            before = json.loads(json.dumps(fitted.config))
            said = live.hang_up(**{section: {key: value}})
            assert said["event"] == "config.refused", (key, said)
            # A change that cannot be goes with one that could: neither takes effect.
            assert f"{section}.{key}" in said["reason"] or section == "rejector", said
            fitted.config = before
        fitted.config["rejector"] = {}
        for section, keys in GOOD:
            said = live.hang_up(**{section: keys})
            assert said["event"] == "config.reloaded", said
            assert said["changed"] == [f"{section}.{key}" for key in sorted(keys)], said
        live.feed(events(50, seed=3))
    assert sum(map(len, fitted.outputs().values())) == 100


def test_a_refused_change_takes_nothing_else_with_it(fitted):
    with running(fitted) as live:
        said = live.hang_up(rejector={"T": 8.0}, detector={"seed": 9})
        assert said["event"] == "config.refused"
        assert "detector.seed" in said["reason"]
        assert "rejector.T" not in said["reason"]
        said = live.hang_up(detector={"seed": None})
        assert said["changed"] == ["rejector.T"]


def test_a_new_threshold_moves_the_zone_and_counts_anew(fitted):
    with running(fitted) as live:
        live.feed(events(300))
        zone = live.hang_up(rejector={"T": 4.0})
        assert zone["event"] == "config.reloaded"
        live.feed(events(300, seed=4))
    report = json.loads(fitted.run("report", "--format", "json").stdout)
    assert report["model"]["T"] == 4.0
    assert report["observed"]["events"] == 300
    with running(fitted) as live:
        live.hang_up(rejector={"cost_rejection": 0.5})
        live.feed(events(10, seed=5))
    report = json.loads(fitted.run("report", "--format", "json").stdout)
    assert report["observed"]["events"] == 310  # the zone is the same


def test_a_reload_of_the_log_alone_changes_nothing_that_is_answered(fitted):
    """Neither the promise nor the counts, nor what scores along, begins anew."""
    fitted.fit(seed=9)
    candidate = fitted.run("models", "list").stdout.splitlines()[0][2:].split()[0]
    with running(fitted) as live:
        fitted.run("models", "shadow", candidate)
        live.until("model.shadowing", model=candidate)
        live.feed(events(200))
        for level in ("info", "debug"):
            assert live.hang_up(log={"level": level})["changed"] == ["log.level"]
        assert (
            live.hang_up(log={"level": "info"}, detector={"seed": 9})["event"] == "config.refused"
        )
        live.feed(events(100, seed=2))
        named = [said["event"] for said in live.said]
        assert named.count("model.serving") == named.count("model.shadowing") == 1
    report = json.loads(fitted.run("report", "--format", "json").stdout)
    assert report["observed"]["events"] == 300
    assert compared(fitted) == 300


def compared(world):
    """How many events the report counts of those that the candidate scored too."""
    report = json.loads(world.run("report", "--format", "json").stdout)
    agreement = (report["candidate"] or {}).get("agreement") or {}  # none before it is noted
    return sum(sum(row.values()) for row in agreement.values())


def test_logs_go_on_after_a_refit_and_a_reload(fitted):
    """PyOD scores here, and fits and is tried in the refit's thread meanwhile."""
    fitted.write(
        training={
            "refit": "every",
            "every_events": 700,
            "warmup": 500,
            "window": 800,
            "cooldown_events": 0,
            "max_changed": 1.0,
        },
        detector={"compiled": False},
        rejector={"T": 8.0},
        models={"keep": 1},
    )
    with running(fitted) as live:
        for seed in range(2):
            live.feed(events(750, seed=seed + 3))
            live.until("refit.started")
            live.feed(events(200, seed=seed + 30))
            live.until("model.serving")
            assert live.hang_up(drift={"average_run_length": 1e6 + seed})
        assert "models.pruned" in {said["event"] for said in live.said}
    assert len(fitted.run("models", "list").stdout.splitlines()) == 2


def test_activate_and_rollback_take_effect_in_a_running_service(fitted):
    first = fitted.run("models", "list").stdout.split()[1]
    with running(fitted) as live:
        assert fitted.fit(seed=9).returncode == 0
        second = live.until("model.serving")["model"]
        assert second != first
        live.feed(events(40))
        assert fitted.run("models", "rollback").returncode == 0
        live.until("model.serving", model=first)
        live.feed(events(40, seed=2))
    models = [out["model"] for outs in fitted.outputs().values() for out in outs]
    assert sorted(models) == sorted([second] * 40 + [first] * 40)


def test_a_candidate_scores_along_and_is_compared(fitted):
    fitted.fit(seed=9)
    listed = fitted.run("models", "list").stdout.splitlines()
    active = next(line[2:].split()[0] for line in listed if line.startswith("*"))
    candidate = next(line[2:].split()[0] for line in listed if not line.startswith("*"))
    with running(fitted) as live:
        assert fitted.run("models", "shadow", candidate).returncode == 0
        live.until("model.shadowing", model=candidate)
        live.feed(events(200))
        until(lambda: compared(fitted) == 200)  # what was seen is written down once a second
        live.feed(events(100, seed=2))
        until(lambda: compared(fitted) == 300)
        assert fitted.run("models", "activate", candidate).returncode == 0
        live.until("model.serving", model=candidate)
        assert [said["event"] for said in live.said].count("model.shadowing") == 1
    assert {out["model"] for outs in fitted.outputs().values() for out in outs} == {active}


def test_a_store_deleted_under_a_running_service_is_written_again(fitted):
    with running(fitted) as live:
        live.feed(events(20))
        shutil.rmtree(fitted.home / "models")
        live.until("models.rewritten")
        live.feed(events(20, seed=2))
    assert fitted.run("report").returncode == 0


STAGES = {
    "storing": lambda store: any(store.glob(".*.new")),
    "stored": lambda store: len([p for p in store.iterdir() if p.is_dir()]) > 1,
}


@pytest.mark.parametrize("stage", STAGES)
def test_killed_in_a_fit_the_old_model_answers_or_the_new_one(fitted, stage):
    store = fitted.home / "models"
    training = fitted.lines(fitted.home / "training.jsonl", events(1000, 9))
    with start("fit", "--input", training, "--config", fitted.path) as fit:
        while fit.poll() is None and not STAGES[stage](store):
            time.sleep(0.001)
        fit.kill()
    assert fitted.run("report").returncode == 0
    assert fitted.run("models", "list").stdout.count("*") == 1
    assert fitted.fit(seed=9).returncode == 0


def test_a_feature_that_disappears_is_told_once_and_the_stream_goes_on(fitted):
    with running(fitted) as live:
        live.feed(events(20))
        live.feed(['{"a": 1.0}'] * 1100)
        told = live.until("records.all_dead")
        assert told["records"] >= 1000
        live.feed(events(5, seed=2))
        live.until("records.answered_again")
    assert [said["event"] for said in live.said].count("records.all_dead") == 1
    assert len(fitted.outputs()["dead_letter"]) == 1100


@pytest.mark.parametrize("mode", ["abstain", "hold", "pass"])
def test_what_an_event_is_answered_before_there_is_a_model(world, mode):
    world.write(training={"warmup": 600, "on_warmup": mode})
    world.lines(world.events, events(1000, poison=0.01))
    done = world.run("run")
    assert done.returncode == 0, done.stderr
    outputs = world.outputs()
    assert sum(map(len, outputs.values())) == 1000
    warming = {
        topic: sum(out.get("reason") == "warming_up" for out in outs)
        for topic, outs in outputs.items()
    }
    expected = {"abstain": {"abstain": 600}, "pass": {"normal": 600}, "hold": {}}[mode]
    assert {topic: count for topic, count in warming.items() if count} == expected


def test_what_is_held_is_answered_without_a_model_where_the_stream_ends_too_soon(world):
    world.write(training={"warmup": 600, "on_warmup": "hold"})
    world.lines(world.events, events(500))
    done = world.run("run")
    assert done.returncode == 0, done.stderr
    assert len(world.outputs()["abstain"]) == 500


def test_a_held_stream_that_is_stopped_begins_again(world):
    world.write(training={"warmup": 600, "on_warmup": "hold"})
    lines = events(1000)
    with running(world) as live:
        with world.events.open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines[:300])
        live.until("warmup.progress")
    assert not any(world.outputs().values())
    with running(world) as live:
        live.feed(lines[300:], answers=1000)
    assert sum(map(len, world.outputs().values())) == 1000


@pytest.mark.parametrize("restart", [False, True])
def test_what_is_held_is_answered_though_its_file_was_rotated(world, restart):
    world.write(training={"warmup": 600, "on_warmup": "hold"}, source={"rotate_wait_seconds": 0})
    lines = events(1000)
    with running(world) as live:
        with world.events.open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines[:300])
        live.until("warmup.progress")
        if not restart:
            world.events.rename(world.home / "moved")
            live.feed(lines[300:], answers=1000)
    if restart:
        assert not any(world.outputs().values())
        world.events.rename(world.home / "moved")
        with running(world) as live:
            live.feed(lines[300:], answers=1000)
    found = [out["event"]["n"] for outs in world.outputs().values() for out in outs]
    assert sorted(found) == list(range(1000))


def test_alarms_are_told_in_words_and_as_records(fitted):
    fitted.write(
        drift={"average_run_length": 10_000.0}, topics={"alerts": "alerts"}, rejector={"T": 32.0}
    )
    fitted.lines(fitted.events, events(600) + events(1500, seed=3, anomalies=0.4))
    done = fitted.run("run")
    assert done.returncode == 0, done.stderr
    alerts = [json.loads(line) for line in (fitted.out / "alerts.jsonl").read_text().splitlines()]
    assert [alert["number"] for alert in alerts][:2] == [1, 2]
    assert alerts[0]["moved"] == "more anomalies"
    assert 600 < alerts[0]["event"] < 1000
    assert "depend on each other" in alerts[0]["why"]
    assert len({alert["id"] for alert in alerts}) == len(alerts)
    assert "promise.alarm" in done.stderr
    assert sum(map(len, fitted.outputs().values())) == 2100


def test_evidence_survives_a_restart(fitted):
    fitted.write(
        source={"batch_records": 100},
        drift={"average_run_length": 1e5},
        topics={"alerts": "alerts"},
        detector={"contamination": 0.05},
    )
    lines = events(600) + events(600, seed=3, anomalies=0.4)
    fitted.lines(fitted.events, lines)
    fitted.run("run")
    whole = (fitted.out / "alerts.jsonl").read_bytes()
    assert whole
    fitted.write(sink={"directory": str(fitted.home / "again")}, source={"follow": True})
    fitted.events.unlink()
    for part in (lines[:650], lines[650:]):
        with running(fitted) as live:
            live.feed(part)
    assert (fitted.home / "again" / "alerts.jsonl").read_bytes() == whole


@pytest.mark.parametrize("on_warmup", ["abstain", "hold"])
def test_rows_that_carry_no_model_are_no_end_and_the_warm_up_goes_on(world, on_warmup):
    world.write(training={"warmup": 300, "on_warmup": on_warmup})
    with running(world) as live:
        equal = [json.dumps({"a": 1.0, "b": 2.0})] * 300
        with world.events.open("a") as file:
            file.writelines(f"{line}\n" for line in equal)
        said = live.until("warmup.untrainable")
        assert "all 300 rows are equal" in said["reason"]
        assert (said["rows"], said["next_try_at"]) == (300, 600)
        with world.events.open("a") as file:
            file.writelines(f"{line}\n" for line in events(400))
        live.until("model.serving")
        while world.answered() < 700:
            live._read()
    outputs = world.outputs()
    warming = [r for r in outputs["abstain"] if r["reason"] == "warming_up"]
    assert len(warming) == (600 if on_warmup == "abstain" else 0)


def test_after_a_restart_the_same_rows_are_not_tried_again(world):
    world.write(training={"warmup": 300})
    equal = [json.dumps({"a": 1.0, "b": 2.0})] * 310
    with running(world) as live:
        live.feed(equal)
        live.until("warmup.untrainable")
    with running(world) as live:
        live.feed(events(290))
        live.until("model.serving")
        assert "warmup.untrainable" not in {said["event"] for said in live.said}


def test_a_column_without_a_value_and_a_detector_that_fails_are_no_end_either(world):
    world.write(
        training={"warmup": 100}, event={"missing": "median"}, detector={"contamination": 0.1}
    )
    with running(world) as live:
        live.feed([json.dumps({"a": float(n)}) for n in range(100)])
        assert "'b' has no value" in live.until("warmup.untrainable")["reason"]
        live.feed(events(100))
        live.until("model.serving")
