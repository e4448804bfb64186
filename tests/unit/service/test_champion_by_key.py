"""A champion whose keys have zones of their own: what it counts, and what its monitor watches."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from detectd.models.serving import Serving, promises
from detectd.pipeline.records import Record
from detectd.pipeline.schema import Schema
from detectd.pipeline.vectors import vectors
from detectd.service.champion import Champion
from tests.support.zones_of_keys import TERMS, keyed_serving

SCHEMA = Schema(("cpu", "latency_ms"), key=("host",))
SCALES = {"calm": 1.0, "wild": 50.0, "rare": 5.0}


def serving(*, by_key):
    """The same model, with zones of single keys or with one zone for all."""
    ready = keyed_serving()
    promised, keys = promises(ready.model, TERMS, by_key=by_key)
    judge = replace(ready.judge, rejector=promised.rejector, keys=keys)
    return Serving(ready.model, promised, judge)


def under(terms):
    """The same model with zones of single keys, under other terms."""
    ready = keyed_serving()
    promised, keys = promises(ready.model, terms, by_key=True)
    judge = replace(ready.judge, rejector=promised.rejector, keys=keys)
    return Serving(ready.model, promised, judge)


def records(count, seed):
    rng = np.random.default_rng(seed)
    hosts = rng.choice([*SCALES], count, p=[0.5, 0.47, 0.03]).tolist()
    values = rng.normal(size=(count, 2)) * np.array([SCALES[host] for host in hosts])[:, None]
    events = [
        {"host": host, "cpu": cpu, "latency_ms": latency}
        for host, (cpu, latency) in zip(hosts, values.tolist(), strict=True)
    ]
    return [Record(f"t:{i}", json.dumps(event).encode()) for i, event in enumerate(events)]


def champion(*, by_key=True):
    return Champion(serving(by_key=by_key), SCHEMA, 1e7, original=False)


def answered(judge, found):
    scored, _ = judge.answer(found, vectors(found, SCHEMA))
    judge.settle(Counter(out.topic.value for out in scored.outgoing), scored.outgoing)


def test_the_monitor_watches_the_ranks_among_the_scores_of_all_keys():
    by_key, pooled = champion(), champion(by_key=False)
    for seed in range(3):
        for each in (by_key, pooled):
            answered(each, records(300, seed))
            each.on_commit()
    assert by_key.drift_monitor.snapshot() == pooled.drift_monitor.snapshot()
    assert by_key.snapshot()["zone"] != pooled.snapshot()["zone"]


def test_a_rollback_takes_the_counts_of_keys_back_and_a_restart_goes_on_with_them():
    first = champion()
    answered(first, records(300, 1))
    first.on_commit()
    answered(first, records(200, 2))
    first.rollback()
    answered(first, records(100, 3))
    state = json.loads(json.dumps(first.snapshot()))
    first.on_commit()
    report = json.loads(json.dumps(first.report()))
    counts = first.figures().by_key.counts
    assert counts.events.sum() == 400
    assert counts.abstained.sum() == first.observed["abstain"]
    second = champion()
    second.recall(report)
    second.restore(state)
    assert second.figures().by_key.counts.events.tolist() == counts.events.tolist()
    assert json.loads(json.dumps(second.figures().by_key.as_dict())) == report["by_key"]


@pytest.mark.parametrize("by_key", [False, True])
def test_counts_under_other_zones_do_not_go_on(by_key):
    first = champion(by_key=by_key)
    answered(first, records(100, 1))
    state = first.snapshot()
    first.on_commit()
    second = champion(by_key=not by_key)
    second.recall(first.report())
    second.restore(state)
    assert sum(second.observed.values()) == 0
    assert second.figures().by_key is None or not second.figures().by_key.counts.events.any()


def test_a_crash_after_the_first_commit_under_other_zones_does_not_bring_the_old_counts_back():
    """The last report on disk is then of the old zones, while the commit is of the new ones."""
    first = champion()
    answered(first, records(300, 1))
    first.on_commit()
    report = json.loads(json.dumps(first.report()))
    first.go_on_under(under(replace(TERMS, T=3.0)), 1e7)
    answered(first, records(400, 2))
    state = json.loads(json.dumps(first.snapshot()))
    first.on_commit()
    second = Champion(first.serving, SCHEMA, 1e7, original=False)
    second.recall(report)
    second.restore(state)
    assert dict(second.observed) == dict(first.observed)
    assert not second.figures().by_key.counts.events.any()


def test_counts_of_an_earlier_run_of_the_stream_are_not_those_of_this_one(monkeypatch):
    first = champion()
    answered(first, records(300, 1))
    first.on_commit()
    report = json.loads(json.dumps(first.report()))
    monkeypatch.setattr("time.time", lambda: float(report["since"] + 60))
    first.begin_again()
    answered(first, records(400, 2))
    second = champion()
    second.recall(report)
    second.restore(json.loads(json.dumps(first.snapshot())))
    assert not second.figures().by_key.counts.events.any()
