"""A key that stops is told once, and once more when it is back; through the real command."""

import json

import pytest

from tests.support.complaints import one_line
from tests.support.fleet_events import fleet_events
from tests.support.live import running
from tests.support.waiting import until

ASKED = {
    "event": {"key": "host", "timestamp": "t"},
    "keys": {"silent_after": "2m"},
    "topics": {"alerts": "alerts"},
}


@pytest.fixture
def watching(fitted):
    fitted.write(server={"listen": ""}, **ASKED)
    return fitted


def alerts(world):
    path = world.out / "alerts.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_host_that_stops_and_one_that_comes_back(watching):
    silent = [(3, 20, 60), (4, 50, 10**6), (5, 30, 35)]  # the last is too short to be told
    watching.lines(watching.events, fleet_events(100, silent=silent))
    done = watching.run("run")
    assert done.returncode == 0, done.stderr
    told = alerts(watching)
    assert [(each["state"], each["key"]) for each in told] == [
        ("open", "h3"),
        ("close", "h3"),
        ("open", "h4"),
    ]
    opened, closed, other = told
    assert opened["id"] == closed["id"] != other["id"]
    assert opened | {"summary": ""} == {
        "id": opened["id"],
        "kind": "silence",
        "state": "open",
        "key": "h3",
        "since": "2025-10-09T08:56:30.003Z",
        "until": None,
        "severity": "warning",
        "summary": "",
        "events": 20,
        "silent_after": "2m",
    }
    assert opened["summary"] == ("h3: silent for more than 2m, last event 2025-10-09T08:56:30.003Z")
    assert closed["summary"] == "h3: back after 0:06:50"
    assert closed["reason"] == "returned"
    assert closed["until"] == "2025-10-09T09:03:20.003Z"


def test_outputs_do_not_depend_on_batches_nor_on_a_stop_in_the_middle(watching):
    silent = [(host, 10 * host, 10 * host + 17) for host in range(6)]
    lines = fleet_events(70, silent=silent)
    watching.lines(watching.events, lines)
    assert watching.run("run").returncode == 0
    whole = (watching.out / "alerts.jsonl").read_bytes()
    assert whole.count(b"\n") == 10  # a host that nobody has seen yet cannot stop
    for size in (1, 37):
        watching.write(
            sink={"directory": f"{watching.home}/out-{size}"}, source={"batch_records": size}
        )
        assert watching.run("run").returncode == 0
        assert (watching.out / "alerts.jsonl").read_bytes() == whole
    watching.write(sink={"directory": f"{watching.home}/out-parts"})
    for part in range(60, len(lines) + 60, 60):
        watching.lines(watching.events, lines[:part])
        assert watching.run("run").returncode == 0
    assert (watching.out / "alerts.jsonl").read_bytes() == whole


def test_before_there_is_a_model_and_beside_features_with_a_memory_it_is_the_same(watching):
    watching.lines(watching.events, fleet_events(60, silent=[(3, 20, 50)]))
    assert watching.run("run").returncode == 0
    expected = alerts(watching)
    assert len(expected) == 2
    watching.write(models={"directory": f"{watching.home}/fresh"}, training={"warmup": 5000})
    watching.write(sink={"directory": f"{watching.home}/out-warming"})
    assert watching.run("run").returncode == 0
    assert not watching.outputs()["normal"]
    assert alerts(watching) == expected
    watching.write(
        models={"directory": f"{watching.home}/history"},
        sink={"directory": f"{watching.home}/out-history"},
        event={"features": ["a", {"of": "b", "fn": "mean", "window": 5}]},
    )
    assert watching.run("run").returncode == 0
    assert alerts(watching) == expected


def test_if_nothing_comes_at_all_the_clock_tells_and_tells_once(watching):
    watching.write(keys={"silent_after": "1s"})
    with running(watching) as live:
        live.feed(fleet_events(1, hosts=2))
        until(lambda: len(alerts(watching)) == 2)
    # A restart has told them already.
    with running(watching) as live:
        live.feed(fleet_events(2, hosts=1)[1:])
        until(lambda: len(alerts(watching)) == 4)
    told = alerts(watching)
    assert [(each["state"], each["key"]) for each in told] == [
        ("open", "h0"),
        ("open", "h1"),
        ("close", "h0"),
        ("open", "h0"),
    ]
    assert told[0]["id"] == told[2]["id"] != told[3]["id"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"event": {"key": None}}, "keys.silent_after: needs a key; set event.key"),
        ({"event": {"timestamp": None}}, "keys.silent_after: needs the event's time; set"),
        ({"topics": {"alerts": None}}, "keys.silent_after: silences are written as"),
        ({"keys": {"silent_after": "soon"}}, "keys.silent_after: must be a span of event time"),
        ({"keys": {"silent_after": "0s"}}, "keys.silent_after: must be a span of event time"),
    ],
)
def test_what_it_takes_is_said_in_a_line(watching, changes, words):
    watching.write(**changes)
    one_line(watching.run("run"), 78, words)
