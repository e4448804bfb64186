"""The law of the pipeline: every record in yields exactly one record out, in order."""

import json
from datetime import UTC, datetime
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectd.detectors import choose
from detectd.models.model import Recipe
from detectd.models.training import complete_rows, train
from detectd.pipeline.encode import Envelope
from detectd.pipeline.judging import ModelScorer
from detectd.pipeline.records import Record, Topic
from detectd.pipeline.schema import Schema
from detectd.pipeline.scoring import collect_vectors
from detectd.pipeline.vectors import vectors
from detectd.rejection import rejector
from tests.support.judging import judge_records

SCHEMA = Schema(("a", "b"), missing="median", max_record_bytes=200)


@pytest.fixture(scope="module")
def judge():
    rows = np.random.default_rng(0).normal(size=(1000, 2))
    model = train(rows, Recipe("HBOS", 0.1), ("a", "b"), datetime(2026, 1, 1, tzinfo=UTC))
    return ModelScorer(
        model.version,
        choose(model.detector, complete_rows(model)),
        rejector(model.calibration, 0.1, 8.0),
        model.medians,
    )


numbers = st.floats() | st.integers() | st.none() | st.booleans() | st.text(max_size=3)
events = st.fixed_dictionaries({}, optional={"a": numbers, "b": numbers, "c": numbers})
values = events.map(lambda event: json.dumps(event).encode()) | st.binary(max_size=250) | st.none()


def identity(out):
    return json.loads(out.value)["id"]


@settings(max_examples=300, deadline=None)
@given(st.lists(values, max_size=8))
def test_any_bytes_in_exactly_one_record_out_in_order(judge, batch):
    records = [Record(f"t:{i}", value, key=b"k%d" % i) for i, value in enumerate(batch)]
    for outgoing in (
        judge_records(records, SCHEMA, judge).outgoing,
        collect_vectors(records, vectors(records, SCHEMA))[0],
    ):
        assert [identity(out) for out in outgoing] == [record.id for record in records]
        assert [out.key for out in outgoing] == [record.key for record in records]
        for out in outgoing:
            assert b"\n" not in out.value
            body = json.loads(out.value)
            assert ("error" in body) == (out.topic is Topic.DEAD_LETTER)
            assert body.get("verdict", "dead_letter") == out.topic


@settings(max_examples=50, deadline=None)
@given(st.lists(values, min_size=1, max_size=12), st.data())
def test_a_verdict_does_not_depend_on_the_batch(judge, batch, data):
    records = [Record(f"t:{i}", value) for i, value in enumerate(batch)]
    cut = data.draw(st.integers(0, len(batch)))
    whole = judge_records(records, SCHEMA, judge).outgoing
    parts = [judge_records(part, SCHEMA, judge).outgoing for part in (records[:cut], records[cut:])]
    assert whole == parts[0] + parts[1]


def test_the_original_event_is_spliced_in_byte_for_byte(judge):
    value = b'{"a": 1.50e0,\t"b":0.10, "big": 123456789012345678901, "s": "\\u00e9"}'
    (out,) = judge_records([Record("t:1", value)], SCHEMA, judge).outgoing
    assert out.value.endswith(b'"event":' + value + b"}")


def plain(record, event_json, scored, version, **rest):
    """An output's value by encoding all of it, as nothing but a test need do."""
    topic = (Topic.NORMAL, Topic.ANOMALY, Topic.ABSTAIN)[scored.verdict[0]]
    frame = Envelope(
        verdict=topic,
        reason="unstable" if topic is Topic.ABSTAIN else None,
        score=float(scored.scores[0]),
        rank=int(scored.rank[0]),
        p_value=float(scored.p_value[0]),
        confidence=float(scored.confidence[0]),
        log_p_anomaly=float(scored.log_p_anomaly[0]),
        log_p_normal=float(scored.log_p_normal[0]),
        model=version,
        id=record.id,
        event=msgspec.Raw(event_json),
    )
    return msgspec.json.encode(msgspec.structs.asdict(frame) | rest)


