"""`python -m benchmarks.skab DIRECTORY`: faults of a water circuit, eight sensors once a second.

`DIRECTORY` holds the Skoltech Anomaly Benchmark. By its convention the first 400 rows of each file
train a model of their own, and the others are judged; the rows of all files are counted together.
Labels are looked at only to count. Features, training and rejector are the service's; an abstention
is no alarm.
"""

from __future__ import annotations

import csv
import sys
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from detectd.detectors import choose_scaled
from detectd.features import columns
from detectd.features.declaring import declare
from detectd.features.dispatch import run
from detectd.features.program import compiled_program
from detectd.models import training
from detectd.models.model import Recipe
from detectd.rejection import ABSTAIN, ANOMALY, rejector

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from detectd.features import Declared

    Rows = NDArray[np.float64]
    Flags = NDArray[np.bool_]

TRAINED = 400
SENSORS = 8
WHEN = datetime(2026, 1, 1, tzinfo=UTC)
T = 1.0
WINDOWS = (1, 10, 20)
# Of 200 scores held out, or of 400 in sample, two are anomalies. If only one is, the zone of
# abstention takes all that is beyond it.
CALIBRATIONS = (
    ("holdout", "random", 0.01),
    ("holdout", "time", 0.01),
    ("in_sample", "random", 0.005),
)


class File(NamedTuple):
    """Times in milliseconds (k,), sensors (k, 8), and which rows are faulty (k,)."""

    times: Rows
    values: Rows
    faulty: Flags


def main(directory: Path) -> None:
    """Print a row for each detector, window and calibration."""
    warnings.simplefilter("ignore")
    files = list(_files(directory))
    if not files:
        sys.exit(f"{directory}: no files in directories of it; name the benchmark's data")
    print("| detector | mean of | calibration | γ | F1 | false alarms | missed | abstained |")
    print("|---" * 8 + "|")
    recipe = Recipe("IForest", 0.05)
    print(_row(files, recipe, 1, "raw, random holdout"), flush=True)
    for name in ("PCA", "GMM"):
        for window in WINDOWS:
            for method, order, share in CALIBRATIONS:
                recipe = Recipe(name, share, method=method, order=order, scale="robust")  # type: ignore[arg-type]
                how = "in sample" if method == "in_sample" else f"{order} holdout"
                print(_row(files, recipe, window, how), flush=True)


def _files(directory: Path) -> Iterator[File]:
    for path in sorted(directory.glob("*/*.csv")):
        with path.open(encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines, delimiter=";"))
        if "anomaly" not in rows[0]:
            continue
        names = list(rows[0])[1 : 1 + SENSORS]
        times = [datetime.fromisoformat(row["datetime"]).replace(tzinfo=UTC) for row in rows]
        yield File(
            np.array([1000 * time.timestamp() for time in times]),
            np.array([[float(row[name]) for name in names] for row in rows]),
            np.array([float(row["anomaly"]) > 0 for row in rows]),
        )


def _row(files: Sequence[File], recipe: Recipe, window: int, how: str) -> str:
    pairs = [_judged(file, recipe, window) for file in files]
    verdicts, faulty = (np.concatenate(part) for part in zip(*pairs, strict=True))
    alarm = verdicts == ANOMALY
    found = np.count_nonzero(alarm & faulty)
    f1 = 2 * found / (np.count_nonzero(alarm) + np.count_nonzero(faulty))
    shares = alarm[~faulty].mean(), 1 - alarm[faulty].mean(), np.mean(verdicts == ABSTAIN)
    cells = [recipe.detector, str(window), how, f"{recipe.contamination:g}", f"{f1:.3f}"]
    return f"| {' | '.join([*cells, *(f'{share:.1%}' for share in shares)])} |"


def _judged(file: File, recipe: Recipe, window: int) -> tuple[NDArray[np.int8], Flags]:
    """Return the verdicts of what comes after the training rows, and which of it is faulty."""
    features: list[Declared] = [f"s{i}" for i in range(SENSORS)]
    if window > 1:
        features = [
            declare({"of": f"s{i}", "fn": "mean", "window": window}) for i in range(SENSORS)
        ]
    program = compiled_program(features)
    slots, table = np.zeros(len(file.values), dtype=np.int64), np.zeros((1, program.words))
    rows = run(program, table, slots, file.times, file.values)
    model = training.train(rows[:TRAINED], recipe, features, WHEN)
    assert model.features == columns(features)
    complete = training.complete_rows(model)
    scorer = choose_scaled(model.detector, complete, model.scaling)
    scores = np.nan_to_num(scorer.score(rows[TRAINED:]), nan=np.finfo(np.float64).max)
    judge = rejector(model.calibration, model.contamination.mean, T)
    return judge.judge(scores).verdict, file.faulty[TRAINED:]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
