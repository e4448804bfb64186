"""What outsiders read: the verdict, and nothing that says how near it was to another."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectd.detectors import choose
from detectd.models.model import Recipe
from detectd.models.recent_anomalies import RecentAnomalies
from detectd.models.training import complete_rows, train
from detectd.pipeline.alerts import alert
from detectd.pipeline.encode import Envelope
from detectd.pipeline.judging import ModelScorer
from detectd.pipeline.output_detail import HEADERS, shown
from detectd.pipeline.records import Record, Topic
from detectd.pipeline.schema import Schema
from detectd.pipeline.scoring import collect_vectors
from detectd.pipeline.vectors import vectors
from detectd.rejection import rejector
from detectd.report.anomalies import NO_DETAIL
from detectd.report.anomaly_cards import anomaly_section
from detectd.report.sample import as_json, as_text
from detectd.report.text import _anomalies
from tests.support.drift_alerts import ALARM, FRAME, MOVED
from tests.support.judging import judge_records

SCHEMA = Schema(("a", "b"), missing="median", key=("k",))
FIGURES = ("score", "rank", "p_value", "confidence", "log_p_anomaly", "log_p_normal")
KEPT = {"detectd-verdict", "detectd-model", "detectd-reason", "detectd-id", "detectd-stage"}

# Whatever it takes to look like a part of an envelope.
tricky = st.sampled_from([',"score":1.5', ',"model":"x"', '"', "\\", "k"]) | st.text(max_size=5)
numbers = st.floats(allow_nan=False, allow_infinity=False)
values = st.one_of(
    st.fixed_dictionaries({"a": numbers, "b": numbers}, optional={"k": tricky, "score": tricky}),
    st.fixed_dictionaries({}, optional={"a": numbers, ',"score":': numbers, ',"model":': tricky}),
).map(lambda event: json.dumps(event).encode()) | st.binary(max_size=20)


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


def test_the_figures_are_the_fields_between_reason_and_model():
    fields = Envelope.__struct_fields__
    assert fields[fields.index("reason") + 1 : fields.index("model")] == FIGURES


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(values, tricky), max_size=6), st.booleans())
def test_all_but_the_figures_stays_as_it_was(judge, batch, warm):
    records = [
        Record(f't",:{text}:{i}', value, text.encode(errors="replace"), timestamp_ms=i)
        for i, (value, text) in enumerate(batch)
    ]
    full = (
        judge_records(records, SCHEMA, judge).outgoing
        if warm
        else collect_vectors(records, vectors(records, SCHEMA))[0]
    )
    for out, less in zip(full, shown(full, "verdict", original=False), strict=True):
        wanted = json.loads(out.value)
        if out.topic is not Topic.DEAD_LETTER:
            assert {*FIGURES} <= wanted.keys()
            wanted = {name: each for name, each in wanted.items() if name not in FIGURES}
        assert json.loads(less.value) == wanted
        assert list(json.loads(less.value)) == list(wanted)
        assert {name for name, _ in less.headers} <= KEPT
        same = msgspec.structs.replace(less, value=out.value, headers=out.headers)
        assert same == out


@settings(max_examples=100, deadline=None)
@given(st.lists(values, max_size=6))
def test_an_original_keeps_its_value_and_loses_the_headers_with_figures(judge, batch):
    records = [
        Record(f"t/0/{i}", value, headers=(("mine", b"1"),)) for i, value in enumerate(batch)
    ]
    full = judge_records(records, SCHEMA, judge, original=True).outgoing
    for out, less in zip(full, shown(full, "verdict", original=True), strict=True):
        assert less.value == out.value
        assert less.headers == tuple(each for each in out.headers if each[0] not in HEADERS)
        assert {name for name, _ in less.headers} - {"mine"} <= KEPT
        assert less.headers[0] == ("mine", b"1")


def test_with_full_detail_nothing_changes(judge):
    full = judge_records([Record("t:0", b'{"a": 1, "b": 2}')], SCHEMA, judge).outgoing
    assert shown(full, "full", original=False) is full


def test_an_alarm_says_what_moved_and_no_shares():
    out = alert("m", ALARM, "t/0/7")
    (less,) = shown([out], "verdict", original=False)
    assert json.loads(less.value) == {"id": json.loads(out.value)["id"]} | FRAME | MOVED
    assert (less.topic, less.key) == (out.topic, out.key)
    figures = {"recent", "expected", "why"}
    assert json.loads(out.value).keys() == json.loads(less.value).keys() | figures


def test_no_byte_of_what_is_left_of_an_alarm_depends_on_its_shares():
    other = replace(ALARM, recent=(0.1, 0.2, 0.7), expected=(0.9, 0.05, 0.05))
    full = [alert("m", alarm, "t/0/7") for alarm in (ALARM, other)]
    assert len({out.value for out in full}) == 2
    assert len({out.value for out in shown(full, "verdict", original=False)}) == 1


@pytest.mark.parametrize("original", [False, True])
def test_what_reads_them_again_says_that_there_is_no_detail(judge, original):
    far = [Record(f"t/0/{i}", b'{"a": 60, "b": %d}' % i, b"k") for i in range(60, 63)]
    full = judge_records(far, SCHEMA, judge, original=original).outgoing
    assert {out.topic for out in full} == {Topic.ANOMALY}
    less = shown(full, "verdict", original=original)
    recent = RecentAnomalies(("a", "b"), original=original)
    recent.see(less)
    told = recent.as_dict()
    assert [each["id"] for each in told["latest"]] == [
        "t/0/60",
        "t/0/61",
        "t/0/62",
    ]
    assert told["strongest"] == []
    assert f"  {NO_DETAIL}" in _anomalies(told)
    assert NO_DETAIL in "".join(anomaly_section(told).itertext())
    read_again = [
        Record(out.topic, out.value, out.key, out.headers, out.timestamp_ms) for out in less
    ]
    text = as_text(read_again[0], original=original)
    assert text.startswith("anomaly  no detail  t/0/60  ")
    assert json.loads(as_json(read_again[0], original=original))["verdict"] == "anomaly"
