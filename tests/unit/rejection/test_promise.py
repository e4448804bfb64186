"""What is promised, and where no probability stands beside a figure."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from detectd.models.serving import Serving
from detectd.pipeline.judging import ModelScorer
from detectd.rejection import Costs, ties_matter
from detectd.rejection.promise import Terms, promise
from detectd.report.figures import figures
from detectd.report.html import page
from detectd.report.plan import plan_figures, plan_text
from detectd.report.tables import promise_table
from detectd.report.text import text
from detectd.telemetry.health import Health
from detectd.telemetry.metric_values import readings
from tests.support.worlds import NOON, fitted

TERMS = Terms(0.05, 8.0, None, 0.1, Costs(1, 10, 0.6))
SEEN = {"normal": 900, "anomaly": 40, "abstain": 60}


def serving(scores, terms):
    model, scorer = fitted()
    promised = promise(np.sort(scores), terms)
    judge = ModelScorer(model.version, scorer, promised.rejector, model.medians)
    recipe = replace(model.recipe, method=terms.calibration)
    return Serving(replace(model, recipe=recipe, calibration=np.sort(scores)), promised, judge)


def continuous(n=1000):
    return np.random.default_rng(1).gamma(4.0, size=n)


@pytest.mark.parametrize("method", ["cross", "in_sample"])
def test_without_a_law_no_probability_is_printed_anywhere(method):
    ready = serving(continuous(), replace(TERMS, calibration=method))
    report = figures(ready, SEEN)
    exact = report["exact"]
    assert exact["rejection_rate_upper"] is exact["cost_upper"] is None
    assert exact["expected_cost_bound"] is None
    assert not exact["valid"]
    assert not exact["cost_valid"]
    assert not report["paper"]["valid"]
    assert report["observed"]["inside_promise"] is None
    assert exact["plug_in_rejection_rate"] > 0
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    (warning,) = report["warnings"]
    assert f"'{method}' has no exact law" in warning
    drawn = page(ready, SEEN, NOON)
    for said in (text(report), drawn, plan_text(plan_figures(ready.promise.terms, [1000]))):
        assert "with probability" not in said.replace("with probability delta", "")
        assert "inside the promise" not in said
        assert "NOT KEPT" not in said
    assert "no exact law" in text(report)
    assert "No bound holds" in drawn


def test_with_a_law_all_is_as_it_was():
    report = figures(serving(continuous(), TERMS), SEEN)
    assert report["exact"]["valid"]
    assert report["exact"]["cost_valid"]
    assert report["observed"]["inside_promise"] is True
    assert report["warnings"] == []
    assert "with probability 0.9" in text(report)


def test_an_estimated_contamination_makes_no_exact_cost_bound():
    ready = serving(continuous(), replace(TERMS, plausible=(0.03, 0.05, 0.07)))
    report = figures(ready, SEEN)
    assert report["exact"]["valid"]
    assert not report["exact"]["cost_valid"]
    assert "exact: estimated contamination" in text(report)
    assert "If the contamination is as estimated" in page(ready, SEEN, NOON)
    assert any(
        cell.text == "estimated contamination" for cell in promise_table(report).iter("small")
    )


@pytest.mark.parametrize("distinct", [10, 100, 300])
def test_ties_at_an_edge_are_warned_of(distinct):
    scores = np.random.default_rng(0).integers(0, distinct, 1000).astype(float)
    ready = serving(scores, TERMS)
    report = figures(ready, SEEN)
    assert not report["exact"]["valid"]
    (warning,) = [line for line in report["warnings"] if "tied at an edge" in line]
    assert "among 1,000" in warning
    assert "not a bound: ties" in text(report)
    assert "with probability" not in text(report)


def test_an_atom_at_an_edge_matters_and_one_far_from_it_does_not():
    scores = np.arange(1000.0)
    judge = promise(scores, TERMS).rejector
    low, high = judge.zone.rank_low, judge.zone.rank_high
    for first, matters in ((low - 5, True), (high - 4, True), (100, False), (700, False)):
        tied = scores.copy()
        tied[first : first + 10] = scores[first]
        judge = promise(tied, TERMS).rejector
        edges = judge.score_low, judge.score_high
        assert ties_matter(judge.scores, judge.zone, edges) == matters


def test_the_bound_is_exceeded_no_more_often_where_no_ties_are_warned_of():
    """And more often where they are: 1,000 scores of so many distinct values each."""
    rng, zone = np.random.default_rng(0), promise(np.arange(1000.0), TERMS).rejector.zone
    upper = promise(np.arange(1000.0), TERMS).exact.rejection_rate_upper
    exceeded = {}
    for distinct in (100, 10**6):
        found = []
        for _ in range(1000):
            scores = np.sort(rng.integers(0, distinct, 1000))
            ends = scores[[zone.rank_low - 1, zone.rank_high]]
            found.append((ends[1] - ends[0] + 1) / distinct > upper)
        exceeded[distinct] = np.mean(found)
    assert exceeded[100] > 0.3
    assert exceeded[10**6] < 0.14


def test_no_law_no_metric_of_a_bound():
    health = Health(60.0, stale_after=30.0, shared=False, delivery="once", clock=lambda: 0.0)
    for method in ("holdout", "cross"):
        health.answering(serving(continuous(), replace(TERMS, calibration=method)), SEEN)
        values = readings(health.state, 0.0, NOON.timestamp())
        for name in ("detectd_rejection_ratio_upper", "detectd_promise_kept"):
            assert (name in values) == (method == "holdout")
        assert "detectd_expected_rejection_ratio" in values
