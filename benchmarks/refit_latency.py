"""`python -m benchmarks.refit_latency`: what an event waits while a model is trained beside it.

Events come through a pipe at a steady rate and verdicts go back through another. An event's latency
is from writing it to reading its verdict. Those read while a refit ran are held against the others
of the same run.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from benchmarks.recorded import lines
from detectd.simulation import FEATURES, write_fleet

RATE = 2_000  # events a second
EVENTS = 60_000
BURST = 20  # events written at once

CONFIG = """
[source]
kind = "stdin"
batch_seconds = 0.01
[sink]
kind = "stdout"
[event]
features = {features}
[detector]
name = "IForest"
contamination = 0.02
[training]
refit = "every"
every_events = 15000
cooldown_events = 0
window = 20000
[models]
directory = "{home}/models"
[server]
listen = ""
[log]
format = "json"
"""


def fed(home: Path) -> tuple[dict[int, float], dict[int, float], list[tuple[float, str]]]:
    """When each event was written and its verdict read, and what was logged when."""
    write_fleet(home / "events.jsonl", 1, 0, EVENTS)
    events = list(lines(home / "events.jsonl"))
    config = home / "detectd.toml"
    text = CONFIG.format(features=json.dumps(list(FEATURES)), home=home)
    config.write_text(text, encoding="utf-8")
    service = subprocess.Popen(
        [sys.executable, "-m", "detectd", "run", "--config", str(config)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert service.stdin
    assert service.stdout
    assert service.stderr
    written: dict[int, float] = {}
    read: dict[int, float] = {}
    said: list[tuple[float, str]] = []

    def listen() -> None:
        lines_of_log = map(json.loads, service.stderr or ())
        said.extend((time.monotonic(), line["event"]) for line in lines_of_log)

    def collect() -> None:
        for line in service.stdout or ():
            read[json.loads(line)["event"]["number"]] = time.monotonic()

    threads = [threading.Thread(target=each) for each in (listen, collect)]
    for thread in threads:
        thread.start()
    while not any(event == "service.started" for _, event in said):
        time.sleep(0.05)
    began = time.monotonic()
    for number, event in enumerate(events):
        line = json.dumps(event | {"number": number}).encode() + b"\n"
        due = began + number / RATE
        if number % BURST == 0:
            service.stdin.flush()
            time.sleep(max(0.0, due - time.monotonic()))
        written[number] = time.monotonic()
        service.stdin.write(line)
    service.stdin.close()
    for thread in threads:
        thread.join()
    service.wait()
    return written, read, said


def main() -> None:
    """Measure, and print the row."""
    with tempfile.TemporaryDirectory() as home:
        written, read, said = fed(Path(home))
    begins = [when for when, event in said if event == "refit.started"]
    ends = [when for when, event in said if event == "model.serving"][1:]
    refits = list(zip(begins, ends, strict=False))
    beside, alone = [], []
    first = begins[0] - 5
    for number, when in read.items():
        during = any(start <= when <= end for start, end in refits)
        if during or when > first:
            (beside if during else alone).append(when - written[number])
    found = {
        "events": len(read),
        "refits": len(refits),
        "seconds of refits": round(sum(end - start for start, end in refits), 1),
        "p50 ms": [round(1e3 * float(np.quantile(each, 0.5)), 1) for each in (alone, beside)],
        "p99 ms": [round(1e3 * float(np.quantile(each, 0.99)), 1) for each in (alone, beside)],
        "p50 ratio": round(float(np.quantile(beside, 0.5) / np.quantile(alone, 0.5)), 2),
        "p99 ratio": round(float(np.quantile(beside, 0.99) / np.quantile(alone, 0.99)), 2),
        "target": "p99 ratio at most 2",
    }
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
