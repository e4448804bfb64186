"""Features of a key's past through the real command: what a person declares, and is told."""

import json
import re

import numpy as np
import pytest

from tests.support.command import World
from tests.support.complaints import one_line

LAG = {"of": "v", "fn": "lag"}


def reports(count=400):
    """Events of two metrics of two hosts, in turn; the last of them is far out."""
    values = np.random.default_rng(0).normal(50, 1, count)
    values[-1] = 500.0
    return [
        json.dumps(
            {
                "at": 1_800_000_000 + 10 * i,
                "host": f"h{i // 2 % 2}",
                "metric": "cpu" if i % 2 else "disk",
                "status": "ok" if i % 7 else "slow",
                "v": value,
            }
        )
        for i, value in enumerate(values.tolist())
    ]


@pytest.fixture
def world(tmp_path):
    """Events, and a configuration with a feature of a key's past."""
    world = World(tmp_path)
    world.lines(world.events, reports())
    world.write(
        event={"features": ["v", LAG], "timestamp": "at", "key": ["host", "metric"]},
        training={"warmup": 200},
        server={"listen": ""},
    )
    return world


def test_a_key_of_two_fields_has_a_past_of_its_own(world):
    assert world.run("fit", "--input", world.events).returncode == 0
    done = world.run("run")
    assert done.returncode == 0, done.stderr
    outputs = [each for topic in world.outputs().values() for each in topic]
    assert len(outputs) == 400
    keys = {f'["{host}","{metric}"]' for host in ("h0", "h1") for metric in ("cpu", "disk")}
    assert {each["key"] for each in outputs} == keys
    firsts = [each["id"] for each in outputs if "imputed" in each]
    assert sorted(firsts) == [f"events.jsonl:{line}" for line in (1, 2, 3, 4)]
    (told,) = [
        line for line in world.run("anomalies").stdout.splitlines() if "events.jsonl:400" in line
    ]
    assert "v 500" in told
    assert "missing" not in told


def test_explanations_name_calculated_features_without_calling_them_missing(world):
    world.write(output={"explain": True})
    assert world.run("fit", "--input", world.events).returncode == 0
    assert world.run("run").returncode == 0
    listed = world.run("anomalies").stdout
    assert "missing" not in listed
    assert re.search(
        r"\bv_lag \d[\d.]*, expected 4\d[\d.]* \(|\bv_lag \d[\d.]*, expected 5\d", listed
    )
    assert re.search(r"\bv 500, expected (49|50)[\d.]* \(", listed)


def test_a_surprise_is_explained_by_what_its_key_usually_has(world):
    level = {"of": "v", "fn": "mean", "window": 2, "surprise": True, "name": "level"}
    world.write(event={"features": [level, {"of": "v", "fn": "series"}]}, output={"explain": True})
    world.write(detector={"name": "TailSum"})
    assert world.run("fit", "--input", world.events).returncode == 0
    assert world.run("run").returncode == 0
    (last,) = [each for each in world.outputs()["anomaly"] if each["event"]["v"] == 500]
    off = last["explanation"]["off"]
    assert off["level"]["way"] == "high"
    assert off["level"]["value"] == pytest.approx(275, abs=3)
    assert off["level"]["expected"] == pytest.approx(50, abs=1)
    assert off["v_series"]["way"] == "high"
    assert off["v_series"]["column"].startswith("v_series_")
    assert "level 27" in world.run("anomalies").stdout


