"""`python -m benchmarks.detectors DIRECTORY [NAME…]`: which detector finds what, without labels.

`DIRECTORY` holds data sets as ADBench distributes them: `.npz` files with rows `X` and labels `y`.
Each detector with a kernel has PyOD's own parameters and one contamination for all sets. It is
trained on one random half of the rows, anomalies among them, and judges the other half with the
default threshold. The labels are looked at only to count.

The last row is a fleet with a daily cycle: 20 hosts, a row every five minutes, latency × 20 as the
fault. Its hour of the day is a feature as sine and cosine.
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from detectd.detectors import choose
from detectd.errors import DetectdError
from detectd.models import training
from detectd.models.model import Recipe
from detectd.rejection import ABSTAIN, ANOMALY, Costs
from detectd.rejection.promise import Terms, promise

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Rows = NDArray[np.float64]
    Labels = NDArray[np.bool_]

DETECTORS = ("IForest", "KNN", "LOF", "GMM", "ECOD", "COPOD", "HBOS", "PCA", "MCD", "LODA", "CBLOF")
CONTAMINATION = 0.05
MOST_ROWS = 10_000
WHEN = datetime(2026, 1, 1, tzinfo=UTC)

HOSTS, STEPS_A_DAY, DAYS, FAULTS = 20, 288, 14, 60


@dataclass(frozen=True)
class Counted:
    """What a detector made of one data set: ranking without a threshold, and shares of events."""

    auroc: float
    average_precision: float
    found: float
    left_open: float
    false_alarms: float
    abstained: float
    promised: float


def main(directory: Path, names: list[str]) -> None:
    """Print a row for each detector: medians over the data sets, then the fleet."""
    sets = dict(_data_sets(directory))
    fleet = _fleet()
    print(f"| detector | sets | {_HEAD} | fleet: {_HEAD.replace(' | ', ' | fleet: ')} |")
    print("|---" * (2 + 2 * _HEAD.count("|") + 2) + "|")
    for name in names:
        counted = [c for rows, labels in sets.values() if (c := scored(name, rows, labels))]
        ours = scored(name, *fleet)
        print(f"| {name} | {len(counted)} | {_cells(counted)} | {_cells([ours] if ours else [])} |")


_HEAD = "AUROC | AP | found | left open | false alarms | abstained | promised"


def _cells(counted: list[Counted]) -> str:
    if not counted:
        return " | ".join(["refused"] * 7)
    keys = Counted.__dataclass_fields__
    medians = [float(np.median([getattr(one, key) for one in counted])) for key in keys]
    return " | ".join([f"{x:.3f}" for x in medians[:2]] + [f"{x:.1%}" for x in medians[2:]])


def _data_sets(directory: Path) -> Iterator[tuple[str, tuple[Rows, Labels]]]:
    paths = sorted(directory.glob("*.npz"))
    if not paths:
        sys.exit(f"{directory}: no .npz files; name the directory with ADBench's data sets")
    for path in paths:
        with np.load(path) as data:
            rows, labels = data["X"].astype(np.float64), data["y"].astype(bool)
        order = np.random.default_rng(0).permutation(len(rows))[:MOST_ROWS]
        yield path.stem, (rows[order], labels[order])


def _fleet() -> tuple[Rows, Labels]:
    """The first half in time trains, the second is judged and has the faults."""
    rng = np.random.default_rng(7)
    tick = np.repeat(np.arange(DAYS * STEPS_A_DAY), HOSTS)
    angle = 2 * np.pi * tick / STEPS_A_DAY
    load = 0.45 + 0.3 * np.sin(angle) + rng.normal(0, 0.03, len(tick))
    latency = rng.gamma(25, 0.4 + 1.6 * load.clip(0.05) ** 2)
    labels = np.zeros(len(tick), dtype=bool)
    labels[rng.choice(np.arange(len(tick) // 2, len(tick)), FAULTS, replace=False)] = True
    latency[labels] *= 20
    memory = 40 + 30 * load + rng.normal(0, 2, len(tick))
    return np.column_stack([100 * load, memory, latency, np.sin(angle), np.cos(angle)]), labels


def scored(
    name: str, rows: Rows, labels: Labels, params: dict[str, Any] | None = None
) -> Counted | None:
    """Train on the first half, judge the second. None if the detector is refused on these rows."""
    half = len(rows) // 2
    recipe = Recipe(detector=name, contamination=CONTAMINATION, params=params or {})
    columns = tuple(f"f{i}" for i in range(rows.shape[1]))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = training.train(rows[:half], recipe, columns, WHEN)
            scores = choose(model.detector, training.complete_rows(model)).score(rows[half:])
    except DetectdError as refused:
        print(f"{name}: {refused}", file=sys.stderr)
        return None
    terms = Terms(CONTAMINATION, None, None, 0.1, Costs(1.0, 1.0, CONTAMINATION))
    promised = promise(model.calibration, terms)
    verdicts = promised.rejector.judge(scores).verdict
    truth, anomaly, abstain = labels[half:], verdicts == ANOMALY, verdicts == ABSTAIN
    return Counted(
        auroc=float(roc_auc_score(truth, scores)),
        average_precision=float(average_precision_score(truth, scores)),
        found=float(anomaly[truth].mean()),
        left_open=float(abstain[truth].mean()),
        false_alarms=float(anomaly[~truth].mean()),
        abstained=float(abstain.mean()),
        promised=promised.expected_rejection_rate,
    )


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2:] or list(DETECTORS))
