"""Streams that change, and what the models that follow them leave behind."""

from __future__ import annotations

import json
import re
import signal
import subprocess

from tests.support.command import events, start

ON_DRIFT = {"refit": "on_drift", "warmup": 600, "window": 1000, "cooldown_events": 100}
EVERY = {"refit": "every", "every_events": 700, "warmup": 500, "window": 800, "cooldown_events": 0}
# So that a few hundred rows make a model that can give all verdicts.
QUICK = {"T": 8.0}


def shifted(count, seed, by=4.0):
    """Return events whose first feature has moved by `by`."""
    fields = map(json.loads, events(count, seed))
    return [json.dumps(event | {"a": event["a"] + by}) for event in fields]


def verdicts(world):
    """The outputs without the names of the models, which tell when they were made."""
    return {
        topic: [re.sub(rb'"model":"[^"]*"', b"", line) for line in content.splitlines()]
        for topic, content in world.raw_outputs().items()
    }


def events_logged(done, name):
    """Return the log lines of that event."""
    return [json.loads(line) for line in done.stderr.splitlines() if f'"event": "{name}"' in line]


def branch(world, name):
    """The same models and events, another sink; the models that are made later are its own."""
    models = world.home / f"models-{name}"
    subprocess.run(["cp", "-r", world.home / "models", models], check=True)
    world.write(sink={"directory": str(world.home / name)}, models={"directory": str(models)})


def killed_after(world, event, times):
    """Run until it has logged `event` so many times, then kill -9. False where it ends before."""
    debug = {"DETECTD_LOG__LEVEL": "debug"}
    command = ("run", "--config", world.path)
    with start(*command, env=debug, stdout=subprocess.DEVNULL) as process:
        for line in process.stderr:
            times -= json.loads(line)["event"] == event
            if not times:
                process.send_signal(signal.SIGKILL)
                return True
    return False
