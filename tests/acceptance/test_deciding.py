"""A threshold that works by default, and the commands that help to choose another."""

from __future__ import annotations

import json

import numpy as np
import pytest

from detectd.rejection import default_T, reach, stability, zone
from tests.support.command import detectd, events


def one_line(done, code, *words):
    """The command failed with `code` and one helpful line on stderr."""
    assert done.returncode == code, done.stderr
    (line,) = done.stderr.splitlines()
    assert all(word in line for word in words), line


def labelled(world, count=1200, seed=3):
    """A history beside the training events: every thirtieth event is a fault."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, 2))
    fault = np.arange(count) % 30 == 0
    rows[fault] += rng.choice([2.0, 6.0], size=(fault.sum(), 1))
    lines = (
        json.dumps({"a": a, "b": b, "fault": int(each)})
        for (a, b), each in zip(rows.tolist(), fault, strict=True)
    )
    return world.lines(world.home / "history.jsonl", lines)


def test_the_default_threshold_leaves_most_anomalies_and_all_commands_say_so(fitted):
    fitted.lines(fitted.events, events(100))
    report = json.loads(fitted.run("report", "--format", "json").stdout)
    n, contamination = report["model"]["n"], report["model"]["contamination"]
    T = default_T(n, contamination)
    held = zone(stability(n, report["model"]["m"]), T)
    assert report["model"]["T"] == T
    assert report["model"]["T_set_by"] == "default"
    assert report["zone"]["reach"] == reach(held, contamination) >= 0.75
    said = f"lets {reach(held, contamination):.1%} of the expected anomalies be called anomaly"
    assert said in fitted.run("report").stdout
    assert said in fitted.run("check").stdout
    assert said in fitted.fit().stdout
    assert "can be called anomaly" in fitted.run("report", "--format", "html").stdout
    plan = json.loads(fitted.run("plan", "--n", n, "--format", "json").stdout)
    assert plan["plans"][0]["reach"] == report["zone"]["reach"]
    served = [json.loads(line) for line in fitted.run("run").stderr.splitlines() if line[:1] == "{"]
    (log,) = [line for line in served if line["event"] == "model.serving"]
    assert (log["T"], log["reach"]) == (T, report["zone"]["reach"])


def test_a_threshold_that_leaves_too_little_is_warned_of_with_what_changes_it(fitted):
    fitted.lines(fitted.events, events(100))
    fitted.write(rejector={"T": 12.0, "max_abstain_rate": None})
    for command in ("report", "check"):
        said = fitted.run(command).stdout
        assert "WARNING" in said
        assert "calibration scores can be called anomaly" in said
        assert "rejector.T of at most" in said


def test_check_says_what_the_warm_up_will_leave(world):
    world.lines(world.events, events(100))
    world.write(training={"warmup": 400}, rejector={"T": None, "cost_rejection": 0.6})
    said = world.run("check").stdout
    T = default_T(200, 0.05)
    assert f"n = 200 calibration scores, T = {T:.6g}: lets " in said
    assert "abstaining never pays" in said
    world.write(rejector={"T": 32.0, "cost_rejection": 0.001})
    said = world.run("check").stdout
    assert "can never say anomaly" in said
    assert "nothing guarantees that deciding pays" in said


def test_a_plan_speaks_of_alerts_and_reviews_a_day(tmp_path):
    nowhere = ("--config", tmp_path / "none.toml", "--n", 1000, "--events-per-day", 288_000)
    said = detectd("plan", *nowhere, "--T", 8).stdout
    assert "A day of 288,000 events" in said
    (day,) = (
        each["day"]
        for each in json.loads(detectd("plan", *nowhere, "--T", 8, "--format", "json").stdout)[
            "plans"
        ]
    )
    # The zone is 925-971.
    assert day["alerts"] == pytest.approx(288_000 * 29 / 1001)
    assert day["reviews"] == pytest.approx(288_000 * 47 / 1001)
    assert day["reviews_upper"] == pytest.approx(288_000 * 0.055690886, rel=0.002)
    assert day["missed"] == pytest.approx(288_000 * 0.05)
    assert day["false_alerts_upper"] == pytest.approx(day["alerts_upper"], rel=0.02)
    for wrong in (0, "1e5", "many", 10**11):
        done = detectd("plan", "--events-per-day", wrong)
        assert done.returncode == 2
        assert str(wrong) in done.stderr.splitlines()[-1]


def test_a_sweep_is_the_backtest_of_each_by_the_same_costs(fitted):
    history = labelled(fitted)
    asked = ("backtest", "--input", history, "--label", "fault", "--format", "json")
    sweep = ("--sweep", "T=1.5,3,8", "--sweep", "contamination=0.05,0.03")
    found = json.loads(fitted.run(*asked, *sweep).stdout)
    assert [tuple(entry["set"].values()) for entry in found["sweep"]] == [
        (T, share) for T in (1.5, 3.0, 8.0) for share in (0.05, 0.03)
    ]
    one = found["sweep"][3]
    fitted.write(
        rejector={"T": 3.0, "max_abstain_rate": None, "cost_rejection": 0.05},
        detector={"contamination": 0.03},
    )
    alone = json.loads(fitted.run(*asked).stdout)
    assert one["cost"] == alone["cost"]["observed"]
    assert one["cost_at_most"] == alone["cost"]["history_upper"]
    assert one["abstain"] == alone["verdicts"]["abstain"]
    assert one["false_positives"] == alone["verdicts"]["false_positives"]
    assert one["false_negatives"] == alone["verdicts"]["false_negatives"]
    rates = ("abstention", "false_positive", "false_negative")
    kept = [alone["rates"][each]["kept"] for each in rates] + [alone["cost"]["kept"]]
    assert one["kept"] == all(kept)
    least = min(entry["cost"] for entry in found["sweep"])
    assert found["cheapest"]["cost"] == least
    one_line(fitted.run(*asked, *sweep, "--sweep", "contamination=0.1"), 2, "given twice")


def test_a_sweep_shows_what_cannot_be_promised_and_names_the_cheapest(fitted):
    history = labelled(fitted)
    asked = ("backtest", "--input", history, "--label", "fault")
    said = fitted.run(*asked, "--sweep", "T=3,8", "--sweep", "contamination=0.0001,0.05").stdout
    assert said.count("expect no anomaly at all") == 2
    assert "cheapest  T = " in said
    assert "in every row" in said


@pytest.mark.parametrize(
    ("sweep", "said"),
    [
        (["t=3"], "'t' cannot be swept; did you mean T?"),
        (["contaminaton=0.1"], "did you mean contamination?"),
        (["seed=3"], "use one of T, contamination, max_abstain_rate"),
        (["T="], "a value is missing"),
        (["T"], "a value is missing"),
        (["T=3,,8"], "a value is missing"),
        (["T=3,x"], "'x' is not a number"),
        (["T=0.5"], "T=0.5"),
        (["T=inf"], "T=inf"),
        (["contamination=0.7"], "must be a number in (0, 0.5]"),
        (["T=nan"], "T=nan"),
        (["max_abstain_rate=2"], "max_abstain_rate=2"),
        (["T=3", "max_abstain_rate=0.1"], "determine each other"),
    ],
)
def test_a_wrong_sweep_is_one_line(fitted, sweep, said):
    asked = [part for each in sweep for part in ("--sweep", each)]
    done = fitted.run("backtest", "--input", fitted.events, "--label", "fault", *asked)
    one_line(done, 2, "--sweep", said)
