"""`python -m benchmarks.poison`: how much an attacker must send until an attack is normal.

The stream is four standard normals; an attack lies `FAR` standard deviations out, as far in each of
the four. A model is fitted on a clean stream, then the attacker may add events. The parts that
judge, watch, collect, refit and accept are the service's own; only the training runs in this
process, and no operator ever acts.

nothing    the attacker sends nothing: the attack must stay an anomaly
steady     a share of 5 % of the events lies at the attack, from the first to the last
boiling    a share of 5 % lies where the model that answers has just stopped to say anomaly, on the
           way to the attack: the attacker sees the verdicts
burst      for 500 events everything lies elsewhere, far out, until an alarm has been raised; then
           a third of the events lies at the attack

The first three meet `refit = "every"`, the last one `refit = "on_drift"`. After each refit the
attack counts as learnt when more than half of it is judged normal.
"""

from __future__ import annotations

import logging
import multiprocessing
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import structlog

from detectd import derive, wiring
from detectd.errors import DetectdError
from detectd.models import serving, training
from detectd.models.trainer_process import Failed, Trained
from detectd.pipeline.judging import judge_rows
from detectd.pipeline.records import Record
from detectd.rejection import ANOMALY, NORMAL
from detectd.service import challenger_training
from detectd.service.drift_monitor import DriftMonitor
from detectd.service.options import retraining_options
from detectd.service.retraining import Retrainer, begun
from detectd.settings.loader import settle

if TYPE_CHECKING:
    from collections.abc import Callable

    from detectd.models.trainer_process import Limits, Task

WIDTH, FAR, BATCH, HORIZON, SEEDS = 4, 6.0, 50, 12_000, (0, 1)
SHARE, BURST, FED = 0.05, 500, 1 / 3
DETECTORS = ("IForest", "KNN", "HBOS", "PCA", "GMM")
QUARANTINE = 4_000
BASE: dict[str, Any] = {"warmup": 1_000, "window": 2_000, "cooldown_events": 0}
EVERY = BASE | {"refit": "every", "every_events": 2_000}
ON_DRIFT = BASE | {"refit": "on_drift"}
PROTECTIONS: dict[str, dict[str, Any]] = {
    "no guard": {"guard": "none", "max_changed": 1.0},
    "default": {},
    "normal_only": {"guard": "normal_only"},
    "quarantine": {"quarantine": QUARANTINE},
    "hold": {"after_alarm": "hold"},
    "all three": {
        "guard": "normal_only",
        "quarantine": QUARANTINE,
        "after_alarm": "hold",
    },
}


class Outcome(NamedTuple):
    """Attack events until the attack was normal, None if it never was; models that answered."""

    needed: int | None
    models: int
    alarms: int


class Here:
    """A refit in this process, ended when it has begun."""

    def __init__(
        self,
        directory: Path,  # noqa: ARG002 - the signature is Refit's
        task: Task,
        limits: Limits,  # noqa: ARG002
        finish: Callable[..., Any],
        now: float,  # noqa: ARG002
    ) -> None:
        try:
            made = training.train(task.rows, task.recipe, task.features, task.created)
            self._found: Trained[Any] | Failed = Trained(finish(made))
        except DetectdError as failed:
            self._found = Failed("unfit", str(failed))

    def poll(self, now: float) -> Trained[Any] | Failed:  # noqa: ARG002
        """How it ended."""
        return self._found

    def cancel(self) -> None:
        """There is nothing to end."""


class Stream:
    """The service without its ends: rows come, models change."""

    def __init__(self, home: Path, detector: str, train: dict[str, Any], seed: int) -> None:
        settings = settle(
            {
                "source": {"kind": "file", "path": str(home / "none.jsonl"), "follow": True},
                "sink": {"kind": "stdout"},
                "event": {"features": [f"f{i}" for i in range(WIDTH)]},
                "detector": {"name": detector, "contamination": 0.05, "seed": seed},
                "models": {"directory": str(home / "models")},
                "training": train,
            },
            "poison",
        )
        self.rng = np.random.default_rng(seed)
        self.settings, store = settings, wiring.store(settings)
        retraining = retraining_options(settings)
        assert retraining
        self.retraining = retraining
        features = settings.event.columns
        clean = self.rng.normal(size=(2_000, WIDTH))
        made = training.train(clean, derive.recipe(settings), features, datetime.now(UTC))
        store.save(made)
        self.serving = serving.serve_new(made, derive.serving_options(settings))
        self.retrainer: Retrainer = begun(self.retraining, store, self.serving)
        self.models, self.alarms = 1, 0
        self._watch()

    def add(self, rows: np.ndarray) -> bool:
        """Judge the rows and learn from them. True if another model answers now."""
        scores, finite, found = judge_rows(rows, self.serving.judge)
        batch = cast("Any", ScoredBatch(rows[finite], scores[finite], found, range(len(rows))))
        nameless = [Record(id="", value=None)] * len(rows)
        alarms = self.drift_monitor.see(nameless, batch)
        self.alarms += len(alarms)
        self.retrainer.see(batch, alarms)
        self.drift_monitor.on_commit()
        self.retrainer.on_commit()
        ready = self.retrainer.advance(lambda: None)
        if ready is None:
            return False
        self.serving, self.models = ready, self.models + 1
        self.retrainer.succeed(ready, self.retraining)
        self._watch()
        return True

    def verdicts(self, rows: np.ndarray) -> np.ndarray:
        """What the model that answers says of rows."""
        return cast("np.ndarray", judge_rows(rows, self.serving.judge)[2].verdict)

    def _watch(self) -> None:
        self.drift_monitor = DriftMonitor(self.serving, self.settings.drift.average_run_length)


