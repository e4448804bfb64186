"""A model fits the features as they were declared, not only the names of their columns."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from tests.support.command import World
from tests.support.complaints import one_line

CLOCK = {"fn": "hour", "name": "clock"}


@pytest.fixture
def clocked(tmp_path):
    """A model that knows the hour, as `clock`."""
    world = World(tmp_path)
    world.write(event={"features": ["a", CLOCK], "timestamp": "t"}, server={"listen": ""})
    rng, start = np.random.default_rng(0), datetime(2026, 11, 2, tzinfo=UTC)
    lines = [
        json.dumps({"a": a, "t": (start + timedelta(minutes=9 * i)).isoformat()})
        for i, a in enumerate(rng.normal(size=1200).tolist())
    ]
    world.lines(world.events, lines)
    done = world.run("fit", "--input", world.events)
    assert done.returncode == 0, done.stderr
    return world


def test_a_function_that_changed_under_its_name_is_refused(clocked):
    (manifest,) = (clocked.home / "models").glob("*/manifest.json")
    content = json.loads(manifest.read_text())
    assert content["declared"] == ["a", CLOCK]
    for change in ({"fn": "weekday"}, {"zone": "Europe/Berlin"}):
        clocked.write(event={"features": ["a", CLOCK | change]})
        inside = ", ".join(f'{key} = "{value}"' for key, value in (CLOCK | change).items())
        one_line(
            clocked.run("report"),
            78,
            f"event.features: 'clock' is {{{inside}}}, "
            'and {fn = "hour", name = "clock"} in model '
            f"{content['version']}; restore it, or run `detectd fit`",
        )
        one_line(clocked.run("run"), 78, "event.features: 'clock' is ")
    clocked.write(event={"features": ["a", CLOCK]})
    assert clocked.run("run").returncode == 0


def test_a_model_of_an_earlier_version_is_read_as_before(clocked):
    (manifest,) = (clocked.home / "models").glob("*/manifest.json")
    content = json.loads(manifest.read_text())
    del content["declared"]
    manifest.write_text(json.dumps(content))
    assert clocked.run("run").returncode == 0
    clocked.write(event={"features": ["a", CLOCK | {"fn": "weekday"}]})
    assert clocked.run("report").returncode == 0  # nobody can tell
    clocked.write(event={"features": ["a"]})
    one_line(clocked.run("report"), 78, "event.features: ['a'] are not those of model")
