"""The pipeline over labelled history, against what the service itself answers."""

from __future__ import annotations

import csv
import json
from typing import Any

import numpy as np
import pytest

from detectd import wiring
from detectd.commands.backtest_history import judge_history, truth_of
from detectd.commands.fit import fit_file
from detectd.errors import ConfigError, DetectdError, UsageError
from detectd.rejection import Costs, exact_promise
from detectd.report.backtest import POINTS, TABLE, backtest_figures, backtest_text
from detectd.service.loop import Service
from detectd.settings.loader import load
from detectd.signals import Stop
from tests.support.command import World

COSTS = {"cost_false_positive": 3.0, "cost_false_negative": 7.0, "cost_rejection": 0.5}


def silent(share, events):
    pass


def history(count, seed, anomalies=0.03):
    """Labelled events: most anomalies lie far out, some do not, and some normal ones do."""
    rng = np.random.default_rng(seed)
    fault = rng.random(count) < anomalies
    far = fault ^ (rng.random(count) < 0.02)
    values = rng.normal(size=(count, 2)) + 3.5 * far[:, None]
    return [
        {"a": a, "b": b, "truth": {"fault": bool(is_fault)}}
        for (a, b), is_fault in zip(values.tolist(), fault, strict=True)
    ]


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    world.write(
        detector={"name": "PCA"}, rejector=COSTS, server={"listen": ""}, log={"level": "error"}
    )
    return world


@pytest.fixture
def fitted(world):
    world.lines(world.home / "training.jsonl", map(json.dumps, history(2000, 1)))
    fit_file(world.home / "training.jsonl", load(world.path), silent)
    return world


def backtested(world, events, label="truth.fault"):
    path = world.lines(world.events, map(json.dumps, events))
    return judge_history(path, label, load(world.path), silent)


@pytest.mark.slow
def test_it_answers_as_the_service_does(fitted):
    events = [*history(3000, 2), {"a": 1}, {"a": 1, "b": None}]
    found = backtest_figures(backtested(fitted, events))
    Service(load(fitted.path), Stop()).run()
    answers = fitted.outputs()
    assert found["history"]["events"] == 3000
    assert found["history"]["dead_letters"] == {"features": 2}
    for verdict in ("normal", "anomaly", "abstain"):
        assert found["verdicts"][verdict] == len(answers[verdict])

    def faults(verdict):
        return sum(record["event"]["truth"]["fault"] for record in answers[verdict])

    assert found["history"]["anomalies"] == sum(map(faults, ("normal", "anomaly", "abstain")))
    false_positives = len(answers["anomaly"]) - faults("anomaly")
    assert found["verdicts"]["false_positives"] == false_positives > 0
    assert found["verdicts"]["false_negatives"] == faults("normal") > 0
    assert found["verdicts"]["abstained_anomalies"] == faults("abstain") > 0
    cost = (3 * false_positives + 7 * faults("normal") + 0.5 * len(answers["abstain"])) / 3000
    assert found["cost"]["observed"] == pytest.approx(cost)
    leaning = [
        (record["log_p_anomaly"] > record["log_p_normal"], record["event"]["truth"]["fault"])
        for verdict in ("normal", "anomaly", "abstain")
        for record in answers[verdict]
    ]
    forced = (3 * leaning.count((True, False)) + 7 * leaning.count((False, True))) / 3000
    assert found["cost"]["without_abstaining"] == pytest.approx(forced)
    wrong = leaning.count((True, False)) + leaning.count((False, True))
    assert found["risk_coverage"]["selective_risk"][-1] == pytest.approx(wrong / 3000)


