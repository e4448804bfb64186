"""`python -m benchmarks.faults [NAME…]`: which kinds of faults a detector finds in a fleet.

20 hosts of several sizes, a row every five minutes, 14 days with a daily cycle; the first half
trains, and in the second there are 60 faults of each kind: latency × 20, 60 more errors, 45 points
more memory, or the CPU that is usual twelve hours later while all else is as it should be. Of the
events 2 % are expected to be anomalies. Shown are how many of each kind are called anomaly, without
and with the hour of the day among the features, and the share of other events that are. A NAME may
have parameters: IForest{"max_samples":2048}.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.detectors import DAYS, DETECTORS, HOSTS, STEPS_A_DAY, WHEN
from benchmarks.hours import BEGAN_MS, HOUR, STEP_MS
from detectd.detectors import choose
from detectd.models import training
from detectd.models.model import Recipe
from detectd.rejection import ANOMALY, Costs
from detectd.rejection.promise import Terms, promise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.float64]

KINDS, OF_EACH, CONTAMINATION = ("latency", "errors", "memory", "CPU"), 60, 0.02


def _fleet() -> tuple[Rows, NDArray[np.int64], NDArray[np.int64]]:
    """Metrics (k, 4), steps (k,), and the kind of each row's fault (k,), -1 for none."""
    rng = np.random.default_rng(11)
    step = np.repeat(np.arange(DAYS * STEPS_A_DAY), HOSTS)
    count = len(step)
    size = 0.85 + 0.3 * np.tile(np.arange(HOSTS), DAYS * STEPS_A_DAY) / HOSTS
    wave, noise = 0.3 * np.sin(2 * np.pi * step / STEPS_A_DAY), rng.normal(0, 0.03, count)
    kind = np.full(count, -1)
    struck = rng.choice(np.arange(count // 2, count), OF_EACH * len(KINDS), replace=False)
    kind[struck] = np.arange(len(struck)) % len(KINDS)
    load = (size * (0.45 + wave) + noise).clip(0.01)
    cpu = 100 * np.where(kind == 3, size * (0.45 - wave) + noise, load).clip(0.01)
    memory = 40 + 30 * load + rng.normal(0, 2, count) + 45 * (kind == 2)
    latency = rng.gamma(25, 0.4 + 1.6 * load**2) * np.where(kind == 0, 20, 1)
    errors = rng.poisson(1 + 2 * load) + 60.0 * (kind == 1)
    return np.column_stack([cpu, memory, latency, errors]), step, kind


def _anomalies(name: str, params: dict[str, Any], rows: Rows, stream: Rows) -> NDArray[np.bool_]:
    """Train on `rows`; return which of the `stream` are called anomaly."""
    recipe = Recipe(detector=name, contamination=CONTAMINATION, params=params)
    model = training.train(rows, recipe, [f"f{i}" for i in range(rows.shape[1])], WHEN)
    scores = choose(model.detector, training.complete_rows(model)).score(stream)
    terms = Terms(CONTAMINATION, None, None, 0.1, Costs(1.0, 1.0, CONTAMINATION))
    found: NDArray[np.bool_] = (
        promise(model.calibration, terms).rejector.judge(scores).verdict == ANOMALY
    )
    return found


def main(names: list[str]) -> None:
    """Print a row for each detector."""
    metrics, step, kind = _fleet()
    timed = np.column_stack([metrics, HOUR.values(BEGAN_MS + STEP_MS * step.astype(np.float64))])
    half = len(step) // 2
    print("| detector |", *(f"{name} |" for name in KINDS), "others |", end=" ")
    print(*(f"{name}, hour |" for name in KINDS), "others, hour |")
    print("|---" * (3 + 2 * len(KINDS)) + "|")
    for given in names:
        name, brace, inside = given.partition("{")
        params, cells = json.loads(brace + inside or "{}"), []
        for rows in (metrics, timed):
            anomaly = _anomalies(name, params, rows[:half], rows[half:])
            cells += [str(int(anomaly[kind[half:] == i].sum())) for i in range(len(KINDS))]
            cells.append(f"{anomaly[kind[half:] < 0].mean():.1%}")
        print(f"| {given} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or [name for name in DETECTORS if name != "CBLOF"])
