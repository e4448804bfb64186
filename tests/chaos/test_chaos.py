"""The short form of the campaign, and that its audit would see what it looks for."""

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import pytest

from tests.chaos.audit import answer, answer_id, audit
from tests.chaos.campaign import Campaign
from tests.chaos.faults import FIRST, GAP, SESSION_SECONDS, Kind, draw
from tests.chaos.stream import Stream
from tests.support.command import TOPICS

NAMES = {topic: topic for topic in TOPICS}
SOURCE = {f"in/{n % 2}/{n // 2}": n for n in range(8)}
POISON = {3}


def output(topic, number, partition=0):
    return SimpleNamespace(
        topic=topic,
        partition=partition,
        offset=number,
        key=b"k",
        value=b'{"id":"in/%d/%d"}' % (number % 2, number // 2),
        headers=[("number", b"%d" % number)],
    )


RIGHT = [output("dead_letter" if n in POISON else "normal", n) for n in SOURCE.values()]
UNDISTURBED = {answer_id(record): answer(record, NAMES) for record in RIGHT}


def found(outputs):
    """The kinds of findings that are not zero."""
    findings = audit(SOURCE, POISON, NAMES, outputs, UNDISTURBED)
    kinds = ("lost", "doubled", "strangers", "out_of_order", "misjudged", "differing")
    counts = {kind: getattr(findings, kind) for kind in kinds}
    assert findings.clean == (not any(counts.values()))
    return {kind: count for kind, count in counts.items() if count}


def test_outputs_that_are_right_have_no_findings():
    assert found(RIGHT) == {}
    assert found(sorted(RIGHT, key=answer_id)) == {}  # other partitions first


@pytest.mark.parametrize(
    ("outputs", "findings"),
    [
        (RIGHT[:-1], {"lost": 1}),
        ([*RIGHT, RIGHT[-1]], {"doubled": 1}),
        ([*RIGHT, output("anomaly", 7)], {"doubled": 1, "differing": 1}),
        ([*RIGHT[:4], RIGHT[6], RIGHT[5], RIGHT[4], RIGHT[7]], {"out_of_order": 1}),
        ([*RIGHT, output("normal", 8)], {"strangers": 1}),
        ([*RIGHT[:3], output("normal", 3), *RIGHT[4:]], {"misjudged": 1, "differing": 1}),
        ([output("anomaly", 0), *RIGHT[1:]], {"differing": 1}),
    ],
    ids=[
        "lost",
        "twice",
        "on two topics",
        "disorder",
        "stranger",
        "poison judged",
        "other verdict",
    ],
)
def test_what_is_wrong_is_found(outputs, findings):
    assert found(outputs) == findings


def test_the_same_seed_draws_the_same_faults_and_each_kind_of_them():
    faults = draw(5, len(Kind) * GAP[1] + FIRST)
    assert faults == draw(5, len(Kind) * GAP[1] + FIRST) != draw(6, len(Kind) * GAP[1] + FIRST)
    assert set(Kind) == {fault.kind for fault in faults}
    assert all(f.lasts > SESSION_SECONDS for f in faults if f.kind == Kind.FREEZE)
    assert Counter(f.kind for f in draw(5, 10_000)).most_common(1)[0][0] == Kind.KILL


def test_the_stream_repeats_itself_and_a_hundredth_of_it_is_poison():
    stream, again = Stream(20_000, 4), Stream(20_000, 4)
    assert [stream.record(n) for n in range(50)] == [again.record(n) for n in range(50)]
    assert 150 < len(stream.poison) < 250
    assert stream.record(min(stream.poison)) != replace(stream, seed=5).record(min(stream.poison))


def test_under_fire_each_record_is_answered_once_in_order_and_as_ever(kafka_broker, tmp_path):
    if not kafka_broker.pids:
        pytest.skip("stops brokers, which must be our own")
    rounds = []
    report = Campaign(519, 10_000, 11, 3, tmp_path, rounds.append).run()
    assert report.clean, "\n".join([*rounds, *report.lines()])
    assert set(report.struck) == set(Kind) - {Kind.BROKER_TERM}
    assert report.findings.records == 10_000
