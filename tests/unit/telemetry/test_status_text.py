"""`/status` as a screenful."""

from __future__ import annotations

import dataclasses

from detectd.report.status import status_text
from detectd.sources import Partition
from detectd.telemetry.endpoints import status
from tests.support.key_figures import KEYS

NOW = 1_796_000_000.0


def screen(health, **told):
    outputs = {"normal": 900, "anomaly": 50, "abstain": 50, "dead_letter": 3}
    page = status(health.state, health.clock(), NOW, outputs)
    return status_text("127.0.0.1:9464", page | told)


def test_a_service_that_answers(health, answer, serving, clock):
    answer()
    clock.now += 25.0
    health.watched(12.5, [], average_run_length=1e6)
    lines = screen(health).splitlines()
    assert lines[0] == "service     ready, up 25 s"
    assert lines[1].endswith("at 127.0.0.1:9464")
    text = "\n".join(lines)
    for words in (
        "delivery    once",
        f"model       {serving.model.version}, ",
        "IForest, n = 500, contamination 0.1, T = 8",
        f"at most {serving.promise.exact.rejection_rate_upper:.3%} with probability 0.9",
        "observed    5.000% of 1,000 events, inside the promise",
        "outputs     900 normal, 50 anomaly, 50 abstain, 3 dead_letter",
        "lag         12 records; events/0 12, …",
        "alarms      none; evidence 12.5 of 1e+06",
    ):
        assert words in text
    assert "NOT READY" not in text
    assert len(lines) < 20
    assert max(map(len, lines)) <= 100


def test_a_service_in_trouble(health, answer, serving, clock):
    answer()
    health.answering(serving, {"normal": 1, "abstain": 999})
    health.watched(3e7, [{"number": 1}], average_run_length=1e6)
    health.rewound()
    health.refitting()
    clock.now += 4000.0
    text = screen(health)
    for words in (
        "service     stalled, up 1 h 6 min",
        "NOT READY   the loop last ran 4000.0 s ago",
        "OUTSIDE the promise",
        "SILENT      events/0 for 1 h 6 min",
        "trouble     0 interruptions, 1 rewinds",
        "ALARMS      1; evidence 3e+07 of 1e+06",
        "refit       running",
    ):
        assert words in text
    health.refitted("refused")
    assert "refits      1 refused" in screen(health)


def test_a_model_that_waits_says_what_it_waits_for(health):
    assert "HELD" not in screen(health)
    health.holding("20260301T120000Z-3f2a9c")
    text = screen(health)
    assert "HELD        20260301T120000Z-3f2a9c waits: `detectd models activate 2026" in text
    assert "`detectd models discard`" in text


def test_a_service_that_warms_up(health):
    health.opened()
    health.assigned({})
    text = screen(health, warmup={"collected": 500, "wanted": 2000})
    assert "warm-up     500 of 2,000 events, 25%" in text
    span = {"covered_seconds": 3 * 86_400.0, "span_seconds": 7 * 86_400.0}
    text = screen(health, warmup={"collected": 500, "wanted": 40} | span)
    assert "warm-up     3 of 7 days of event time, 43%; 500 rows" in text
    assert "model       none yet" in text
    assert "lag" not in text


def test_of_many_partitions_those_with_the_largest_lag_are_named(health):
    health.assigned({f"events/{i}": Partition(i, None, 0.0) for i in range(300)})
    (line,) = [line for line in screen(health).splitlines() if line.startswith("lag")]
    assert line == (
        "lag         44,850 records; events/299 299, events/298 298, events/297 297, "
        "events/296 296, …"
    )
    health.assigned({"events/0": Partition(None, None, 0.0)})
    assert "lag         not known yet" in screen(health)


def test_a_service_that_refused_a_reload_says_so(health):
    health.reload_refused("source.path: cannot change while the service runs; restart it")
    health.commit_failed()
    health.unread(4096)
    text = screen(health, instance="payments", config="/etc/detectd/payments.toml")
    for words in (
        "service     payments: starting",
        "            /etc/detectd/payments.toml",
        "REFUSED     the last reload: source.path: cannot change",
        "still in force: what was read at 20",
        "unread      4,096 bytes of the file",
        "trouble     0 interruptions, 0 rewinds, 1 failed commits",
    ):
        assert words in text
    health.reloaded()
    assert "REFUSED" not in screen(health)


def test_what_is_remembered_of_keys_is_shown_if_anything_is(health):
    assert "keys" not in screen(health)
    health.remembering(KEYS)
    text = screen(health)
    for words in (
        "keys        90 of at most 100; 30 evicted to make room",
        "SILENT      2 keys; topics.alerts names them",
        "events      50 late; 7 routine; not judged: 60 warming_up",
    ):
        assert words in text
    calm = dataclasses.replace(KEYS, silent=0, evicted=0, late=0, unscored={}, routine=0)
    health.remembering(calm)
    text = screen(health)
    assert "keys        90 of at most 100\n" in text
    assert "SILENT" not in text
    assert "events  " not in text
