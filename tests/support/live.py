"""A service that runs while the test changes the world around it."""

from __future__ import annotations

import json
import signal
from contextlib import contextmanager

from tests.support.command import start


class Live:
    """The real service over a followed file; what it logs is read as it comes."""

    def __init__(self, world, process):
        self.world = world
        self.process = process
        self.said = []
        self._looked = 0
        self._answered = 0

    def until(self, event, **fields):
        """The next log line of that kind after the one that was waited for before."""
        return self._next(lambda said: said["event"] == event and fields.items() <= said.items())

    def feed(self, lines, answers=None):
        """Append events to the file, and wait until so many are answered: as many by default."""
        with self.world.events.open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
        self._answered += answers or len(lines)
        while self._answered > sum(s["records"] for s in self.said if s["event"] == "batch"):
            self._read()

    def hang_up(self, **changes):
        """Change the configuration and tell the service; returns what it makes of it."""
        self.world.write(**changes)
        self.process.send_signal(signal.SIGHUP)
        return self._next(lambda said: said["event"] in {"config.reloaded", "config.refused"})

    def _next(self, wanted):
        while True:
            while self._looked < len(self.said):
                self._looked += 1
                if wanted(self.said[self._looked - 1]):
                    return self.said[self._looked - 1]
            self._read()

    def _read(self):
        line = self.process.stderr.readline()
        assert line, self.said
        self.said.append(json.loads(line))


@contextmanager
def running(world):
    """The service over a followed file, ready; in the end it is stopped, and exits with 0."""
    world.write(
        source={"follow": True, "batch_seconds": 0.05},
        log={"format": "json", "level": "debug"},  # a line a batch
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


@contextmanager
def serving(world):
    """The service, following its file, until the end of the block."""
    world.write(
        source={"follow": True, "batch_seconds": 0.1},
        server={"listen": f"unix:{world.home}/detectd.sock"},
    )
    world.events.touch()
    with start("run", "--config", world.path) as service:
        try:
            for line in service.stderr:
                if "service.started" in line:
                    break
            yield service
        finally:
            service.send_signal(signal.SIGTERM)
            service.stderr.read()
            assert service.wait(timeout=60) == 0


def append(world, lines):
    """Append lines to the world's file of events."""
    with world.events.open("a") as file:
        file.write("".join(f"{line}\n" for line in lines))
