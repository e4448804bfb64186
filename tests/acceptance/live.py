"""A service that runs while the test changes the world around it."""

from __future__ import annotations

import json
import signal
from contextlib import contextmanager

from acceptance.command import start


class Live:
    """The real service over a followed file; what it logs is read as it comes."""

    def __init__(self, world, process):
        self.world = world
        self.process = process
        self.said = []

    def until(self, event, **fields):
        """Wait for a log line; returns it."""
        for line in self.process.stderr:
            self.said.append(json.loads(line))
            found = self.said[-1]
            if found["event"] == event and all(found.get(k) == v for k, v in fields.items()):
                return found
        raise AssertionError(f"no {event}: {self.said}")

    def feed(self, lines, answers=None):
        """Append events to the file, and wait until so many are answered: as many by default."""
        with self.world.events.open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
        left = answers or len(lines)
        while left > 0:
            left -= self.until("batch")["records"]

    def hang_up(self, **changes):
        """Change the configuration and tell the service; returns what it makes of it."""
        self.world.write(**changes)
        self.process.send_signal(signal.SIGHUP)
        for line in self.process.stderr:
            self.said.append(json.loads(line))
            if self.said[-1]["event"].startswith("config."):
                return self.said[-1]
        raise AssertionError(f"no answer: {self.said}")


@contextmanager
def running(world):
    """The service over a followed file, ready; in the end it is stopped, and exits with 0."""
    world.write(
        source={"follow": True, "batch_seconds": 0.05},
        log={"format": "json"},
        server={"listen": ""},
    )
    world.events.touch()
    with start("run", "--config", world.path) as process:
        live = Live(world, process)
        live.until("service.started")
        try:
            yield live
        finally:
            process.terminate()
            live.said += map(json.loads, process.stderr)
        assert process.wait() == 0, live.said
