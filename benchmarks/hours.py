"""`python -m benchmarks.hours [NAME…]`: which detector gains from `hour` and `weekday`.

The fleet of `benchmarks.detectors` with a daily cycle, and at weekends 0.4 times the load. It is
four weeks long; the first half trains. Of 60 faults in the second half, each is a row as it would
be usual at another time: twelve hours later, or on a Monday for one at a weekend. So no metric is
unusual but for its time. Shown are the share called anomaly and the average precision, without and
with the functions of the time among the features. A NAME may have parameters:
GMM{"n_components":8}.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.detectors import DETECTORS, HOSTS, STEPS_A_DAY, scored
from detectd.features import Function

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.float64]

DAYS, FAULTS, STEP_MS = 28, 60, 300_000
# A Monday, 00:00 UTC.
BEGAN_MS = 1_767_571_200_000
HOUR, WEEKDAY = Function("hour", "hour"), Function("weekday", "weekday")


def _metrics(rng: np.random.Generator, step: NDArray[np.int64]) -> Rows:
    """CPU, memory and latency (k, 3), as usual at that step."""
    weekend = step // STEPS_A_DAY % 7 >= 5
    wave = 0.45 + 0.3 * np.sin(2 * np.pi * step / STEPS_A_DAY)
    load = wave * np.where(weekend, 0.4, 1.0) + rng.normal(0, 0.03, len(step))
    latency = rng.gamma(25, 0.4 + 1.6 * load.clip(0.05) ** 2)
    return np.column_stack([100 * load, 40 + 30 * load + rng.normal(0, 2, len(step)), latency])


def _world(*, weekend: bool) -> tuple[Rows, NDArray[np.int64], NDArray[np.bool_]]:
    """The metrics, the steps, and which rows are faults: of the hour, or of the weekend."""
    rng = np.random.default_rng(7)
    step = np.repeat(np.arange(DAYS * STEPS_A_DAY), HOSTS)
    at = step % STEPS_A_DAY / STEPS_A_DAY
    off = step // STEPS_A_DAY % 7 >= 5
    # Where the wave is far from its middle, twelve hours make the most of a difference.
    there = off if weekend else ~off & (np.abs(np.sin(2 * np.pi * at)) > 0.9)
    there &= np.arange(len(step)) >= len(step) // 2
    struck = rng.choice(np.flatnonzero(there), FAULTS, replace=False)
    usual = step.copy()
    usual[struck] = step[struck] % STEPS_A_DAY if weekend else step[struck] + STEPS_A_DAY // 2
    faults = np.zeros(len(step), dtype=bool)
    faults[struck] = True
    return _metrics(rng, usual), step, faults


def main(names: list[str]) -> None:
    """Print a row for each detector."""
    worlds = {"another hour": _world(weekend=False), "the weekend": _world(weekend=True)}
    chosen = {"neither": (), "hour": (HOUR,), "hour, weekday": (HOUR, WEEKDAY)}
    print("| detector |", *(f"{world}: {name} |" for world in worlds for name in chosen))
    print("|---" * (1 + len(worlds) * len(chosen)) + "|")
    for given in names:
        name, brace, inside = given.partition("{")
        params, cells = json.loads(brace + inside or "{}"), []
        for metrics, step, faults in worlds.values():
            times = BEGAN_MS + STEP_MS * step.astype(np.float64)
            for functions in chosen.values():
                rows = np.column_stack([metrics, *(each.values(times) for each in functions)])
                seen = scored(name, rows, faults, params)
                cells.append(
                    f"{seen.found:.0%}, {seen.average_precision:.2f}" if seen else "refused"
                )
        print(f"| {given} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or [name for name in DETECTORS if name not in ("CBLOF", "MCD")])
