"""A service between two pipes: fed, and heard, from here.

`python -m benchmarks.piped CONFIG` is the pass-through that it is held against: the same service,
the same pipes, loop and batches, and each record handed on in a constant envelope.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.paths import CONTAMINATION, NAMES, Passing
from detectd.service.loop import Service
from detectd.settings.loader import load
from detectd.signals import Stop
from detectd.telemetry import logs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CONFIG = """
[source]
kind = "stdin"
batch_seconds = 0.01
[sink]
kind = "stdout"
[event]
features = [{features}]
[detector]
name = "IForest"
contamination = {contamination}
[models]
directory = "{home}/models"
[server]
listen = ""
"""
SILENT = """
[log]
level = "error"
"""
OURS, PASSING = ("-m", "detectd", "run", "--config"), ("-m", "benchmarks.piped")
HEARD_BYTES = 1 << 18


def configure(home: Path, rest: str = SILENT) -> Path:
    """Write a configuration with these other sections, and fit its model on home/training.jsonl."""
    path = home / "detectd.toml"
    features = ", ".join(f'"{name}"' for name in NAMES)
    text = CONFIG.format(features=features, contamination=CONTAMINATION, home=home)
    path.write_text(text + rest, encoding="utf-8")
    fit = ("-m", "detectd", "fit", "--config", path, "--input", home / "training.jsonl")
    subprocess.run([sys.executable, *fit], check=True, stdout=subprocess.DEVNULL)
    return path


class Piped:
    """A process that answers each line with one, in order, and tells `said` of anything else."""

    def __init__(self, process: subprocess.Popen[bytes], said: Path) -> None:
        assert process.stdin
        assert process.stdout
        self.process = process
        self.said = said
        self._into, self._out = process.stdin.fileno(), process.stdout.fileno()
        self._heard: list[tuple[float, int]] = []
        self.answered = 0
        self._news = threading.Condition()
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    def write(self, content: bytes) -> None:
        """All of it; waits where the pipe is full."""
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(self._into, rest) :]

    def wait(self, answers: int) -> None:
        """Until so many lines have been answered in all."""
        with self._news:
            self._news.wait_for(lambda: self.answered >= answers)

    def latencies(self, lines: Sequence[bytes], rate: float) -> np.ndarray:
        """Feed lines at a steady rate; seconds from when each was due to when it was answered."""
        before, self._heard = self.answered, []
        began = time.perf_counter()
        sent = 0
        while sent < len(lines):
            due = min(len(lines), int((time.perf_counter() - began) * rate))
            if due > sent:
                self.write(b"".join(lines[sent:due]))
                sent = due
            time.sleep(0.001)
        self.wait(before + len(lines))
        times, counts = zip(*self._heard, strict=True)
        return np.repeat(times, counts) - (began + np.arange(len(lines)) / rate)

    def resident_bytes(self) -> int:
        """What the process has in memory."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def close(self) -> None:
        """End of the stream."""
        assert self.process.stdin
        self.process.stdin.close()
        self._listener.join()
        if self.process.wait():
            raise RuntimeError(self.said.read_text())

    def _listen(self) -> None:
        while content := os.read(self._out, HEARD_BYTES):
            with self._news:
                self._heard.append((time.perf_counter(), content.count(b"\n")))
                self.answered += self._heard[-1][1]
                self._news.notify_all()


@contextmanager
def piped(command: tuple[str, ...], config: Path) -> Iterator[Piped]:
    """One that has been started."""
    said = config.with_name(f"{command[1]}.log")
    with said.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *command, config],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        )
    service = Piped(process, said)
    try:
        yield service
    finally:
        service.close()


def main() -> None:
    """Pass on what comes."""
    settings = load(Path(sys.argv[1]))
    logs.configure(settings.log)
    service = Service(settings, Stop())
    service.engine.answer = Passing().answer  # type: ignore[method-assign]
    service.run()


if __name__ == "__main__":
    main()