texts = st.text(st.characters(codec="utf-8"), max_size=8)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_spliced_record_is_the_encoded_one_byte_for_byte(judge, data):
    numbers = st.floats(-5, 5, allow_subnormal=False)
    event = {"a": data.draw(numbers), "b": data.draw(numbers)}
    value = json.dumps(event).encode()
    record = Record(
        data.draw(texts),
        value,
        key=data.draw(
            st.none() | st.text(st.characters(codec="utf-8"), max_size=4).map(str.encode)
        ),
        timestamp_ms=data.draw(st.none() | st.integers(0, 10**13)),
    )
    scores = judge.scorer.score(np.array([[event["a"], event["b"]]]))
    scored = SimpleNamespace(scores=scores, **attributes(judge.rejector.judge(scores)))
    rest = {} if record.key is None else {"key": record.key.decode()}
    rest |= {} if record.timestamp_ms is None else {"timestamp": record.timestamp_ms}
    (out,) = judge_records([record], SCHEMA, judge).outgoing
    assert out.value == plain(record, value, scored, judge.version, **rest)


def attributes(judgement):
    names = ("verdict", "rank", "p_value", "confidence", "log_p_anomaly", "log_p_normal")
    return {name: getattr(judgement, name) for name in names}


def test_headers_carry_the_verdict_beside_the_records_own(judge):
    record = Record("t:1", b'{"a": 9, "b": 9}', headers=(("trace", b"x"),), timestamp_ms=5)
    (out,) = judge_records([record], SCHEMA, judge).outgoing
    body = json.loads(out.value)
    assert dict(out.headers) == {
        "trace": b"x",
        "detectd-verdict": body["verdict"].encode(),
        "detectd-score": repr(body["score"]).encode(),
        "detectd-model": judge.version.encode(),
    }
    assert out.timestamp_ms == body["timestamp"] == 5


class Hopeless:
    """A detector's worst day: no score is finite."""

    def score(self, rows):
        return np.resize([np.nan, np.inf, -np.inf], len(rows))


@pytest.mark.parametrize("original", [False, True])
def test_a_score_that_is_not_finite_is_an_anomaly(judge, original):
    """Far outside, whatever the zone: with one that reaches rank n, no score is an anomaly."""
    never = rejector(judge.rejector.scores, 0.002, 32.0)
    assert not never.zone.anomaly_reachable
    records = [Record(f"t:{i}", b'{"a": 1, "b": 2}') for i in range(3)]
    for ranked in (judge.rejector, never):
        hopeless = ModelScorer("v", Hopeless(), ranked, judge.medians, explains=True)
        scored = judge_records(records, SCHEMA, hopeless, original=original)
        assert [out.topic for out in scored.outgoing] == [Topic.ANOMALY] * 3
        assert scored.found.rank.tolist() == scored.found.below.tolist() == [ranked.zone.n] * 3
        assert np.isposinf(scored.scores).all()
        assert len(scored.rows) == 3
        for out in scored.outgoing:
            names = dict(out.headers)
            assert "detectd-score" not in names
            if original:
                assert names["detectd-reason"] == b"score_not_finite"
                continue
            body = json.loads(out.value)
            assert body["score"] is None
            assert body["reason"] == "score_not_finite"
            assert body["rank"] == ranked.zone.n
            assert body["p_value"] == 1 / (ranked.zone.n + 1)
            assert body["explanation"]["features"] == {"a": None, "b": None}


def test_one_score_that_is_not_finite_changes_no_other(judge):
    class Far:
        def score(self, rows):
            scores = judge.scorer.score(rows)
            scores[np.abs(rows[:, 0]) > 1e9] = np.nan
            return scores

    values = [b'{"a": 0.1, "b": 0.2}', b'{"a": 1e99, "b": 0.2}', b'{"a": 3, "b": 3}', b"{}"]
    records = [Record(f"t:{i}", value) for i, value in enumerate(values)]
    mixed = judge_records(records, SCHEMA, ModelScorer("v", Far(), judge.rejector, judge.medians))
    plain = judge_records(
        records, SCHEMA, ModelScorer("v", judge.scorer, judge.rejector, judge.medians)
    )
    places = [0, 2, 3]
    assert [mixed.outgoing[i] for i in places] == [plain.outgoing[i] for i in places]
    assert mixed.outgoing[1].topic is Topic.ANOMALY


def test_imputed_features_are_named_and_take_the_median(judge):
    given_, missing = (
        judge_records([Record("t:1", value)], SCHEMA, judge).outgoing[0]
        for value in (b'{"a": 0.5, "b": %r}' % float(judge.medians[1]), b'{"a": 0.5}')
    )
    assert json.loads(missing.value)["imputed"] == ["b"]
    assert "imputed" not in json.loads(given_.value)
    assert json.loads(missing.value)["score"] == json.loads(given_.value)["score"]
