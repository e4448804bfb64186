"""Killed, or out of disk, at any moment: what is there in the end is what should be there."""

import pytest

from tests.support.command import events
from tests.support.crashes import (
    assert_same_after_kills,
    kill_at,
    outputs,
    undisturbed,
    with_little_space,
)

EVENTS = 12_000
WELL_INTO_THE_WARMUP = 300_000  # bytes, of about 1,000,000


@pytest.fixture
def world(fitted):
    fitted.write(source={"batch_records": 200}, log={"level": "error"})
    fitted.lines(fitted.events, events(EVENTS, poison=0.01))
    return fitted


def test_killed_at_random_moments_the_outputs_are_byte_identical(world):
    expected = undisturbed(world)
    assert_same_after_kills(world, expected, 5)


def test_killed_while_warming_up_no_event_is_lost_and_the_model_is_the_same(world):
    world.write(models={"directory": str(world.home / "fresh")}, training={"warmup": 5000})
    expected = undisturbed(world)
    world.write(models={"directory": str(world.home / "again")})
    assert kill_at(world, WELL_INTO_THE_WARMUP)
    assert world.run("run").returncode == 0
    (fresh,), (again,) = (versions(world, name) for name in ("fresh", "again"))
    assert fresh.split("-")[1] == again.split("-")[1]
    for name, content in outputs(world).items():
        assert content.replace(again.encode(), fresh.encode()) == expected[name], name


def versions(world, name):
    return sorted(p.name for p in (world.home / name).iterdir() if p.is_dir())


def test_a_full_disk_ends_the_run_and_a_rerun_completes_it(world):
    expected = undisturbed(world)
    limit = len(expected["normal.jsonl"]) // 2
    done = with_little_space(world, "run", limit=limit)
    assert done.returncode == 1, done.stderr
    complaint = [line for line in done.stderr.splitlines() if line.startswith("detectd: ")]
    assert len(complaint) == 1
    assert str(world.out) in complaint[0]
    assert outputs(world) != expected
    assert world.run("run").returncode == 0
    assert outputs(world) == expected
