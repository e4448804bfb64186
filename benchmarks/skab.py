"""`python -m benchmarks.skab DIRECTORY`: faults of a water circuit, eight sensors once a second.

`DIRECTORY` holds the Skoltech Anomaly Benchmark. By its convention the first 400 rows of each file
train, the others are judged, and those of all files are counted together, first as faults and then
as changes. Everything is judged by the real command; labels are looked at only to count. An
abstention is no alarm.
"""

from __future__ import annotations

import csv
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmarks import changes
from benchmarks.skab_runs import TRAINED, Experiment, Setting, judge_each, judge_together
from benchmarks.skab_settings import ALL, change_rows, fault_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from benchmarks.skab_settings import Row

    Numbers = NDArray[np.float64]
    Flags = NDArray[np.bool_]
    Verdicts = NDArray[np.str_]
    Judge = Callable[[Sequence[Experiment], Setting], list[Verdicts]]
    Count = Callable[[Sequence["File"], Sequence[Verdicts]], list[str]]

# Of eight runs of so many training rows the means are compared.
RUN = 50


class File(NamedTuple):
    """An experiment, and which of its rows (k,) are faulty, and which are the first of a change."""

    experiment: Experiment
    faulty: Flags
    change: Flags


def main(directory: Path) -> None:
    """Print how much each sensor drifts, what of the faults is found, and what of the changes."""
    files = list(_files(directory))
    if not files:
        sys.exit(f"{directory}: no files in directories of it; name the benchmark's data")
    _print_drift(files)
    _print_table(files, FAULTS, fault_rows(), judge_each, _faults)
    _print_table(files, CHANGES, change_rows(), judge_together, _changes)


def _files(directory: Path) -> Iterator[File]:
    for path in sorted(directory.glob("*/*.csv")):
        with path.open(encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines, delimiter=";"))
        if "anomaly" not in rows[0]:
            continue
        times = [datetime.fromisoformat(row["datetime"]).replace(tzinfo=UTC) for row in rows]
        experiment = Experiment(
            f"{path.parent.name}/{path.stem}",
            np.array([round(1000 * time.timestamp()) for time in times]),
            {name: np.array([float(row[name]) for row in rows]) for name in ALL},
        )
        yield File(
            experiment,
            np.array([float(row["anomaly"]) > 0 for row in rows]),
            np.array([float(row["changepoint"]) > 0 for row in rows]),
        )


def _print_drift(files: Sequence[File]) -> None:
    print("| sensor | drift: median of the files | least | most |")
    print("|---" * 4 + "|")
    for name in ALL:
        found = [drift(file.experiment.sensors[name][:TRAINED]) for file in files]
        cells = [f"{x:.1f}" for x in (np.median(found), min(found), max(found))]
        print(f"| {' | '.join([name, *cells])} |")


def drift(values: Numbers) -> float:
    """Return the variance of the means of runs of rows, as a multiple of what it is for rows that
    do not depend on each other."""
    runs = values.reshape(-1, RUN)
    return float(runs.mean(axis=1).var(ddof=1) / (runs.var(axis=1, ddof=1).mean() / RUN))


FAULTS = (
    *("sensors", "detector", "mean of", "calibration", "γ"),
    *("F1", "false alarms", "missed", "abstained", "one half", "the other"),
)
CHANGES = (
    *("sensors", "added up", "γ"),
    *("standard", "low FP", "low FN", "found", "false", "one half", "the other"),
)


def _print_table(
    files: Sequence[File], head: Sequence[str], rows: Sequence[Row], judge: Judge, count: Count
) -> None:
    print(f"\n| {' | '.join(head)} |")
    print("|---" * len(head) + "|")
    for row in rows:
        verdicts = judge([file.experiment for file in files], row.setting)
        cells = count(files, [verdict[TRAINED:] for verdict in verdicts])
        print(f"| {' | '.join([*row.said, *cells])} |", flush=True)


def _faults(files: Sequence[File], verdicts: Sequence[Verdicts]) -> list[str]:
    f1, false, missed = faults(files, verdicts)
    abstained = np.mean(np.concatenate(verdicts) == "abstain")
    halves = [faults(files[i::2], verdicts[i::2])[:2] for i in (0, 1)]
    cells = [f"{f1:.3f}", *(f"{share:.1%}" for share in (false, missed, abstained))]
    return [*cells, *(f"{f1:.3f}, {false:.1%}" for f1, false in halves)]


def faults(files: Sequence[File], verdicts: Sequence[Verdicts]) -> tuple[float, float, float]:
    """Return F1, and the shares of false alarms and of missed rows, over all rows judged."""
    alarm = np.concatenate(verdicts) == "anomaly"
    faulty = np.concatenate([file.faulty[TRAINED:] for file in files])
    found = np.count_nonzero(alarm & faulty)
    f1 = 2 * found / (np.count_nonzero(alarm) + np.count_nonzero(faulty))
    return f1, float(alarm[~faulty].mean()), float(1 - alarm[faulty].mean())


def _changes(files: Sequence[File], verdicts: Sequence[Verdicts]) -> list[str]:
    counted = _counted(files, verdicts)
    halves = [_counted(files[i::2], verdicts[i::2]) for i in (0, 1)]
    standard, *_ = profiles = list(changes.PROFILES.values())
    cells = [f"{counted.score(profile):.1f}" for profile in profiles]
    cells += [f"{len(counted.places)} of {counted.windows}", str(counted.false_alarms)]
    return [*cells, *(f"{half.score(standard):.1f}" for half in halves)]


def _counted(files: Sequence[File], verdicts: Sequence[Verdicts]) -> changes.Counted:
    times = [file.experiment.times[TRAINED:] / 1000 for file in files]
    true = [time[file.change[TRAINED:]] for time, file in zip(times, files, strict=True)]
    seen = [
        time[turns(verdict == "anomaly")] for time, verdict in zip(times, verdicts, strict=True)
    ]
    return changes.count(true, seen)


def turns(raised: Flags) -> Flags:
    """Return where alarms begin or end, which is what the benchmark's own examples call a
    change."""
    return np.diff(raised, prepend=False)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