def test_rates_are_held_against_the_promise_of_the_model(fitted):
    result = backtested(fitted, history(3000, 2))
    found, promise = backtest_figures(result), result.serving.promise
    zone, g, delta = promise.rejector.zone, 0.05, promise.exact.delta
    for name, costs in (("false_positive", Costs(1, 0, 0)), ("false_negative", Costs(0, 1, 0))):
        assert found["rates"][name]["upper"] == exact_promise(zone, g, delta, costs).cost_upper
        assert found["rates"][name]["observed"] == found["verdicts"][f"{name}s"] / 3000
    assert found["cost"]["upper"] == promise.exact.cost_upper
    assert found["rates"]["abstention"]["upper"] == promise.exact.rejection_rate_upper
    assert all(found["rates"][name]["kept"] for name in ("abstention", "false_positive"))
    assert 0.8 < found["auroc"] < 1.0
    curve = found["risk_coverage"]
    assert curve["augrc_best"] < curve["augrc"] < curve["augrc_blind"]
    assert len(curve["coverage"]) <= POINTS + len(TABLE)
    assert (curve["coverage"][0], curve["coverage"][-1]) == (0.0, 1.0)
    assert found["warnings"] == promise.warnings
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_the_text_says_it_in_a_screenful(fitted):
    text = backtest_text(backtest_figures(backtested(fitted, history(3000, 2))))
    for words in ("3,000 events judged", "abstention rate", "cost per event", "augrc", "auroc"):
        assert words in text
    assert len(text.splitlines()) < 25
    assert max(map(len, text.splitlines())) <= 110


def test_a_history_of_one_kind_has_no_auroc(fitted):
    found = backtest_figures(backtested(fitted, history(500, 2, anomalies=0.0)))
    assert (found["auroc"], found["history"]["anomalies"]) == (None, 0)
    assert "needs both" in backtest_text(found)


def test_more_anomalies_than_were_expected_are_told(fitted):
    (warning,) = backtest_figures(backtested(fitted, history(2000, 2, anomalies=0.2)))["warnings"]
    assert "raise it" in warning


def test_rows_that_trained_the_model_are_told(fitted):
    result = backtested(fitted, history(2000, 1)[:50] + history(200, 9))
    assert result.familiar == 50
    assert "50 of the events have rows" in backtest_text(backtest_figures(result))


def test_without_a_model_the_first_events_train_one_as_in_a_run(world):
    world.write(training={"warmup": 800})
    events = history(1500, 3)
    events[5:5] = [{"a": 1}]
    result = backtested(world, events)
    assert (result.warmup, len(result.answered.scores), dict(result.dead)) == (
        800,
        700,
        {"features": 1},
    )
    assert wiring.store(load(world.path)).active() is None
    assert "800 before them trained the model" in backtest_text(backtest_figures(result))
    Service(load(world.path), Stop()).run()
    counts = {topic: len(records) for topic, records in world.outputs().items()}
    verdicts = backtest_figures(result)["verdicts"]
    assert counts["normal"] == verdicts["normal"]
    assert counts["anomaly"] == verdicts["anomaly"]
    assert counts["abstain"] == verdicts["abstain"] + 800


def test_too_short_a_history_is_told(world):
    world.write(training={"warmup": 800})
    with pytest.raises(DetectdError, match=r"training\.warmup = 800 events, of which it has 300"):
        backtested(world, history(300, 3))
    with pytest.raises(DetectdError, match="no event could be judged: 800 trained"):
        backtested(world, history(800, 3))


@pytest.mark.parametrize(
    ("no", "yes"),
    [(0, 1), (False, True), (0.0, 1.0), ("0", "1"), ("normal", "anomaly"), (" False", "TRUE ")],
)
def test_labels_are_written_in_many_ways(fitted, no, yes):
    events = [e | {"truth": yes if e["truth"]["fault"] else no} for e in history(300, 2)]
    expected = backtested(fitted, history(300, 2)).answered.anomalous
    assert backtested(fitted, events, "truth").answered.anomalous.tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({}, "is missing"),
        ({"truth": None}, "is missing"),
        ({"truth": 2}, "is '2'"),
        ({"truth": "maybe"}, "is 'maybe'"),
        ({"truth": 0.5}, "is '0.5'"),
        ({"truth": ["1"]}, "is \"['1']\""),
        ({"truth": ""}, "is ''"),
    ],
)
def test_a_bad_label_is_one_line_that_names_its_line(fitted, wrong, told):
    events = [e | {"truth": 0} for e in history(20, 2)]
    events[16] = {"a": 0.1, "b": 0.2} | wrong
    with pytest.raises(UsageError) as bad:
        backtested(fitted, events, "truth")
    assert str(bad.value) == (
        f"--input {fitted.events}: line 17: the label 'truth' {told}; it must be 0 or 1, true or "
        "false, normal or anomaly"
    )


def test_a_label_that_the_detector_sees_is_refused(fitted):
    with pytest.raises(UsageError, match=r"the detector would see it"):
        backtested(fitted, history(20, 2), "a")


