"""A line a minute: whatever the batches, the lines add up to what was committed."""

from collections import Counter
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from detectd import wiring
from detectd.pipeline.records import OUTCOMES
from detectd.settings.loader import settle
from detectd.sources import Partition
from detectd.telemetry.minute_summary import FIRST_SECONDS, SECONDS, Minutes
from detectd.telemetry.snapshot import ChampionFigures, DriftFigures, Snapshot

steps = st.lists(st.tuples(st.floats(0, 200), st.sampled_from(OUTCOMES), st.integers(0, 9)))


@given(steps)
def test_lines_add_up_and_none_is_empty_or_early(steps):
    minutes, now, committed, lines = Minutes(5.0), 5.0, Counter(), []
    for passed, topic, count in steps:
        now += passed
        minutes.add({topic: count})
        committed[topic.value] += count
        lines += filter(None, [minutes.take(now)])
    lines += filter(None, [minutes.take(now + SECONDS + 1)])  # for doubles that round down
    for topic in OUTCOMES:
        assert sum(line[topic.value] for line in lines) == committed[topic.value]
    assert all(line["records"] == sum(line[topic.value] for topic in OUTCOMES) for line in lines)
    assert all(line["records"] and line["seconds"] >= FIRST_SECONDS for line in lines)
    assert all(line["seconds"] >= SECONDS for line in lines[1:])


def test_life_is_shown_after_ten_seconds_and_then_every_minute():
    minutes = Minutes(0.0)
    assert minutes.take(15.0) is None  # a file that does not exist yet
    minutes.add({"normal": 30, "anomaly": 1, "alerts": 5})
    assert minutes.take(24.9) is None
    assert minutes.take(25.0) == {
        "seconds": 10.0,
        "records": 31,
        "normal": 30,
        "anomaly": 1,
        "abstain": 0,
        "dead_letter": 0,
        "records_per_second": 3.1,
    }
    minutes.add({"normal": 1})
    assert minutes.take(84.9) is None
    assert minutes.take(85.0)["records"] == 1
    assert minutes.take(145.0) is None


def reporter(*, bar):
    settings = {
        "source": {"kind": "file", "path": "events.jsonl"},
        "sink": {"kind": "stdout"},
        "event": {"features": ["a"]},
        "detector": {"contamination": 0.1},
        "server": {"listen": ""},
    }
    return wiring.reporter(settle(settings, "x"), bar=bar)


def lines_after_a_minute(watching, **source):
    began = watching.health.clock()
    watching.health.clock = lambda: began + 60
    serving = SimpleNamespace(model=SimpleNamespace(version="v1"))
    drift = DriftFigures(evidence=1.0, alarm_count=0, alarms=(), average_run_length=1e6)
    champion = ChampionFigures(serving=serving, observed={}, since=None, keys=(), drift=drift)
    reads = {"partitions": dict, "unread": lambda: None, "progress": lambda: None} | source
    watching.supervisor.turned = lambda _: None
    with capture_logs() as lines:
        watching.batch(Counter({"normal": 6}), [], 0.1)
        watching.turned(Snapshot(champion=champion), SimpleNamespace(**reads))
    return [line for line in lines if line["event"] == "service.progress"]


def test_the_line_says_which_model_answers_and_how_much_is_left():
    (line,) = lines_after_a_minute(reporter(bar=False), unread=lambda: 512)
    assert line["log_level"] == "info"
    assert (line["records"], line["model"], line["unread_bytes"]) == (6, "v1", 512)
    assert "lag_records" not in line
    shares = {"t/0": Partition(3, None, 0.0), "t/1": Partition(4, None, 0.0)}
    (line,) = lines_after_a_minute(reporter(bar=False), partitions=lambda: shares)
    assert line["lag_records"] == 7


@pytest.mark.parametrize(("progress", "lines"), [(0.5, 0), (None, 1)])
def test_a_bar_on_the_terminal_is_not_torn_apart(progress, lines):
    assert len(lines_after_a_minute(reporter(bar=True), progress=lambda: progress)) == lines
