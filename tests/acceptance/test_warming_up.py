"""A warm-up that lasts a span of event time, by the real command."""

import json

import numpy as np
import pytest

from detectd.models.store import Store
from tests.support.command import events, start
from tests.support.live import running
from tests.support.waiting import until

NOON = 1_772_366_400_000
MINUTE = 60_000


def timed(count, **far):
    """Events of seven hosts, one a minute; `far` minutes are added to the time of some."""
    moments = [NOON + i * MINUTE for i in range(count)]
    for place, minutes in far.items():
        moments[int(place.removeprefix("at_"))] += minutes * MINUTE
    return [
        json.dumps(json.loads(line) | {"ts": moment, "host": f"web{i % 7}"})
        for i, (line, moment) in enumerate(zip(events(count), moments, strict=True))
    ]


@pytest.fixture
def clock(world):
    world.write(
        event={"timestamp": "ts", "key": "host"},
        training={"warmup": "2h"},
        log={"format": "json"},
        server={"listen": ""},
    )
    return world


def logged(done, event):
    found = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    return [each for each in found if each["event"] == event]


def ran(world, lines):
    world.lines(world.events, lines)
    done = world.run("run")
    assert done.returncode == 0, done.stderr
    return done


def rows(world):
    store = Store(world.home / "models")
    return store.load(store.active()).model.rows


def warming(world):
    return sum(out.get("reason") == "warming_up" for out in world.outputs()["abstain"])


def test_the_model_comes_when_the_times_span_it(clock):
    done = ran(clock, timed(600))
    assert 121 <= warming(clock) <= 127
    (training,) = logged(done, "training.started")
    assert training["rows"] == warming(clock)
    assert (training["partitions"], training["keys"]) == (1, 7)
    assert 2.0 <= training["hours_covered"] <= 2.1
    (note,) = logged(done, "training.short_span")
    assert "a daily cycle cannot be learned" in note["reason"]
    told = logged(done, "warmup.progress")
    assert [each["hours_wanted"] for each in told] == [2.0] * len(told) != []
    assert told[-1]["hours_covered"] >= 2.0


@pytest.mark.parametrize("minutes", [365 * 1440, -20 * 1440, 90])
def test_a_clock_that_jumps_ends_it_no_sooner(clock, minutes):
    ran(clock, timed(600, at_9=minutes))
    assert 121 <= warming(clock) <= 127


def test_batches_do_not_change_the_rows(clock):
    ran(clock, timed(600))
    expected, answers = rows(clock), clock.raw_outputs()["abstain"].count(b"warming_up")
    clock.write(
        source={"batch_records": 7},
        models={"directory": str(clock.home / "models2")},
        sink={"directory": str(clock.home / "out2")},
    )
    ran(clock, timed(600))
    store = Store(clock.home / "models2")
    np.testing.assert_array_equal(store.load(store.active()).model.rows, expected)
    assert warming(clock) == answers


@pytest.mark.parametrize("window", [10_000, 50])
def test_a_restart_in_the_middle_trains_on_the_same_rows(clock, window):
    clock.write(training={"window": window})
    lines = timed(600)
    ran(clock, lines)
    expected = rows(clock)
    assert len(expected) <= window
    said = {"rows": len(expected), "keys": 7}
    clock.write(
        models={"directory": str(clock.home / "models2")},
        sink={"directory": str(clock.home / "out2")},
    )
    clock.events.unlink()
    for first, last in ((0, 60), (60, 100)):
        with running(clock) as live:
            live.feed(lines[first:last])
    with running(clock) as live:
        with clock.events.open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines[100:])
        training = live.until("training.started")
        note = live.until("training.short_span")
        live.until("model.serving")
    assert said.items() <= training.items()
    assert "a daily cycle" in note["reason"]
    store = Store(clock.home / "models2")
    np.testing.assert_array_equal(store.load(store.active()).model.rows, expected)


def test_many_more_rows_than_the_window_are_a_sample(clock):
    clock.write(training={"warmup": "10h", "window": 100})
    done = ran(clock, timed(900))
    assert logged(done, "training.started")[0]["rows"] == len(rows(clock)) == 100
    assert 600 < warming(clock) < 640


@pytest.mark.parametrize("kind", ["file", "stdin"])
def test_a_stream_that_ends_sooner_says_what_was_reached(clock, kind):
    lines = timed(60)
    if kind == "stdin":
        clock.write(source={"kind": "stdin", "path": None})
        done = clock.run("run", input="".join(f"{line}\n" for line in lines))
    else:
        done = ran(clock, lines)
    assert done.returncode == 0, done.stderr
    assert "no model    event times span 0.9 of 2 hours" in done.stdout
    (incomplete,) = logged(done, "warmup.incomplete")
    assert "span 0.9 of 2 hours" in incomplete["reason"]
    assert warming(clock) == 60


