"""A nightly job through the real command: from the third night on it is routine."""

import json

import numpy as np
import pytest

from tests.support.command import World
from tests.support.complaints import one_line
from tests.support.crashes import assert_same_after_kills, outputs, undisturbed

BEGIN, HALF_HOUR, DAY = 1_800_014_400, 1800, 86_400  # at 12:00 UTC
NIGHTS = [30.0, 31.0, 30.0, 29.5, 30.0, 45.0, 30.0]
AFTERNOON = 6


def day(number, host, job=None, afternoon=None):
    """One value each half hour; a backup from 2 to 3 o'clock, and something else at 14."""
    noise = np.random.default_rng((number, host == "db"))
    for i, value in enumerate(noise.normal(5, 1, 48).tolist()):
        at = number * DAY + i * HALF_HOUR
        cpu = job if job and i in {28, 29} else value
        cpu = afternoon if afternoon and i == 4 else cpu
        yield {"t": BEGIN + at, "host": host, "cpu": cpu}


def fleet(nights, afternoon=None):
    """Two hosts, of which one has a nightly job."""
    made = []
    for number, job in enumerate(nights):
        strange = 30.0 if number == afternoon else None
        db, web = day(number, "db", job, strange), day(number, "web")
        made += [json.dumps(each) for pair in zip(db, web, strict=True) for each in pair]
    return made


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    world.lines(world.events, fleet(NIGHTS, AFTERNOON))
    world.lines(world.home / "training.jsonl", fleet([None] * 20))
    world.write(
        source={"batch_records": 50},
        event={"features": ["cpu"], "key": "host", "timestamp": "t"},
        keys={"routine": True},
        detector={"name": "KNN", "contamination": 0.01},
        rejector={"T": 4.0},
        server={"listen": ""},
    )
    done = world.run("fit", "--input", world.home / "training.jsonl")
    assert done.returncode == 0, done.stderr
    return world


def of_the_job(world):
    """The verdicts and reasons on values that no host has otherwise, in order."""
    found = [each for topic in world.outputs().values() for each in topic]
    far = [each for each in found if each["event"]["cpu"] > 20]
    far.sort(key=lambda each: each["event"]["t"])
    return [(each["event"]["cpu"], each["verdict"], each["reason"]) for each in far]


def test_the_third_night_is_routine_and_a_larger_peak_is_not(world):
    world.write(keys={"routine": None})
    assert world.run("run").returncode == 0
    every = of_the_job(world)
    assert [each[1:] for each in every] == [("anomaly", None)] * 15
    world.write(keys={"routine": True}, sink={"directory": f"{world.home}/routine"})
    assert world.run("run").returncode == 0
    alarm, routine = ("anomaly", None), ("normal", "routine")
    nights = [alarm, alarm, routine, routine, routine, alarm, routine]
    expected = [(job, *night) for job, night in zip(NIGHTS, nights, strict=True) for _ in range(2)]
    expected.insert(2 * AFTERNOON, (30.0, *alarm))
    assert of_the_job(world) == expected


def test_a_routine_verdict_counts_neither_for_nor_against_the_promise(world):
    assert world.run("run").returncode == 0
    counts = {name: len(found) for name, found in world.outputs().items()}
    assert sum(counts.values()) == 2 * 48 * len(NIGHTS)
    told = json.loads(world.run("report", "--format", "json").stdout)["observed"]
    assert told["normal"] == counts["normal"] - 8
    assert [told[name] for name in ("anomaly", "abstain")] == [counts["anomaly"], counts["abstain"]]


@pytest.mark.parametrize("features", [["cpu"], ["cpu", {"of": "cpu", "fn": "mean", "window": 3}]])
def test_killed_at_random_moments_the_outputs_are_byte_identical(world, features):
    world.write(event={"features": features}, source={"batch_records": 20})
    done = world.run("fit", "--input", world.home / "training.jsonl")
    assert done.returncode == 0, done.stderr
    expected = undisturbed(world)
    assert expected["normal.jsonl"].count(b'"reason":"routine"') >= 8
    assert_same_after_kills(world, expected, 3)
    world.write(source={"batch_records": 7}, sink={"directory": f"{world.home}/sevens"})
    assert world.run("run").returncode == 0
    assert outputs(world) == expected


def test_another_model_begins_again_and_TailSum_goes_on(world):
    """Half of the nights by one model, the rest by the next that `fit` made of the same rows."""
    # Two models of one second need more than that to have different names.
    for detector, nights in (("KNN", [0, 0, 2, 2, 0, 0, 2]), ("TailSum", [0, 0, 2, 2, 2, 0, 2])):
        world.write(
            sink={"directory": f"{world.home}/{detector}"},
            models={"directory": f"{world.home}/models-{detector}"},
        )
        whole = fleet(NIGHTS)
        for seed, count in enumerate((4 * 96, len(whole))):
            world.write(detector={"name": detector, "seed": seed})
            world.lines(world.events, whole[:count])
            done = world.run("fit", "--input", world.home / "training.jsonl")
            assert done.returncode == 0, done.stderr
            assert world.run("run").returncode == 0
        found = [reason for _, _, reason in of_the_job(world)]
        assert [found[2 * i : 2 * i + 2].count("routine") for i in range(len(NIGHTS))] == nights


def test_check_says_what_it_costs_and_what_it_lacks(world):
    told = world.run("check")
    assert told.returncode == 0, told.stderr
    (line,) = [line for line in told.stdout.splitlines() if "keys.routine" in line]
    assert line == (
        "feature   keys.routine: a score that its key reaches at this time of day on two of the "
        "last seven days is normal; complete after 1w of a key; 1,384 bytes per key"
    )
    world.write(event={"key": None})
    one_line(world.run("check"), 78, "keys.routine", "set event.key")
    world.write(event={"key": "host", "timestamp": None})
    one_line(world.run("check"), 78, "keys.routine", "set event.timestamp")
