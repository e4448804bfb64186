"""`make soak`: hours of events with reloads, refits and scrapes, and whether anything grows.

A service reads events from a pipe at a steady rate and writes verdicts to another. Every few
seconds it is told to reload with another threshold, and scraped; every so many events it refits.
Resident memory, descriptors and threads are read from /proc. `--minutes 1` is a short form.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import signal
import socket
import tempfile
import threading
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.piped import OURS, piped
from detectd.commands.demo_fleet import FEATURES, write_fleet

if TYPE_CHECKING:
    from benchmarks.piped import Piped

CONFIG = """
[source]
kind = "stdin"
batch_seconds = 0.1
[sink]
kind = "stdout"
[event]
features = {features}
[detector]
name = "IForest"
contamination = 0.02
[rejector]
T = {T}
[training]
refit = "every"
every_events = {refit_every}
cooldown_events = 0
window = 20000
[models]
directory = "{home}/models"
[server]
listen = "unix:{home}/socket"
[log]
level = "warning"
"""
RELOAD_SECONDS = 10
SAMPLE_SECONDS = 5
BURST = 50
STORED = 100_000


class Sample(NamedTuple):
    """What the service takes at one moment."""

    seconds: float
    resident: int
    descriptors: int
    threads: int


def sample(pid: int, seconds: float) -> Sample:
    """From /proc, in kilobytes and counts."""
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return Sample(seconds, int(status["VmRSS"].split()[0]), descriptors, int(status["Threads"]))


class Soak:
    """One service under load."""

    def __init__(self, home: Path, rate: int, refit_every: int) -> None:
        self.home = home
        self.rate = rate
        self.refit_every = refit_every
        self.samples: list[Sample] = []
        self.fed = self.reloads = self.scrapes = 0
        self._stop = threading.Event()
        write_fleet(home / "events.jsonl", 1, 0, STORED)
        self._events = (home / "events.jsonl").read_bytes().splitlines(keepends=True)
        self._configure(32.0)

    @property
    def _config(self) -> Path:
        return self.home / "detectd.toml"

    def _configure(self, T: float) -> None:
        text = CONFIG.format(
            features=json.dumps(list(FEATURES)), T=T, home=self.home, refit_every=self.refit_every
        )
        self._config.write_text(text, encoding="utf-8")

    def run(self, minutes: float) -> int:
        """Feed for so long; everything else goes on beside. How many were answered in the end."""
        with piped(OURS, self._config) as service:
            beside = threading.Thread(target=self._disturb, args=(service,))
            beside.start()
            began = time.monotonic()
            for first in itertools.cycle(range(0, STORED, BURST)):
                now = time.monotonic() - began
                if now > 60 * minutes:
                    break
                time.sleep(max(0.0, self.fed / self.rate - now))
                service.write(b"".join(self._events[first : first + BURST]))
                self.fed += BURST
            self._stop.set()
            beside.join()
        return service.answered

    def _disturb(self, service: Piped) -> None:
        """Sample, scrape and reload until the end."""
        began = time.monotonic()
        thresholds = itertools.cycle((8.0, 32.0))
        for turn in itertools.count(1):
            if self._stop.wait(SAMPLE_SECONDS):
                return
            self.samples.append(sample(service.process.pid, time.monotonic() - began))
            self._scrape()
            if turn * SAMPLE_SECONDS % RELOAD_SECONDS == 0 and service.answered:
                self._configure(next(thresholds))
                service.process.send_signal(signal.SIGHUP)
                self.reloads += 1

    def _scrape(self) -> None:
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX) as scrape,
        ):
            scrape.connect(str(self.home / "socket"))
            scrape.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            while scrape.recv(1 << 16):
                pass
            self.scrapes += 1


def figures(soak: Soak, minutes: float, answered: int) -> dict[str, Any]:
    """What it came to; by quarters of the time after the first."""
    quarter = max(1, len(soak.samples) // 4)
    parts = [soak.samples[i : i + quarter] for i in range(0, 4 * quarter, quarter)]

    def by_quarter(name: str) -> list[float]:
        return [median(getattr(each, name) for each in part) for part in parts]

    resident = by_quarter("resident")
    models = [entry for entry in (soak.home / "models").iterdir() if entry.is_dir()]
    return {
        "minutes": minutes,
        "events fed": soak.fed,
        "events answered": answered,
        "events a second": round(soak.fed / minutes / 60),
        "reloads": soak.reloads,
        "scrapes": soak.scrapes,
        "models": len(models),
        "resident MB by quarter": [round(each / 1024, 1) for each in resident],
        "descriptors by quarter": by_quarter("descriptors"),
        "threads by quarter": by_quarter("threads"),
        "resident, last quarter of the second": round(resident[3] / resident[1], 3),
    }


def main() -> None:
    """Soak, and print what it came to."""
    asked = argparse.ArgumentParser()
    asked.add_argument("--minutes", type=float, default=60)
    asked.add_argument("--rate", type=int, default=5_000)
    asked.add_argument("--refit-every", type=int, default=500_000)
    given = asked.parse_args()
    with tempfile.TemporaryDirectory() as home:
        soak = Soak(Path(home), given.rate, given.refit_every)
        answered = soak.run(given.minutes)
        print(json.dumps(figures(soak, given.minutes, answered), indent=2))


if __name__ == "__main__":
    main()
