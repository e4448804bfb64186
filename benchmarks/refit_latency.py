"""`python -m benchmarks.refit_latency`: what an event waits while a model is trained beside it.

Events come through a pipe at a steady rate and verdicts go back through another. Those that were
due while a refit ran are held against the others of the same run.
"""

from __future__ import annotations

import json
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring import TRAINING
from benchmarks.paths import write_stream
from benchmarks.piped import OURS, configure, piped

RATE = 2_000.0  # events a second
EVENTS = 80_000
MOST = 2.0
REFITS = """
[training]
refit = "every"
every_events = 15000
cooldown_events = 0
window = 20000
[log]
format = "json"
"""


def fed(home: Path) -> tuple[np.ndarray, np.ndarray, list[tuple[float, float]]]:
    """When each event was due and what it waited, and from when to when refits ran."""
    write_stream(home / "stream.jsonl", EVENTS)
    events = (home / "stream.jsonl").read_bytes().splitlines(keepends=True)
    (home / "training.jsonl").write_bytes(b"".join(events[:TRAINING]))
    with piped(OURS, configure(home, REFITS)) as service:
        service.write(b"".join(events[:TRAINING]))
        service.wait(TRAINING)
        began = time.time()
        waited = service.latencies(events, RATE)
    # The summary of the run comes last, and is no JSON.
    told = [line for line in service.said.read_text().splitlines() if line.startswith("{")]
    said = list(map(json.loads, told))

    def logged(event: str) -> list[float]:
        moments = [each["timestamp"] for each in said if each["event"] == event]
        return [datetime.fromisoformat(moment).timestamp() for moment in moments]

    # The first model was there before any refit.
    refits = list(zip(logged("refit.started"), logged("model.serving")[1:], strict=False))
    return began + np.arange(EVENTS) / RATE, waited, refits


def main() -> None:
    """Measure, and print what it came to."""
    with tempfile.TemporaryDirectory() as home:
        due, waited, refits = fed(Path(home))
    beside = np.zeros(len(due), dtype=bool)
    for start, end in refits:
        beside |= (due >= start) & (due <= end)
    found: dict[str, Any] = {
        "refits": len(refits),
        "seconds of refits": round(sum(end - start for start, end in refits), 1),
    }
    for name, share in {"p50": 0.5, "p99": 0.99}.items():
        alone, during = (float(np.quantile(waited[which], share)) for which in (~beside, beside))
        found[f"{name} ms without and with"] = [round(1e3 * alone, 1), round(1e3 * during, 1)]
        found[f"{name} ratio"] = round(during / alone, 2)
    found["target of p99"] = MOST
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
