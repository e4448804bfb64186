"""The report on keys with zones of their own: as data, as text, as a page."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from detectd.models.serving import Serving, promises
from detectd.pipeline.key_digest import NO_KEY, digest
from detectd.report.by_key import WORST, key_figures, own_sentence
from detectd.report.figures import figures
from detectd.report.html import page
from detectd.report.text import text
from tests.support.worlds import WORLDS
from tests.support.zones_of_keys import TERMS, keyed_serving, observations

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SOUND = {"calm": [False] * 300 + [True] * 8, "wild": [False] * 300 + [True] * 2, "rare": [False]}
ASTRAY = {"calm": [False] * 300 + [True] * 5, "wild": [False] * 100 + [True] * 100}


def observed(**abstained):
    held = sum(sum(each) for each in abstained.values())
    events = sum(len(each) for each in abstained.values())
    counts = {"normal": events - held, "abstain": held}
    return counts | {"by_key": observations(**abstained).as_dict()}


def test_without_by_key_there_are_no_figures_of_keys():
    report = figures(WORLDS["plain"].serving, {})
    assert report["by_key"] is None
    assert "by key" not in text(report)


def test_before_an_event_there_are_only_the_zones():
    serving = keyed_serving()
    report = figures(serving, {})
    found = report["by_key"]
    assert (found["own"], found["events"], found["inside_promise"]) == (2, 0, None)
    sizes = serving.judge.keys.sizes[:-1]
    assert (found["fewest_scores"], found["most_scores"]) == (sizes.min(), sizes.max())
    assert report["observed"]["inside_promise"] is None
    assert "2 keys have zones of their own" in text(report)


def test_n_and_m_are_those_of_all_calibration_scores_and_the_zone_has_its_own_n():
    serving = keyed_serving()
    keys = serving.model.keys.calibration
    keys = np.where(keys == digest(b"calm"), keys, np.uint64(NO_KEY))
    model = replace(serving.model, keys=replace(serving.model.keys, calibration=keys))
    promised, zones = promises(model, TERMS, by_key=True)
    judge = replace(serving.judge, rejector=promised.rejector, keys=zones)
    report, n = figures(Serving(serving.model, promised, judge), {}), promised.rejector.zone.n
    whole = len(serving.model.calibration)
    assert report["zone"]["n"] == n < whole
    assert (report["model"]["n"], report["model"]["m"]) == (whole, whole // 20)
    assert f"({n:,} scores)" in text(report)


def test_the_promise_is_that_of_the_zones_that_answered():
    serving = keyed_serving()
    report = figures(serving, observed(**SOUND))
    found = report["by_key"]
    weights = {"calm": 308, "wild": 302}
    assert (found["events"], found["shared_events"]) == (611, 1)
    assert "0.2% of 611 events judged in the shared zone" in text(report)
    assert found["inside_promise"] is report["observed"]["inside_promise"] is True
    (worst,) = found["worst"]
    assert (worst["key"], worst["events"], worst["abstain"]) == ("calm", weights["calm"], 8)
    assert worst["inside_promise"] is True
    assert worst["rejection_rate"] == 8 / 308
    assert worst["expected_rejection_rate"] < worst["rejection_rate_upper"]
    zones = serving.judge.keys
    rates = [zone.width / (zone.n + 1) for zone in zones.zones]
    events = observations(**SOUND).counts.events
    assert found["expected_rejection_rate"] == pytest.approx(float(events @ rates) / 611)


def test_a_key_that_breaks_its_promise_is_named_everywhere():
    serving, seen = keyed_serving(), observed(**ASTRAY)
    report = figures(serving, seen)
    assert report["by_key"]["worst"][0]["key"] == "wild"
    assert report["by_key"]["worst"][0]["inside_promise"] is False
    assert report["observed"]["inside_promise"] is False
    shown = text(report)
    assert "wild: 50.000% of 200 events" in shown
    assert "OUTSIDE the promise" in shown
    document = page(serving, seen, NOON)
    assert "Promises of single keys" in document
    assert "wild" in document
    assert "Not kept." in document


def test_counts_that_are_gone_break_no_promise():
    serving = keyed_serving()
    document = page(serving, {"normal": 10, "abstain": 5}, NOON)
    assert "Not judged yet." in document


def test_few_keys_are_named_however_many_there_are():
    assert len(key_figures(keyed_serving(), None)["worst"]) <= WORST
    assert own_sentence({"own": 0}).startswith("no key has enough")
    one = {"own": 1, "fewest_scores": 60, "most_scores": 60}
    assert own_sentence(one).startswith("1 key has a zone of its own, of 60")
