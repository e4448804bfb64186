"""Records made to break it, through every command that reads them: no traceback, nothing lost."""

import json

import pytest

from tests.support.command import detectd, events


def nested(deep):
    """An event with a key nested so deep; one from 971 to 993 could be read, not written again."""
    return '{"a": 0.1, "b": 0.2, "truth": 0, "host": %s}' % ('{"k":' * deep + "0" + "}" * deep)


DEEP = (126, 127, 128, *range(971, 994), 5_000)
HOSTILE = [
    *map(nested, DEEP),
    '{"a": 1e160, "b": -1e300, "truth": 1, "host": "far"}',
    '{"a": 1e160, "b": 0, "truth": 1, "host": "\\ud83d\\u0000"}',
    '{"a": 1' + "0" * 5_000 + ', "b": 0, "truth": 1, "host": 1}',
    '{"a": 0, "b": 0, "truth": 0, "host": 1' + "0" * 5_000 + "}",
    "[" * 50_000,
    '"' + "\\" * 10_001,
    '{"a": 0, "b": 0, "truth": 0, "host": "x", "host": {}, "a": 0}',
]
DEAD = {"decode", "features"}


@pytest.fixture
def hostile(world):
    world.write(event={"key": "host"}, output={"explain": True})
    plain = [json.dumps(json.loads(each) | {"truth": 0}) for each in events(300, 2)]
    world.lines(world.events, [*plain[:150], *HOSTILE, *plain[150:]])
    assert world.fit().returncode == 0
    return world


def test_no_event_ends_a_command(hostile):
    commands = [
        ["run"],
        ["dead-letters", "list"],
        ["dead-letters", "replay"],
        ["dead-letters", "list", "--all"],
        ["anomalies", "--last", "50"],
        ["anomalies", "--by", "key"],
        ["report"],
        ["backtest", "--input", hostile.events, "--label", "truth"],
        ["backtest", "--input", hostile.events, "--label", "truth", "--sweep", "T=3,8"],
        ["fit", "--input", hostile.events, "--no-activate"],
        ["init", "--input", hostile.events, "-o", "-"],
        *(["tap", "--verdict", topic, "--last", "20", "--n", "1", "--format", form]
          for topic in ("anomaly", "dead_letter") for form in ("json", "text")),
    ]  # fmt: skip
    for command in commands:
        done = hostile.run(*command) if command[0] != "init" else detectd(*command)
        allowed = {0, 1, 2} if command[0] in {"fit", "init"} else {0}
        assert done.returncode in allowed, (command, done.stderr)
        assert "Traceback" not in done.stdout + done.stderr, command
        assert "Error: " not in done.stderr, (command, done.stderr)
    outputs = hostile.outputs()
    places = sorted(
        int(each["id"].rpartition(":")[2])
        for topic, found in outputs.items()
        for each in found[: len(found) // 2 if topic == "dead_letter" else None]
    )
    assert places == list(range(1, 301 + len(HOSTILE)))
    letters = outputs["dead_letter"]
    assert {each["stage"] for each in letters} <= DEAD
    too_deep = [each for each in letters if "source.max_depth = 128" in each["error"]]
    assert len(too_deep) == 2 * (len([deep for deep in DEEP if deep > 127]) + 1)
    far = [each for each in outputs["anomaly"] if each["reason"] == "score_not_finite"]
    assert [each["score"] for each in far] == [None, None]
    assert {each["p_value"] for each in far} == {1 / 501}