def test_what_is_held_is_all_judged(clock):
    clock.write(training={"on_warmup": "hold"})
    ran(clock, timed(600))
    assert warming(clock) == 0
    assert sum(map(len, clock.outputs().values())) == 600


def test_times_that_are_missing_never_end_it(clock):
    clock.lines(clock.events, events(300))
    done = clock.run("run")
    assert done.returncode == 0
    assert warming(clock) == 300
    assert "span 0 of 2 hours" in done.stdout
    assert "'ts'" in "".join(each["reason"] for each in logged(done, "config.warning"))


@pytest.mark.parametrize(
    ("training", "timestamp", "fix"),
    [
        ({"warmup": "7d"}, None, "set event.timestamp"),
        ({"warmup": "30s"}, "ts", 'from "1m" to "3650d"'),
        ({"warmup": "0d"}, "ts", 'from "1m" to "3650d"'),
        ({"warmup": "2000"}, "ts", 'like "7d"'),
        ({"warmup": "soon"}, "ts", 'like "7d"'),
        ({"warmup": "7d", "window": 5}, "ts", "training.window: 5 rows leave"),
    ],
)
def test_spans_that_cannot_be_are_one_line(clock, training, timestamp, fix):
    clock.lines(clock.events, timed(10))
    clock.write(training=training, event={"timestamp": timestamp})
    for command in ("run", "check"):
        done = clock.run(command)
        assert done.returncode == 78
        (line,) = (each for each in done.stderr.splitlines() if not each.startswith("{"))
        assert fix in line
        assert "training.w" in line


def test_check_and_backtest_know_spans(clock):
    lines = [json.dumps(json.loads(line) | {"label": 0}) for line in timed(600)]
    clock.lines(clock.events, lines)
    said = clock.run("check")
    assert said.returncode == 0, said.stderr
    assert "the first events, spanning 2h, at most 10,000 of them train one" in said.stdout
    told = clock.run("backtest", "--input", clock.events, "--label", "label", "--format", "json")
    assert told.returncode == 0, told.stderr
    ran(clock, lines)
    assert json.loads(told.stdout)["history"]["warmup"] == warming(clock)
    short = clock.lines(clock.home / "short.jsonl", lines[:60])
    clock.write(models={"directory": str(clock.home / "none")})
    refused = clock.run("backtest", "--input", short, "--label", "label")
    assert refused.returncode == 1
    assert "span 0.9 of 2 hours" in refused.stderr


def test_status_and_readyz_speak_in_time(clock):
    socket = clock.home / "s"
    clock.write(source={"follow": True}, server={"listen": f"unix:{socket}"})
    clock.lines(clock.events, timed(60))
    with start("run", "--config", clock.path) as service:
        try:
            for line in service.stderr:
                said = json.loads(line)
                if said["event"] == "warmup.progress" and said["hours_covered"] > 0.7:
                    break
            # The page follows when the turn is over.
            until(lambda: "0.9 of 2 hours of event time" in clock.run("status").stdout)
            told = clock.run("status")
        finally:
            service.terminate()
            service.communicate()
    assert "event times span" in told.stdout


def test_few_keys_that_may_give_few_rows_do_not_keep_the_model_away_for_good(clock):
    """More rows would not help: each key has given all that it may."""
    clock.write(training={"warmup": 60, "max_per_key": 2}, event={"timestamp": None})
    clock.lines(clock.events, timed(300))
    told = clock.run("check").stdout
    assert "WARNING   training.max_per_key: with fewer than 20 keys too few rows" in told
    done = ran(clock, timed(300))
    assert len(rows(clock)) == 60
    (told,) = logged(done, "training.max_per_key_ignored")
    assert (told["max_per_key"], told["keys"], told["rows"]) == (2, 7, 60)
    assert "14 rows leave" in told["reason"]
    assert warming(clock) == 60
    done = clock.run("fit", "--input", clock.events)
    assert done.returncode == 0, done.stderr
    assert "300 rows" in done.stdout
    assert "training.max_per_key_ignored" in done.stderr
    clock.write(training={"max_per_key": 20})
    done = clock.run("fit", "--input", clock.events)
    assert "140 rows" in done.stdout
    assert "ignored" not in done.stderr


def test_check_says_how_many_keys_the_first_rows_take(clock):
    clock.lines(clock.events, timed(10))
    clock.write(training={"warmup": 2000, "max_per_key": 50}, event={"timestamp": None})
    done = clock.run("check")
    assert "with fewer than 40 keys, training.max_per_key lets fewer train it" in done.stdout
    assert "WARNING" not in done.stdout
    clock.write(event={"key": None})
    assert (
        "training.max_per_key has no effect, because event.key is not set"
        in clock.run("check").stdout
    )
