"""Runs that are killed at a moment, and those that nobody interferes with."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import time

from tests.support.command import start


def undisturbed(world):
    """The outputs of a run that nobody interferes with."""
    out = world.config["sink"]["directory"]
    world.write(sink={"directory": f"{out}-undisturbed"})
    assert world.run("run").returncode == 0
    calm = world.home / "out-undisturbed"
    expected = {path.name: path.read_bytes() for path in calm.glob("*.jsonl")}
    world.write(sink={"directory": out})
    return expected


def kill_at(world, size):
    """Run until the outputs have `size` bytes, committed or not, then kill -9. True if killed."""
    with start("run", "--config", world.path, stdout=subprocess.DEVNULL, stderr=None) as process:
        deadline = time.monotonic() + 60
        while process.poll() is None:
            assert time.monotonic() < deadline
            if sum(path.stat().st_size for path in world.out.glob("*.jsonl")) >= size:
                process.send_signal(signal.SIGKILL)
            time.sleep(0.001)
    return process.returncode == -signal.SIGKILL


def with_little_space(world, *command, limit):
    """Run a command that can write `limit` bytes of each file, as if the disk were full then.

    It reads its configuration from a pipe, which is empty until the limit is set.
    """
    pipe = world.home / "configuration"
    os.mkfifo(pipe)
    with start(*command, "--config", pipe) as process:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (limit, limit))
        pipe.write_bytes(world.path.read_bytes())
        out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def assert_same_after_kills(world, expected, seed):
    """Kill runs at random moments, let one end, and hold the outputs against `expected`."""
    total = sum(map(len, expected.values()))
    moments = random.Random(seed)
    sizes = sorted([1, *(moments.randrange(total) for _ in range(4))])
    kills = sum(kill_at(world, size) for size in sizes)
    assert kills >= 3  # one may come when the run has just ended
    assert world.run("run").returncode == 0
    assert outputs(world) == expected


def outputs(world):
    """The bytes of each output."""
    return {path.name: path.read_bytes() for path in world.out.glob("*.jsonl")}
