"""The whole path of an event, over any bytes: bytes -> decode -> features -> score -> output.

What holds for all bytes, in any of the worlds below:

conservation   each record in is one output out, in order, under its own id
form           a value is one line of JSON (with output.value = "original" an answer's is the
               record's own), and says the topic that it is on; a dead letter holds the record's
               bytes, and its own reader gets them back
batches        an output is the same bytes whatever records share the batch
silence        nothing is raised, and no dead letter asks to be reported
readers        field watch, tap, anomalies and dead letters read all of it, and raise nothing

Time and memory for an input are the fuzzer's to bound: `-timeout` and `-rss_limit_mb`.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import cache
from types import SimpleNamespace

import numpy as np

from detectd.detectors import choose
from detectd.features import Function
from detectd.kafka import avro
from detectd.models.model import Recipe
from detectd.models.training import complete_rows, train
from detectd.pipeline import anomaly_records, dead_letters
from detectd.pipeline.field_watch import FieldWatch
from detectd.pipeline.judging import ModelScorer
from detectd.pipeline.records import Dialect, Record, Topic
from detectd.pipeline.schema import Schema
from detectd.pipeline.scoring import collect_vectors
from detectd.pipeline.vectors import vectors
from detectd.rejection import rejector
from detectd.report import sample
from tests.support.judging import judge_records

# Between the records of an input, behind a byte for the world and one for the options.
BETWEEN = b"\x1e\x1e"
MOST_RECORDS = 8

AVRO = {
    "type": "record",
    "name": "Event",
    "fields": [
        {"name": "a", "type": ["null", "double", {"type": "array", "items": "long"}]},
        {"name": "b", "type": {"type": "bytes", "logicalType": "decimal", "scale": 2}},
        {"name": "c", "type": "float"},
        {"name": "host", "type": ["null", "string", "bytes", "Event"]},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-nanos"}},
    ],
}
MARK = "this is a bug in detectd"


class Registry:
    """Knows one schema, by any id."""

    def schema(self, number):
        return SimpleNamespace(id=number, schema=AVRO, referenced=())


class World:
    """A configuration: how values are read, and the model that judges what comes of them."""

    def __init__(self, schema, detector="HBOS", columns=None, dialect=None):
        self.schema, self.columns, self.dialect = schema, columns, dialect or Dialect()
        self.plain, self.explaining = (_judge(schema, detector, explains) for explains in (0, 1))


@cache
def _model(detector, columns):
    rows = np.random.default_rng(0).normal(size=(300, len(columns)))
    return train(rows, Recipe(detector, 0.1), columns, datetime(2026, 1, 1, tzinfo=UTC))


def _judge(schema, detector, explains):
    model = _model(detector, schema.columns)
    scorer = choose(model.detector, complete_rows(model))
    ranks = rejector(model.calibration, 0.1, 4.0)
    return ModelScorer(model.version, scorer, ranks, model.medians, bool(explains))


@cache
def worlds():
    """One for each way in: typed JSON, paths and texts, times, CSV, Avro."""
    hour = Function("hour", "hour")
    return (
        World(Schema(("a", "b"), key=("host",), timestamp="at"), "KNN"),
        World(Schema(("a.0.b", "c"), key=("host.x",), timestamp="at", numeric_strings=True)),
        World(Schema(("a", "b", hour), key=("host",), timestamp="at", missing="median"), "PCA"),
        World(
            Schema(("a.x", "b"), key=("a",), missing="median", max_missing=1, max_depth=3), "GMM"
        ),
        World(Schema(("a", "b"), key=("c",), timestamp="at"), columns=("at", "a", "b", "c")),
        World(
            Schema(("a", "b"), key=("c",), missing="median"),
            columns=("a", "b", "c"),
            dialect=Dialect(";", ".,", "latin-1"),
        ),
        World(Schema(("a", "b"), key=("host",), timestamp="at", read=avro.reader(Registry()))),
    )


def one_input(data: bytes) -> None:
    """Answer the records of an input every way, and hold the outputs against the invariants."""
    if len(data) < 2:
        return
    world, options = worlds()[data[0] % len(worlds())], data[1]
    original = bool(options & 1)
    judge = world.explaining if options & 2 else world.plain
    records = [
        _record(f"t/0/{place}", value, options, world)
        for place, value in enumerate(data[2:].split(BETWEEN)[:MOST_RECORDS])
    ]
    watch = FieldWatch(world.schema)
    watch.look(records, last=True)
    scored = judge_records(records, world.schema, judge, original=original)
    _hold(records, scored.outgoing, original=original)
    living = sum(out.topic is not Topic.DEAD_LETTER for out in scored.outgoing)
    assert len(scored.rows) == len(scored.scores) == len(scored.found.rank) == living
    unjudged = collect_vectors(records, vectors(records, world.schema), original=original)
    collected, rows = unjudged.outgoing, unjudged.rows
    _hold(records, collected, original=original)
    assert rows.tobytes() == scored.rows.tobytes(), "a warm-up sees other rows"
    for answers, together in ((True, scored.outgoing), (False, collected)):
        alone = [_alone(record, world, judge, answers, original) for record in records]
        assert alone == together, "an output depends on its batch"
    _read_again(world, records, scored.outgoing, original=original)


def _record(identity, value, options, world):
    return Record(
        identity,
        None if options & 4 and not value else value,
        key=value[:40] if options & 8 else None,
        headers=((value[:9].decode("latin-1"), value[:3]),) if options & 16 else (),
        timestamp_ms=int.from_bytes(value[:7], "big", signed=True) if options & 32 else None,
        columns=world.columns,
        dropped=len(value) if options & 64 else 0,
        dialect=world.dialect,
    )


def _alone(record, world, judge, answers, original):
    if answers:
        (out,) = judge_records([record], world.schema, judge, original=original).outgoing
    else:
        (out,) = collect_vectors(
            [record], vectors([record], world.schema), original=original
        ).outgoing
    return out


def _hold(records, outgoing, *, original):
    assert len(records) == len(outgoing), "a record has no output"
    for record, out in zip(records, outgoing, strict=True):
        dead = out.topic is Topic.DEAD_LETTER
        if original and not dead:
            assert out.value == (record.value or b"")
            names = dict(out.headers)
            assert names["detectd-id"].decode() == record.id
            assert names["detectd-verdict"].decode() == out.topic
            continue
        assert b"\n" not in out.value, "not one line"
        assert b"\r" not in out.value, "not one line"
        body = json.loads(out.value, parse_constant=_no_constant)
        assert body["id"] == record.id, "out of order"
        if not dead:
            assert body["verdict"] == out.topic
            assert isinstance(body["event"], dict)
        else:
            assert MARK not in body["error"], body["error"]
            letter = dead_letters.read(Record("t/1/0", out.value, headers=out.headers))
            assert letter.stage == body["stage"]
            if letter.record is None:
                assert letter.lacks
            else:
                assert letter.record.value == record.value, "the bytes are lost"


def _no_constant(name):
    raise AssertionError(f"{name} is no JSON")


def _read_again(world, records, outgoing, *, original):
    """What people look with reads outputs, and whatever else is on their topics."""
    shown = [Record(out.topic, out.value, key=out.key, headers=out.headers) for out in outgoing]
    dead_letters.grouped([dead_letters.read(record) for record in (*shown, *records)])
    for form in (True, False):
        read = anomaly_records.reader(world.schema.labels, original=form)
        for record in (*shown, *records):
            read(record)
            sample.as_text(record, original=form)
            if form == original:
                assert "\n" not in sample.as_json(record, original=form)