def test_csv_has_its_label_in_a_column(fitted):
    path = fitted.home / "history.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b", "fault"])
        writer.writerows([e["a"], e["b"], int(e["truth"]["fault"])] for e in history(300, 2))
    anomalous = judge_history(path, "fault", load(fitted.path), silent).answered.anomalous
    assert anomalous.tolist() == backtested(fitted, history(300, 2)).answered.anomalous.tolist()


def test_a_file_that_cannot_be_read_is_the_arguments_fault(fitted):
    with pytest.raises(UsageError, match=r"^--input .*nowhere.jsonl does not exist"):
        judge_history(fitted.home / "nowhere.jsonl", "truth", load(fitted.path), silent)


@pytest.mark.slow
def test_the_command(fitted):
    path = fitted.lines(fitted.events, map(json.dumps, history(300, 2)))
    done = fitted.run("backtest", "--input", path, "--label", "truth.fault", "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["history"]["events"] == 300


LABELS: dict[Any, list[Any]] = {
    False: [0, 0.0, -0.0, False, "0", "0.0", " 0 ", "false", "False", "normal", "-0", "0e5"],
    True: [1, 1.0, True, "1", "1.0", "+1", "true", " TRUE ", "anomaly", "1e0"],
    None: [None, 2, 0.5, -1, "2", "", "yes?", "nan", "0_0", "inf", [], {}, 10**400],
}


@pytest.mark.parametrize(
    ("truth", "label"), [(truth, label) for truth, labels in LABELS.items() for label in labels]
)
def test_a_label_is_zero_or_one_however_it_is_written(truth, label):
    assert truth_of(label) is truth


@pytest.mark.parametrize(("zero", "one"), [("0.0", "1.0"), ("0", "1"), ("False", "True")])
def test_csv_labels_are_text(fitted, zero, one):
    path = fitted.home / "history.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b", "fault"])
        rows = history(300, 2)
        writer.writerows([e["a"], e["b"], one if e["truth"]["fault"] else zero] for e in rows)
    found = judge_history(path, "fault", load(fitted.path), silent)
    assert found.answered.anomalous.sum() == sum(e["truth"]["fault"] for e in rows)


def test_what_is_kept_of_a_history_is_a_few_bytes_an_event(fitted):
    """Events, outputs and rows are those of one batch at a time."""
    answered = backtested(fitted, history(3000, 2)).answered
    assert answered.scores.nbytes + answered.anomalous.nbytes == 9 * 3000
    kept = {"counts", "ranks", "_pooled", "_keys", "_scores", "_anomalous"}
    assert set(vars(answered)) == kept
    assert answered._keys == []
    assert answered.counts.sum() == answered.ranks.sum() == 3000


def test_without_a_law_nothing_is_kept_or_not(world):
    world.write(
        detector={"name": "PCA"},
        rejector=COSTS,
        calibration={"method": "cross"},
        server={"listen": ""},
        log={"level": "error"},
    )
    world.lines(world.home / "training.jsonl", map(json.dumps, history(2000, 1)))
    fit_file(world.home / "training.jsonl", load(world.path), silent)
    found = backtest_figures(backtested(world, history(500, 2)))
    for name in ("abstention", "false_positive", "false_negative"):
        assert found["rates"][name]["kept"] is None
        assert found["rates"][name]["upper"] is found["rates"][name]["history_upper"] is None
    assert found["cost"]["kept"] is found["cost"]["upper"] is None
    said = backtest_text(found)
    assert "no bound (no exact law)" in said
    assert "with probability" not in said
    assert "kept" not in said.replace("no promise is kept", "")


@pytest.mark.slow
def test_a_model_that_points_inwards_is_refused_before_it_is_stored(world):
    rng = np.random.default_rng(4)
    rows = rng.normal(size=(2000, 2)) + 10 * rng.integers(0, 3, size=(2000, 1))
    lines = [json.dumps({"a": a, "b": b}) for a, b in rows.tolist()]
    world.write(detector={"name": "LODA"}, server={"listen": ""}, log={"level": "error"})
    path = world.lines(world.home / "training.jsonl", lines)
    with pytest.raises(ConfigError, match=r"LODA model is refused: it calls .* normal"):
        fit_file(path, load(world.path), silent)
    assert wiring.store(load(world.path)).versions() == []