def test_categories_by_the_training_rows(world):
    """A status that no training row has, of a key like any other: the numbers are usual."""
    strange = json.loads(reports()[-2]) | {"status": "on fire"}
    world.lines(world.home / "training.jsonl", reports()[:-1])
    world.lines(world.events, [*reports()[:-1], json.dumps(strange)])
    world.write(
        event={
            "features": [
                {"of": "status", "fn": "onehot", "top": 2},
                "v",
                {"of": "status", "fn": "rarity", "by": "training"},
            ]
        },
        output={"explain": True},
    )
    done = world.run("fit", "--input", world.home / "training.jsonl")
    assert done.returncode == 0, done.stderr
    assert "detectd: status_onehot_2: ok 8" in done.stderr
    assert "in units of: status_onehot_2=ok 1, status_onehot_2=slow 1, " in done.stderr
    assert world.run("run").returncode == 0
    (found,) = [each for each in world.outputs()["anomaly"] if each["event"]["status"] == "on fire"]
    assert next(iter(found["explanation"]["features"])).startswith("status_")


def memory(world):
    done = world.run("check")
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("memory")]
    return [int(number.replace(",", "")) for number in re.findall(r"([\d,]+) MiB", line)]


def test_check_counts_the_keys_of_a_file_and_of_each_partition(world):
    """A row of 56 bytes, an eighth more, and 512 for a name: 55 MiB for a hundred thousand."""
    (many,) = memory(world)
    world.write(keys={"max": 1})
    (one,) = memory(world)
    assert 54 <= many - one <= 56
    world.write(
        keys={"max": 100_000},
        source={"kind": "kafka", "topics": ["events"], "path": None},
        sink={"kind": "kafka", "directory": None},
        kafka={"bootstrap_servers": ["localhost:9"], "group_id": "g"},
        topics={name: name for name in ("normal", "anomaly", "abstain", "dead_letter", "keys")},
    )
    _, each_partition = memory(world)
    assert each_partition in {54, 55}


def warnings(world):
    done = world.run("check")
    assert done.returncode == 0, done.stderr
    return [line for line in done.stdout.splitlines() if line.startswith("WARNING")]


def test_what_has_no_effect_is_said(world):
    assert warnings(world) == []
    world.write(keys={"late": "abstain", "idle": "1d"}, event={"timestamp": None})
    late, idle = sorted(warnings(world), reverse=True)
    assert late.startswith(
        "WARNING   keys.late has no effect, because events have no time; set event.ti"
    )
    assert idle.startswith(
        "WARNING   keys.idle has no effect, because events have no time; set event.ti"
    )
    world.write(keys={"late": None, "idle": None, "min_events": 3}, event={"features": ["v"]})
    (unused,) = warnings(world)
    assert unused.startswith("WARNING   keys.min_events has no effect: no feature uses")
    world.write(
        keys={"silent_after": "10m"}, event={"timestamp": "at"}, topics={"alerts": "alerts"}
    )
    assert warnings(world) == []


def test_without_a_key_all_events_are_one(world):
    assert "all events share one key" not in world.run("check").stdout
    world.write(event={"key": None})
    said = world.run("check").stdout
    assert "feature   all events share one key, because event.key is not set" in said


def test_a_sum_of_what_has_units_is_warned_of(world):
    world.write(detector={"name": "TailSum"})
    (told,) = warnings(world)
    assert "TailSum adds up surprises, and v, v_lag are not; use a function with surpr" in told
    world.write(event={"features": [LAG | {"surprise": True}, {"of": "status", "fn": "rarity"}]})
    assert warnings(world) == []


@pytest.mark.parametrize(
    ("feature", "said"),
    [
        ({"of": "v", "fn": "avg", "window": 5}, "unknown function 'avg'; did you mean 'mean'?"),
        ({"of": "v", "fn": "mean", "windw": 5}, "takes no 'windw'; did you mean 'window'?"),
        (
            {"of": "v", "fn": "median", "window": 100_000},
            "takes 1,600,008 bytes per key, more than",
        ),
        ({"of": "vv", "fn": "lag"}, "feature 'vv' is missing; did you mean 'v'?"),
        ({"of": "host", "fn": "lag"}, "feature 'host' is text, not a number: 'h0'"),
    ],
)
def test_mistakes_are_said_in_one_line(world, feature, said):
    world.write(event={"features": ["v", feature]})
    one_line(world.run("check"), 78, said)
