"""Models that follow the stream: refits, what comes of them, and what does not."""

import json

import pytest

from tests.support.command import events
from tests.support.live import running
from tests.support.retraining import (
    EVERY,
    ON_DRIFT,
    QUICK,
    branch,
    events_logged,
    killed_after,
    shifted,
    verdicts,
)


@pytest.fixture
def drifting(fitted):
    fitted.write(training=ON_DRIFT, drift={"average_run_length": 1e5})
    fitted.lines(fitted.events, events(2500, seed=3) + shifted(3000, seed=5))
    return fitted


def test_an_alarm_brings_a_model_that_keeps_the_promise_again(drifting):
    done = drifting.run("run")
    assert done.returncode == 0, done.stderr
    assert len(events_logged(done, "refit.started")) == 1
    assert len(events_logged(done, "model.serving")) == 2
    assert sum(map(len, drifting.outputs().values())) == 5500
    report = json.loads(drifting.run("report", "--format", "json").stdout)
    assert report["observed"]["events"] >= 1500
    assert report["observed"]["inside_promise"]


def test_a_replay_gives_the_same_verdicts_however_it_is_cut_and_killed(drifting):
    branch(drifting, "calm")
    assert drifting.run("run").returncode == 0
    calm = verdicts(drifting)
    branch(drifting, "killed")
    drifting.write(source={"batch_records": 130})
    for event, times in (("batch", 2), ("refit.started", 1), ("model.serving", 2)):
        assert killed_after(drifting, event, times), event
    assert drifting.run("run").returncode == 0
    assert verdicts(drifting) == calm
    # The model that had taken over when the process was killed is not trained a second time.
    assert len(drifting.run("models", "list").stdout.splitlines()) == 2


def test_a_running_service_goes_over_to_the_next_model_and_loses_nothing(fitted):
    fitted.write(training=EVERY, rejector=QUICK)
    with running(fitted) as live:
        live.feed(events(750, seed=3))
        live.until("refit.started")
        live.feed(events(200, seed=4))
        second = live.until("model.serving")["model"]
        live.feed(events(100, seed=6))
    models = [out["model"] for outs in fitted.outputs().values() for out in outs]
    assert len(models) == 1050
    assert models.count(second) >= 100


def test_a_refit_that_fails_leaves_the_model_and_says_why(fitted):
    first = fitted.run("models", "list").stdout.split()[1]
    fitted.write(training=EVERY | {"deadline_seconds": 0.01})
    fitted.lines(fitted.events, events(1600, seed=3))
    done = fitted.run("run")
    assert done.returncode == 0, done.stderr
    failed = events_logged(done, "refit.failed")
    assert [each["code"] for each in failed] == ["too_slow"] * 2
    assert {out["model"] for outs in fitted.outputs().values() for out in outs} == {first}


def test_a_model_that_changes_too_much_is_refused(fitted):
    fitted.write(training=EVERY | {"guard": "none", "max_changed": 0.05})
    fitted.lines(fitted.events, events(100, seed=3) + shifted(700, seed=5))
    done = fitted.run("run")
    assert done.returncode == 0, done.stderr
    assert "changed" in [refused["code"] for refused in events_logged(done, "refit.refused")]


def test_a_stream_that_turns_constant_leaves_the_model(fitted):
    fitted.write(training=EVERY | {"guard": "none"})
    fitted.lines(fitted.events, ['{"a": 1.0, "b": 1.0}'] * 800)
    done = fitted.run("run")
    assert done.returncode == 0, done.stderr
    (failed,) = events_logged(done, "refit.failed")
    assert failed["code"] == "unfit"
    assert "equal" in failed["reason"]


def test_a_window_that_could_never_train_is_refused_at_once(fitted):
    fitted.lines(fitted.events, events(5))
    fitted.write(training=ON_DRIFT | {"warmup": 20, "window": 30})
    for command in ("check", "run"):
        done = fitted.run(command)
        assert done.returncode == 78
        assert "training.warmup" in done.stderr
        assert "at least 39 rows" in done.stderr


def test_an_accepted_model_can_stay_in_the_shadow(fitted):
    fitted.write(training=EVERY | {"on_refit": "shadow"}, rejector=QUICK)
    fitted.lines(fitted.events, events(1000, seed=3))
    done = fitted.run("run")
    assert done.returncode == 0, done.stderr
    (shadowing,) = events_logged(done, "model.shadowing")
    report = json.loads(fitted.run("report", "--format", "json").stdout)
    assert report["candidate"]["model"]["version"] == shadowing["model"]
    assert sum(map(sum, (row.values() for row in report["candidate"]["agreement"].values()))) == 300


def test_a_contamination_that_nobody_knows_is_estimated_and_shown(fitted):
    fitted.write(detector={"contamination": "estimate"}, rejector=QUICK)
    assert fitted.fit(seed=4).returncode == 0
    report = json.loads(fitted.run("report", "--format", "json").stdout)["model"]
    low, high = report["contamination_interval"]
    assert 0 <= low < report["contamination"] < high < 0.15
    assert "estimated" in fitted.run("report").stdout
    planned = fitted.run("plan")
    assert planned.returncode == 78
    assert "detector.contamination" in planned.stderr
    fitted.write(detector={"contamination": "guess"})
    assert 'or "estimate"' in fitted.run("check").stderr


def test_a_model_that_could_be_compared_on_no_rows_is_refused(fitted):
    fitted.write(training=EVERY | {"warmup": 600, "window": 600}, rejector=QUICK)
    fitted.lines(fitted.events, events(1500, seed=3))
    done = fitted.run("run")
    assert done.returncode == 0, done.stderr
    refused = events_logged(done, "refit.refused")
    assert [each["code"] for each in refused] == ["not_compared"] * 2
    assert len(events_logged(done, "model.serving")) == 1


def test_no_clock_decides_over_a_file_that_is_read_to_its_end(fitted):
    fitted.lines(fitted.events, events(5))
    fitted.write(training={"refit": "every", "every_seconds": 60.0})
    for command in ("check", "run"):
        done = fitted.run(command)
        assert done.returncode == 78
        assert "training.every_seconds" in done.stderr
        assert "every_events" in done.stderr
    fitted.write(source={"follow": True})
    assert fitted.run("check").returncode == 0
