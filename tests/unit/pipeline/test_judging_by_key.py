"""Outputs of a model whose keys have zones of their own."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectd.pipeline.judging import ModelScorer, judge_rows
from detectd.pipeline.key_digest import NO_KEY, Digests, digest
from detectd.pipeline.memory_budget import CACHED_KEY_BYTES
from detectd.pipeline.records import Record, Topic
from detectd.pipeline.schema import Schema
from detectd.rejection import ABSTAIN, ANOMALY, Costs
from detectd.rejection.key_zones import promises_by_key
from detectd.rejection.promise import Terms, promise
from tests.support.judging import judge_records

SCHEMA = Schema(("x",), key=("host",))
TERMS = Terms(0.05, None, None, 0.1, Costs(1.0, 1.0, 0.1))
SCALES = {"small": 1.0, "large": 100.0, "rare": 10.0}
SIZES = {"small": 500, "large": 800, "rare": 20}


class Own:
    """A row's score is its value, except that of 13, which is not finite; 666 fails."""

    how, doubt = "test", None

    def score(self, rows):
        if (rows == 666.0).any():
            raise ZeroDivisionError("no score")
        return np.where(rows[:, 0] == 13.0, np.nan, rows[:, 0])


def calibration():
    rng = np.random.default_rng(0)
    parts = {host: rng.exponential(SCALES[host], n) for host, n in SIZES.items()}
    scores = np.concatenate([*parts.values()])
    names = np.array([digest(host.encode()) for host in parts], dtype=np.uint64)
    keys, order = np.repeat(names, [*SIZES.values()]), np.argsort(scores)
    return scores[order], keys[order]


@pytest.fixture(scope="module")
def judge():
    scores, keys = calibration()
    shared, zones = promises_by_key(scores, keys, TERMS)
    assert zones.own == 2
    return ModelScorer("v", Own(), shared.rejector, np.zeros(1), explains=True, keys=zones)


def alone(host):
    """A judge that knows the scores of one host alone; of all, if it has too few."""
    scores, keys = calibration()
    of = keys == digest(host.encode())
    mine = scores[of] if of.sum() > 100 else scores
    return ModelScorer("v", Own(), promise(mine, TERMS).rejector, np.zeros(1), explains=True)


def record(i, host, value):
    return Record(f"t:{i}", json.dumps({"x": value, "host": host}).encode())


def stream(rng, count):
    hosts = rng.choice([*SCALES, "unknown"], count).tolist()
    values = (rng.exponential(1.0, count) * [SCALES.get(host, 5.0) for host in hosts]).tolist()
    return [
        record(i, host, value) for i, (host, value) in enumerate(zip(hosts, values, strict=False))
    ]


@pytest.mark.parametrize("original", [False, True])
def test_each_event_is_answered_as_by_a_model_of_its_key_alone(judge, original):
    rng = np.random.default_rng(1)
    for host in (*SCALES, "unknown"):
        values = [*rng.exponential(SCALES.get(host, 5.0), 200).tolist(), 13.0, 1e9]
        records = [record(i, host, value) for i, value in enumerate(values)]
        found = judge_records(records, SCHEMA, judge, original=original)
        wanted = judge_records(records, SCHEMA, alone(host), original=original)
        assert found.outgoing == wanted.outgoing
        assert np.array_equal(found.scores, wanted.scores)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 120), max_size=4))
def test_an_output_does_not_depend_on_the_events_beside_it(judge, seed, cuts):
    records = stream(np.random.default_rng(seed), 120)
    whole = judge_records(records, SCHEMA, judge).outgoing
    edges = [0, *sorted(cuts), 120]
    parts = [
        judge_records(records[a:b], SCHEMA, judge).outgoing for a, b in itertools.pairwise(edges)
    ]
    assert [out for part in parts for out in part] == whole


def test_one_event_that_fails_leaves_the_others_to_their_zones(judge):
    records = stream(np.random.default_rng(2), 60)
    broken = [*records[:30], record(99, "small", 666.0), *records[30:]]
    found = judge_records(broken, SCHEMA, judge)
    wanted = judge_records(records, SCHEMA, judge)
    assert found.outgoing[30].topic is Topic.DEAD_LETTER
    assert found.outgoing[:30] + found.outgoing[31:] == wanted.outgoing
    assert np.array_equal(found.found.places, wanted.found.places)
    assert found.keys.tolist() == wanted.keys.tolist()
    only = judge_records([record(0, "small", 666.0)], SCHEMA, judge)
    assert only.found.places.tolist() == []


def test_rows_are_judged_by_the_digests_of_their_keys_and_without_them_by_the_shared_zone(judge):
    rows = np.array([[5.0], [5.0], [5.0]])
    keys = np.array([digest(b"small"), digest(b"large"), NO_KEY], dtype=np.uint64)
    _, _, found = judge_rows(rows, judge, keys)
    assert found.verdict.tolist() == [
        int(alone(host).rejector.judge(np.array([5.0])).verdict[0])
        for host in ("small", "large", "rare")
    ]
    _, _, shared = judge_rows(rows, judge)
    assert len(set(shared.verdict.tolist())) == 1


def test_digests_are_remembered_and_the_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(Digests, "MOST", 3)
    digests = Digests()
    names = [None, b"", b"a", b"b", b"c", b"a"]
    assert [digests[name] for name in names] == [digest(name) for name in names]
    assert len(digests) <= 3
    assert digest(None) == NO_KEY != digest(b"")


def test_the_digests_of_long_names_are_not_remembered():
    digests = Digests()
    for long in (b"x" * (CACHED_KEY_BYTES + 1), b"y" * 1_000_000):
        assert digests[long] == digest(long)
    assert not digests
    assert digests[b"x" * CACHED_KEY_BYTES]
    assert len(digests) == 1


def test_a_score_that_is_not_finite_is_an_anomaly_even_where_no_finite_one_can_be():
    scores, keys = calibration()
    terms = Terms(0.005, 32.0, None, 0.1, Costs(1.0, 1.0, 0.1))
    shared, zones = promises_by_key(scores, keys, terms)
    assert not shared.rejector.zone.anomaly_reachable
    judge = ModelScorer("v", Own(), shared.rejector, np.zeros(1), keys=zones)
    found = judge_records([record(0, "small", 13.0), record(1, "small", 1e9)], SCHEMA, judge)
    assert [out.topic for out in found.outgoing] == [Topic.ANOMALY, Topic.ABSTAIN]
    assert found.found.verdict.tolist() == [ANOMALY, ABSTAIN]
