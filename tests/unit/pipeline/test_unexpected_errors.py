"""What nobody foresaw while a record was answered is that record's, and no other's."""

import json

import numpy as np
import pytest

from detectd.errors import DetectdError, RefusedError
from detectd.pipeline import decode as decoding
from detectd.pipeline import encode, explain, scoring
from detectd.pipeline.decode import decode
from detectd.pipeline.formats import fields_of
from detectd.pipeline.judging import ModelScorer
from detectd.pipeline.records import Record, Stage, Topic
from detectd.pipeline.schema import Schema
from detectd.pipeline.scoring import collect_vectors
from detectd.pipeline.unexpected_errors import in_words
from detectd.pipeline.vectors import vectors
from detectd.rejection import rejector
from tests.support.judging import judge_records

SCHEMA = Schema(("a", "b"))
EVIL = 666.0


class Fragile:
    """Scores rows by their sum; breaks on those with EVIL in them."""

    def __init__(self, breaks):
        self.breaks = breaks

    def score(self, rows):
        if (rows == EVIL).any():
            raise self.breaks
        return rows.sum(axis=1)


def judge_of(scorer, explains=False):
    return ModelScorer("v", scorer, rejector(np.arange(200.0), 0.1, 2.0), np.zeros(2), explains)


def records(*firsts):
    return [Record(f"t:{i}", b'{"a": %f, "b": 1}' % first) for i, first in enumerate(firsts)]


def bodies(outgoing):
    return [json.loads(out.value) for out in outgoing]


@pytest.mark.parametrize("original", [False, True])
@pytest.mark.parametrize("breaks", [TypeError("object at 0x7f0011223344"), RecursionError("deep")])
def test_one_record_that_breaks_the_scorer_is_a_dead_letter(breaks, original):
    batch = records(1, EVIL, 3, 500, EVIL)
    scored = judge_records(batch, SCHEMA, judge_of(Fragile(breaks)), original=original)
    dead = [out.topic is Topic.DEAD_LETTER for out in scored.outgoing]
    assert dead == [False, True, False, False, True]
    letter = bodies(scored.outgoing)[1] if not original else json.loads(scored.outgoing[1].value)
    assert letter["stage"] == "score"
    assert letter["error"].startswith(f"{type(breaks).__name__}: ")
    assert letter["error"].endswith("this is a bug in detectd; please report it")
    assert "0x7f" not in letter["error"]
    sound = [record for record, died in zip(batch, dead, strict=True) if not died]
    alone = judge_records(sound, SCHEMA, judge_of(Fragile(breaks)), original=original)
    assert [out for out in scored.outgoing if out.topic is not Topic.DEAD_LETTER] == alone.outgoing
    assert np.array_equal(scored.rows, alone.rows)
    assert np.array_equal(scored.scores, alone.scores)
    for name in ("verdict", "rank", "below"):
        assert np.array_equal(getattr(scored.found, name), getattr(alone.found, name))


def test_a_batch_of_nothing_but_such_records_does_not_end_the_stream():
    scored = judge_records(records(EVIL, EVIL), SCHEMA, judge_of(Fragile(TypeError("no"))))
    assert [out.topic for out in scored.outgoing] == [Topic.DEAD_LETTER] * 2
    assert scored.rows.shape == (0, 2)


def test_a_model_that_scores_nothing_ends_it():
    class Broken:
        def score(self, rows):
            raise TypeError("every row")

    with pytest.raises(DetectdError, match=r"model v: it cannot score even.*TypeError: every row"):
        judge_records(records(1, 2), SCHEMA, judge_of(Broken()))
    with pytest.raises(DetectdError, match="it cannot score even"):
        judge_records([*records(1), Record("t:9", b"{")], SCHEMA, judge_of(Broken()))


@pytest.mark.parametrize("failed", [MemoryError(), OSError("disk"), RefusedError("registry")])
def test_what_is_not_the_records_fault_is_not_blamed_on_it(failed, monkeypatch):
    with pytest.raises(type(failed)):
        judge_records(records(1, EVIL), SCHEMA, judge_of(Fragile(failed)))

    def read(value):
        raise failed

    for schema in (Schema(("a",), read=read), Schema(("a",), key=("k",), read=read)):
        with pytest.raises(type(failed)):
            decode(records(1), schema)
        with pytest.raises(type(failed)):
            fields_of(records(1)[0], schema)


def test_stop_signals_pass():
    with pytest.raises(KeyboardInterrupt):
        judge_records(records(1, EVIL), SCHEMA, judge_of(Fragile(KeyboardInterrupt())))


def test_what_breaks_the_decoder_is_named_with_its_stage(monkeypatch):
    def read(value):
        if b"666" in value:
            raise RuntimeError("two\nlines \ud800")
        return {"a": 1.0}, b'{"a":1.0}'

    decoded = decode(records(1, EVIL), Schema(("a",), read=read))
    assert decoded.dead[1].stage is Stage.DECODE
    assert decoded.dead[1].error.startswith("RuntimeError: two lines \\ud800; this is a bug")
    assert fields_of(records(EVIL)[0], Schema(("a",), read=read)) is None

    def number(*given):
        raise ZeroDivisionError

    monkeypatch.setattr(decoding, "number_of", number)
    decoded = decode([Record("t:1", b'{"a": "1"}')], Schema(("a",)))
    assert decoded.dead[0].stage is Stage.FEATURES
    assert decoded.dead[0].error.startswith("ZeroDivisionError; this")


def test_what_breaks_an_explanation_or_an_output_is_of_stage_encode(monkeypatch):
    whole = explain.explanations

    def explanations(scorer, rows, *rest):
        if (rows == EVIL).any():
            raise IndexError("parts")
        return whole(scorer, rows, *rest)

    monkeypatch.setattr(explain, "explanations", explanations)
    scorer = Fragile(TypeError())
    scorer.score = lambda rows: rows.sum(axis=1)
    scored = judge_records(records(1, EVIL, 5000), SCHEMA, judge_of(scorer, explains=True))
    normal, broken, far = bodies(scored.outgoing)
    assert (normal["verdict"], far["verdict"]) == ("normal", "anomaly")
    assert far["explanation"]["features"]["a"] == 5000
    assert broken["stage"] == "encode"


def test_a_warm_up_loses_only_the_record_that_breaks(monkeypatch):
    whole = encode.unscored

    def warming_up(record, *rest, **options):
        if record.id == "t:1":
            raise RecursionError("maximum recursion depth exceeded")
        return whole(record, *rest, **options)

    monkeypatch.setattr(scoring, "unscored", warming_up)
    batch = records(1, 2, 3)
    outgoing, rows, *_ = collect_vectors(batch, vectors(batch, SCHEMA))
    assert [out.topic for out in outgoing] == [Topic.ABSTAIN, Topic.DEAD_LETTER, Topic.ABSTAIN]
    assert bodies(outgoing)[1]["stage"] == "encode"
    assert rows[:, 0].tolist() == [1.0, 3.0]


def test_words_are_short_and_the_same_in_every_process():
    assert in_words(ValueError("<X at 0x7ffff> " + "y" * 900)).startswith("ValueError: <X at 0x…> ")
    assert len(in_words(ValueError("y" * 900))) < 250
    assert in_words(KeyError()) == "KeyError"