class ScoredBatch(NamedTuple):
    """What the drift monitor and the retrainer read of a batch."""

    rows: np.ndarray
    scores: np.ndarray
    found: Any
    places: range


def at(stream: Stream, distance: float, count: int) -> np.ndarray:
    """Rows at that distance from the middle, a little apart."""
    return stream.rng.normal(distance / WIDTH**0.5, 0.1, size=(count, WIDTH))


def learnt(stream: Stream) -> bool:
    """Whether more than half of the attack is normal."""
    return bool((stream.verdicts(at(stream, FAR, 200)) == NORMAL).mean() > 0.5)


def edge(stream: Stream) -> float:
    """The distance, on the way to the attack, up to which nothing is an anomaly."""
    distances = np.linspace(0, FAR, 61)
    rows = np.repeat(distances[:, None] / WIDTH**0.5, WIDTH, axis=1)
    beyond = np.flatnonzero(stream.verdicts(rows) == ANOMALY)
    return float(distances[max(0, beyond[0] - 1)]) if len(beyond) else FAR


def run(strategy: str, stream: Stream) -> Outcome:
    """Send up to `HORIZON` events; stop when the attack is learnt."""
    sent, where = 0, edge(stream)
    for begin in range(0, HORIZON, BATCH):
        rows = stream.rng.normal(size=(BATCH, WIDTH))
        provoking = begin < BURST and not stream.alarms
        share, place = {
            "nothing": (0.0, FAR),
            "steady": (SHARE, FAR),
            "boiling": (SHARE, where),
            "burst": (1.0, -FAR) if provoking else (FED, FAR),
        }[strategy]
        bad = stream.rng.random(BATCH) < share
        rows[bad] = at(stream, place, int(bad.sum()))
        sent += int(bad.sum())
        if stream.add(rows):
            where = edge(stream)
            if learnt(stream):
                return Outcome(sent, stream.models, stream.alarms)
    return Outcome(None, stream.models, stream.alarms)


def outcomes(strategy: str, protection: str, detector: str) -> list[Outcome]:
    """One for each seed."""
    refit = ON_DRIFT if strategy == "burst" else EVERY
    found = []
    for seed in SEEDS:
        with tempfile.TemporaryDirectory() as home:
            stream = Stream(Path(home), detector, refit | PROTECTIONS[protection], seed)
            with closing(stream.retrainer):
                found.append(run(strategy, stream))
    return found


def cell(found: list[Outcome]) -> str:
    """The median, and in how many runs; the models that answered where it never was."""
    needed = sorted(outcome.needed for outcome in found if outcome.needed is not None)
    models = median(outcome.models for outcome in found)
    if not needed:
        return f"never ({models:g})"
    often = "" if len(needed) == len(found) else f" in {len(needed)} of {len(found)}"
    return f"{median(needed):,.0f}{often}"


def quietly() -> None:
    """Train in this process, and log nothing."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    challenger_training.TrainerProcess = Here  # type: ignore[attr-defined, assignment]


def main() -> None:
    """Print the table."""
    began = time.monotonic()
    rows = [("nothing", "no guard"), ("nothing", "normal_only")]
    rows += [(each, name) for each in ("steady", "boiling", "burst") for name in PROTECTIONS]
    print("| attack | setting |", *(f"{name} |" for name in DETECTORS))
    print("|---|---|" + "---|" * len(DETECTORS))
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn"), quietly) as pool:
        running = {row: [pool.submit(outcomes, *row, each) for each in DETECTORS] for row in rows}
        for (strategy, name), cells in running.items():
            found = [cell(future.result()) for future in cells]
            print(f"| {strategy} | {name} |", " | ".join(found), "|", flush=True)
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
