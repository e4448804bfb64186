"""An attack that wants to be learnt: what waits, what is held, and what an operator says."""

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

HOLD = ON_DRIFT | {"after_alarm": "hold", "quarantine": 300}


@pytest.fixture
def attacked(fitted):
    fitted.write(training=HOLD, drift={"average_run_length": 1e5})
    fitted.lines(fitted.events, events(1500, seed=3) + shifted(2500, seed=5))
    return fitted


def versions(world):
    return [line[2:].split()[0] for line in world.run("models", "list").stdout.splitlines()]


def test_a_model_after_an_alarm_is_stored_and_does_not_answer(attacked):
    (first,) = versions(attacked)
    done = attacked.run("run")
    assert done.returncode == 0, done.stderr
    (held,) = events_logged(done, "refit.held")
    assert versions(attacked) == [first, held["model"]]
    assert {out["model"] for outs in attacked.outputs().values() for out in outs} == {first}
    assert f"models activate {held['model']}" in held["hint"]
    assert "HELD" in attacked.run("models", "list").stdout.splitlines()[1]
    assert attacked.run("models", "prune", "--keep", "1").stdout.startswith("nothing to remove")


def test_a_replay_holds_the_same_however_it_is_cut_and_killed(attacked):
    branch(attacked, "calm")
    assert attacked.run("run").returncode == 0
    calm = verdicts(attacked)
    branch(attacked, "killed")
    attacked.write(source={"batch_records": 130})
    for event, times in (("batch", 2), ("refit.started", 1), ("refit.held", 1)):
        assert killed_after(attacked, event, times), event
    done = attacked.run("run")
    assert done.returncode == 0
    assert len(events_logged(done, "refit.held")) == 1  # said again, and not trained again
    assert verdicts(attacked) == calm
    assert len(versions(attacked)) == 2


def test_an_operator_lets_it_answer_or_throws_it_away(fitted):
    fitted.write(training=HOLD | {"quarantine": 0}, drift={"average_run_length": 1e5})
    with running(fitted) as live:
        live.feed(shifted(900, seed=5))
        first = live.until("refit.held")["model"]
        done = fitted.run("models", "discard")
        assert "no longer held: " + first in done.stdout
        live.until("window.discarded")
        live.feed(shifted(1500, seed=6))
        second = live.until("refit.held")["model"]
        assert second != first
        assert fitted.run("models", "activate", second).returncode == 0
        live.until("model.serving", model=second)
        live.feed(shifted(50, seed=7))
    assert "HELD" not in fitted.run("models", "list").stdout
    assert any(out["model"] == second for out in fitted.outputs()["normal"])


def test_after_a_rollback_the_next_model_comes_of_later_rows_alone(fitted):
    fitted.write(training=EVERY | {"guard": "none", "max_changed": 1.0}, rejector=QUICK)
    with running(fitted) as live:
        live.feed(shifted(750, seed=3, by=30.0))
        live.until("refit.started")
        live.feed(events(1, seed=4))
        poisoned = live.until("model.serving")["model"]
        assert fitted.run("models", "rollback").returncode == 0
        live.until("window.discarded")
        live.feed(events(900, seed=5))
        live.until("refit.started")
        live.feed(events(1, seed=6))
        clean = live.until("model.serving")["model"]
    rows = fitted.home / "models"
    largest = {version: largest_row(rows / version) for version in (poisoned, clean)}
    assert largest[poisoned] > 25 > largest[clean]


def largest_row(model):
    import numpy as np

    return np.load(model / "rows.npy")[:, 0].max()


@pytest.mark.parametrize(
    ("training", "expected"),
    [
        ({}, ["no retraining"]),
        (
            EVERY | {"guard": "normal_only"},
            ["only rows judged normal are used, even after an alarm"],
        ),
        (
            EVERY | {"quarantine": 5000},
            [
                "a row is used 5,000 events later at the earliest",
                "the first refit takes 5,500 events",
            ],
        ),
        (ON_DRIFT, ["fitted at least 600 events later", 'after_alarm = "hold"']),
        (
            HOLD,
            ["fitted at least 900 events later", "waits for `models activate` or `models discard`"],
        ),
        (ON_DRIFT | {"guard": "normal_only"}, ["cannot follow a change that the old one finds"]),
    ],
)
def test_check_says_what_the_settings_mean_together(fitted, training, expected):
    fitted.lines(fitted.events, events(5))
    fitted.write(training=training)
    done = fitted.run("check")
    assert done.returncode == 0, done.stderr
    said = "\n".join(line for line in done.stdout.splitlines() if line.startswith("learning "))
    assert [part for part in expected if part not in said] == []


def test_a_quarantine_cannot_change_while_the_service_runs(fitted):
    fitted.write(training=EVERY)
    with running(fitted) as live:
        said = live.hang_up(training={"quarantine": 10})
        assert said["event"] == "config.refused"
        assert "training.quarantine" in said["reason"]
        assert live.hang_up(training={"quarantine": None, "after_alarm": "hold"})["changed"] == [
            "training.after_alarm"
        ]
