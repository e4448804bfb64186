"""`make bench`: each row is a ratio against something measured in the same process."""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import time
import warnings
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import structlog
from pyod.models.iforest import IForest

from detectd.loading import settle
from detectd.rejection import rejector
from detectd.service import Service
from detectd.signals import Stop
from detectd.simulation import FEATURES, write_fleet

if TYPE_CHECKING:
    from collections.abc import Callable

REPEATS = 5
EVENTS = 20_000


def seconds(do: Callable[[], object], repeats: int = REPEATS) -> float:
    """The median time of `do`."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        do()
        times.append(time.perf_counter() - started)
    return median(times)


def rank_and_verdict(n: int, events: int = 2_000) -> dict[str, Any]:
    """PyOD's predict_with_rejection less its two scorings, against our judge."""
    rng = np.random.default_rng(0)
    rows, fresh = rng.normal(size=(n, 4)), rng.normal(size=(events, 4))
    detector = IForest(n_estimators=20, random_state=0).fit(rows)
    judge = rejector(detector.decision_scores_, 0.1, 32.0)
    scores = detector.decision_function(fresh)
    ours = seconds(lambda: judge.judge(scores))
    scoring = seconds(lambda: detector.decision_function(fresh), 3)
    theirs = seconds(lambda: detector.predict_with_rejection(fresh), 3) - 2 * scoring
    return {
        "what": f"rank and verdict, n = {n:,}",
        "against": "PyOD predict_with_rejection less its scoring",
        "ratio": theirs / ours,
        "ours_us_an_event": ours / events * 1e6,
    }


def plain_script(source: Path, detector: IForest) -> None:
    """What a user would write: json.loads, batches of 512, predict_with_rejection."""
    with source.open() as lines, source.with_suffix(".plain").open("w") as out:
        batch: list[dict[str, Any]] = []
        for line in lines:
            batch.append(json.loads(line))
            if len(batch) == 512:
                _flush(batch, detector, out)
        _flush(batch, detector, out)


def _flush(batch: list[dict[str, Any]], detector: IForest, out: Any) -> None:
    if batch:
        rows = np.array([[event[name] for name in FEATURES] for event in batch])
        for event, verdict in zip(batch, detector.predict_with_rejection(rows), strict=True):
            out.write(json.dumps({"verdict": int(verdict), "event": event}) + "\n")
    batch.clear()


def file_to_file(home: Path) -> dict[str, Any]:
    """The service on simulated telemetry, against the plain script with the same detector."""
    stream = home / "stream.jsonl"
    write_fleet(stream, 1, 0, EVENTS)
    runs = iter(range(1000))

    def service() -> None:
        written = {
            "source": {"kind": "file", "path": str(stream), "batch_records": 512},
            "sink": {"kind": "file", "directory": str(home / f"out{next(runs)}")},
            "event": {"features": list(FEATURES)},
            "detector": {"name": "IForest", "contamination": 0.02},
            "models": {"directory": str(home / "models")},
        }
        Service(settle(written, "bench"), Stop()).run()

    service()  # warms up, fits and stores the model that the timed runs use
    ours = seconds(service)
    rows = np.array([[json.loads(line)[f] for f in FEATURES] for line in stream.open()][:1000])
    detector = IForest(contamination=0.02, random_state=0).fit(rows)
    theirs = seconds(lambda: plain_script(stream, detector), 3)
    return {
        "what": f"file to file, {len(FEATURES)} features, IForest",
        "against": "json.loads, batches of 512, predict_with_rejection",
        "ratio": theirs / ours,
        "ours_us_an_event": ours / EVENTS * 1e6,
    }


def main() -> None:
    """Measure, print a table, and leave the same as JSON in build/."""
    warnings.simplefilter("ignore")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    rows = [rank_and_verdict(n) for n in (1_000, 10_000, 100_000)]
    with tempfile.TemporaryDirectory() as home:
        rows.append(file_to_file(Path(home)))
    print(f"{'what':44}{'ratio':>12}{'µs an event':>14}  against")
    for row in rows:
        print(
            f"{row['what']:44}{row['ratio']:>11,.1f}x{row['ours_us_an_event']:>14.3f}"
            f"  {row['against']}"
        )
    target = Path("build/bench.json")
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    print(f"also in {target}", file=sys.stderr)


if __name__ == "__main__":
    main()
