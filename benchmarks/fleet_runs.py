"""The real command over a simulated fleet: fitted on quiet days, then run, killed and run again."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import msgspec
from scipy import stats

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.fleet_stream import Fleet

DETECTD = (sys.executable, "-m", "detectd")
CONFIG = """\
[source]
kind = "file"
path = "stream.jsonl"
batch_records = 10000
[sink]
kind = "file"
directory = "out"
[topics]
alerts = "alerts"
[event]
key = "host"
timestamp = "time"
features = [{features}]
[detector]
name = "{detector}"
contamination = 0.0125
[models]
directory = "models"
[server]
listen = ""
[log]
format = "json"
"""
RAW = CONFIG.format(features='"cpu", "memory", "latency_ms"', detector="IForest")
# On a host's first day there is nothing yet to compare its time of day with, and on the second
# nothing to say how far off is far. Rows of these days would set the threshold.
SERIES = ", ".join(f'{{of = "{of}", fn = "series"}}' for of in ("cpu", "memory", "latency_ms"))
HISTORY = f"""\
{CONFIG.format(features=SERIES, detector="TailSum")}
[keys]
min_events = 288
silent_after = "1h"
"""


class Answer(msgspec.Struct):
    """What is read of an output record."""

    verdict: str
    key: str
    timestamp: int


class Promised(NamedTuple):
    """The law of the abstention rate by n calibration scores: its mean, and its bound at 1 - delta.

    If the events of a host resemble each other, n of them say as much as fewer independent ones.
    """

    n: int
    delta: float
    mean: float
    upper: float

    def upper_of(self, share: float) -> float:
        """The bound, if only so large a share of the n scores counted."""
        n = (self.n + 1) * share
        return float(stats.beta.ppf(1 - self.delta, self.mean * n, (1 - self.mean) * n))


class Ran(NamedTuple):
    """What the command said, for how long it ran, and the most memory that it had."""

    said: str
    seconds: float
    resident_bytes: int

    @property
    def rate(self) -> float:
        """Events a second by its own summary, from the first read to the last commit."""
        found = re.search(r"([\d,]+) a second", self.said)
        assert found, self.said
        return float(found[1].replace(",", ""))


class Runs:
    """A directory with a configuration, a model and a stream that grows."""

    # What starts a process; the tests have one that is quicker.
    popen: ClassVar[type[subprocess.Popen[bytes]]] = subprocess.Popen

    def __init__(self, home: Path, config: str) -> None:
        home.mkdir()
        self.home = home
        self.stream, self.out = home / "stream.jsonl", home / "out"
        (home / "detectd.toml").write_text(config, encoding="utf-8")

    def fit(self, history: Path) -> Ran:
        """Train on a file and let the model answer."""
        return self._ran("fit", "--input", str(history))

    def run(self) -> Ran:
        """Run to the end of the stream."""
        return self._ran("run")

    def run_and_kill(self, grown_bytes: int) -> None:
        """Run until the outputs have grown by so much, and kill the process without notice.

        Raises RuntimeError if the run has ended before.
        """
        until = self.written() + grown_bytes
        with self._started("run") as process:
            while process.poll() is None and self.written() < until:
                time.sleep(0.001)
            process.send_signal(signal.SIGKILL)
        if process.returncode != -signal.SIGKILL:
            raise RuntimeError("the run ended before it could be killed")

    def written(self) -> int:
        """How many bytes the outputs have."""
        return sum(path.stat().st_size for path in self.out.glob("*.jsonl"))

    def outputs(self) -> dict[str, bytes]:
        """All outputs, by the names of their files, the alerts kind by kind."""
        found = {path.name: path.read_bytes() for path in self.out.glob("*.jsonl")}
        if alerts := found.get("alerts.jsonl"):
            # Drift and silence are each in order; which comes first hangs on where a batch ends.
            lines = sorted(alerts.splitlines(keepends=True), key=lambda line: b"silence" in line)
            found["alerts.jsonl"] = b"".join(lines)
        return found

    def answers(self, since_ms: int) -> list[Answer]:
        """The answers to events from then on, in the order in which each file has them."""
        decode = msgspec.json.Decoder(Answer).decode
        found = []
        for verdict in ("normal", "anomaly", "abstain"):
            with (self.out / f"{verdict}.jsonl").open("rb") as lines:
                found += [each for each in map(decode, lines) if each.timestamp >= since_ms]
        return found

    def silences(self, since_ms: int) -> list[tuple[str, int]]:
        """Each alert that a key is silent: the key, and the time in ms of its last event."""
        path = self.out / "alerts.jsonl"
        alerts = map(json.loads, path.read_bytes().splitlines()) if path.exists() else ()
        opened = (each for each in alerts if (each["kind"], each["state"]) == ("silence", "open"))
        found = [(each["key"], _ms(each["since"])) for each in opened]
        return [(key, since) for key, since in found if since >= since_ms]

    def promised(self) -> Promised:
        """The law of the abstention rate, as `detectd report` has it."""
        report = json.loads(self._ran("report", "--format", "json").said)
        exact = report["exact"]
        return Promised(
            report["model"]["n"],
            exact["delta"],
            exact["expected_rejection_rate"],
            exact["rejection_rate_upper"],
        )

    def bytes_a_key(self) -> int:
        """How much is remembered of a host, as `detectd check` says it; 0 for nothing."""
        found = re.search(r"([\d,]+) bytes of state per key in all", self._ran("check").said)
        return int(found[1].replace(",", "")) if found else 0

    def keep(self, copy: Path) -> None:
        """Copy outputs and models, to come back to them with `go_back`."""
        for name in ("out", "models"):
            shutil.copytree(self.home / name, copy / name)

    def go_back(self, copy: Path) -> None:
        """Let outputs and models be as they were when they were kept."""
        for name in ("out", "models"):
            shutil.rmtree(self.home / name)
            shutil.move(copy / name, self.home / name)

    def _started(self, *command: str) -> subprocess.Popen[bytes]:
        with (self.home / "log").open("ab") as log:
            return self.popen(
                [*DETECTD, *command, "--config", "detectd.toml"],
                cwd=self.home,
                stdout=subprocess.PIPE,
                stderr=log,
            )

    def _ran(self, *command: str) -> Ran:
        began = time.perf_counter()
        with self._started(*command) as process:
            assert process.stdout
            said = process.stdout.read().decode()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"detectd {command[0]}: see {self.home / 'log'}")
        return Ran(said, time.perf_counter() - began, usage.ru_maxrss * 1024)


def _ms(time: str) -> int:
    return round(datetime.fromisoformat(time).timestamp() * 1000)


def grown(fleet: Fleet, stream: Path, first: int, end: int) -> int:
    """Append steps of the fleet to a stream; returns by how many bytes it has grown."""
    before = stream.stat().st_size if stream.exists() else 0
    fleet.write(stream, first, end)
    return stream.stat().st_size - before
