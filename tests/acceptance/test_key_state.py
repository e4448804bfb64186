"""What is remembered of keys, through the real command: whatever happens, the outputs are those of
a run that nobody interferes with."""

import json
import random
import shutil

import pytest

from tests.support.command import World
from tests.support.complaints import one_line
from tests.support.crashes import (
    assert_same_after_kills,
    outputs,
    undisturbed,
    with_little_space,
)
from tests.support.fleet_events import fleet_events

TURNS = 1000
SWITCHED = 3000
SILENT = [(host, 100 + 90 * host, 130 + 100 * host) for host in range(5)]
FEATURES = [
    "a",
    {"of": "a", "fn": "series", "set": "light"},
    {"of": "b", "fn": "mean", "window": "1m"},
    {"of": "b", "fn": "lag"},
    {"fn": "count", "window": "1m"},
]
ASKED = {
    "event": {"features": FEATURES, "key": "host", "timestamp": "t"},
    "keys": {"silent_after": "2m", "min_events": 5, "late": "abstain"},
    "topics": {"alerts": "alerts"},
    # Alarms of drift are told before silences of the same commit, wherever that is cut.
    "drift": {"average_run_length": 1e12},
    "server": {"listen": ""},
    "log": {"level": "error"},
}


def lines(turns=TURNS, seed=0):
    """Events of six hosts that stop now and then; some are late, and some unreadable."""
    made = fleet_events(turns, seed=seed, silent=SILENT, poison=0.01)
    rng = random.Random(seed)
    for _ in range(len(made) // 50):
        place = rng.randrange(len(made) - 30)
        made.insert(place + rng.randrange(1, 30), made.pop(place))
    return made


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """The models of one fit, to be copied."""
    world = World(tmp_path_factory.mktemp("remembering"))
    world.write(**ASKED)
    world.lines(world.home / "training.jsonl", lines(400, seed=1))
    done = world.run("fit", "--input", world.home / "training.jsonl")
    assert done.returncode == 0, done.stderr
    return world.home / "models"


@pytest.fixture
def remembering(world, store):
    shutil.copytree(store, world.home / "models")
    world.write(source={"batch_records": 100}, **ASKED)
    world.lines(world.events, lines())
    return world


def again(world, name):
    """Other outputs, and nothing remembered."""
    world.write(sink={"directory": f"{world.home}/out-{name}"})
    return world


def test_killed_at_random_moments_the_outputs_are_byte_identical(remembering):
    expected = undisturbed(remembering)
    assert expected["alerts.jsonl"].count(b"\n") == 2 * len(SILENT)
    for reason in (b"warming_up", b"late"):
        assert b'"reason":"%s"' % reason in expected["abstain.jsonl"]
    assert_same_after_kills(remembering, expected, 7)


def test_the_outputs_do_not_depend_on_where_batches_are_cut(remembering):
    remembering.lines(remembering.events, lines(150))
    expected = undisturbed(remembering)
    for size in (1, 500):
        again(remembering, size).write(source={"batch_records": size})
        assert remembering.run("run").returncode == 0
        assert outputs(remembering) == expected


def test_a_model_after_a_warm_up_goes_on_with_what_is_remembered(remembering):
    """The same events by the same model, once fitted in the run and once before it."""
    remembering.write(models={"directory": f"{remembering.home}/fresh"}, training={"warmup": 3000})
    assert remembering.run("run").returncode == 0
    warmed = outputs(remembering)
    again(remembering, "fitted")
    assert remembering.run("run").returncode == 0
    fitted = outputs(remembering)
    judged = [json.loads(line)["id"] for line in warmed["normal.jsonl"].splitlines()]
    assert 1000 < len(judged) < 3500
    assert set(warmed["normal.jsonl"].splitlines()) < set(fitted["normal.jsonl"].splitlines())
    assert warmed["alerts.jsonl"] == fitted["alerts.jsonl"]


def test_if_features_change_the_others_go_on_with_what_they_remember(remembering):
    """A run that had the same features from the beginning gives the same to those that stayed."""
    other = [*FEATURES[:-1], {"of": "b", "fn": "max", "window": 9}]
    half, whole = lines()[:SWITCHED], lines()
    remembering.lines(remembering.events, half)
    assert remembering.run("run").returncode == 0
    remembering.lines(remembering.events, whole)
    remembering.write(
        event={"features": other},
        models={"directory": str(remembering.home / "models")},
        log={"level": "info", "format": "json"},
    )
    one_line(remembering.run("run"), 78, "event.features")
    remembering.lines(remembering.home / "training.jsonl", lines(400, seed=1))
    done = remembering.run("fit", "--input", remembering.home / "training.jsonl")
    assert done.returncode == 0, done.stderr
    done = remembering.run("run")
    assert done.returncode == 0, done.stderr
    (said,) = [
        each
        for each in map(json.loads, done.stderr.splitlines())
        if each["event"] == "keys.features_changed"
    ]
    assert len(said["begin"]) == len(said["dropped"]) == 1
    assert said["kept"]
    switched = answers(remembering)
    again(remembering, "from-the-beginning")
    assert remembering.run("run").returncode == 0
    # Nine events of each host later the new feature knows all that it ever would.
    after = SWITCHED + 6 * 12
    late = {where: out for where, out in answers(remembering).items() if where > after}
    assert len(late) > 2000
    assert {where: out for where, out in switched.items() if where > after} == late


def answers(world):
    """The outputs of events, by the line of the event."""
    lines = b"".join(value for name, value in outputs(world).items() if "alert" not in name)
    found = map(json.loads, lines.splitlines())
    return {int(each["id"].rpartition(":")[2]): each for each in found}


def the_log(world):
    (path,) = (world.home / "models").glob("keys-*.log")
    return path


def test_a_damaged_log_is_refused_in_a_line_and_nothing_is_touched(remembering):
    events = lines()
    remembering.lines(remembering.events, events[:3000])
    assert remembering.run("run").returncode == 0
    before, log = outputs(remembering), the_log(remembering)
    sound = log.read_bytes()
    remembering.lines(remembering.events, events)
    flipped = bytearray(sound)
    flipped[len(sound) // 2] ^= 1
    for damaged in (bytes(flipped), sound[:-1], b""):
        log.write_bytes(damaged)
        one_line(
            remembering.run("run"),
            78,
            f"{log} is damaged at byte ",
            "replace it with an intact copy",
        )
        assert outputs(remembering) == before
        assert log.read_bytes() == damaged
    log.write_bytes(sound)
    assert remembering.run("run").returncode == 0
    after = outputs(remembering)
    again(remembering, "undisturbed")
    assert remembering.run("run").returncode == 0
    assert outputs(remembering) == after


def test_a_full_disk_ends_the_run_and_a_rerun_completes_it(remembering):
    expected = undisturbed(remembering)
    limit = len(expected["normal.jsonl"]) // 3
    done = with_little_space(remembering, "run", limit=limit)
    one_line(done, 1, "cannot be written")
    assert outputs(remembering) != expected
    assert remembering.run("run").returncode == 0
    assert outputs(remembering) == expected
