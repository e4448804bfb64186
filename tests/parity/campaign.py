"""Every kernel against PyOD, on measured rows and on such as nobody sends.

    python -m tests.parity.campaign --data DIRECTORY --rows 100000

DIRECTORY holds ADBench's archives (`X` in *.npz); the default is $DETECTD_TEST_DATA, and without
that rows are generated. Each detector is fitted to each data set. Then scores are held against
PyOD's for the row alone, verdicts against those by PyOD's scores, --rows of them over all data
sets, and each row's bits in batches of different sizes. Exits 1 where anything differs.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from detectd.detectors import build, choose, fit
from detectd.detectors.kernels import MODULES
from detectd.errors import DetectdError
from tests.parity import against
from tests.parity.rows import KINDS, Rows, adversarial, fresh, generated, measured

TRAINING = 2_000
CALIBRATION = 1_000
# Rows of a data set on which PyOD is asked one by one, where that is the only way.
ALONE = 200
# PyOD takes half a millisecond for each of INNE's samples and rows.
PARAMS = {"INNE": {"n_estimators": 50}}


@dataclass
class Tally:
    """What came of one detector over all data sets."""

    name: str
    used: int = 0
    rows: int = 0
    most: float = 0.0
    scored: int = 0
    how: str = ""
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def line(self) -> str:
        verdicts = f"{self.scored:,} {self.how}" if self.scored else "none"
        found = f"{len(self.faults)} faults" if self.faults else "the same"
        return (
            f"{self.name:10}{self.used:>9}{self.rows:>11,}{self.most:>12.1e}{verdicts:>22}  {found}"
        )


def hold(tally: Tally, data: str, rows: Rows, scored: int) -> None:
    """Fit the detector to some of the rows of a data set, and hold it against PyOD on others."""
    order = np.random.default_rng(0).permutation(len(rows))
    training = rows[order[:TRAINING]]
    detector = build(tally.name, against.CONTAMINATION, 0, PARAMS.get(tally.name, {}))
    try:
        fit(detector, training)
    except DetectdError as unfit:
        tally.notes.append(f"{data}: {unfit}")
        return
    scorer = choose(detector, training)
    if scorer.how != "compiled":
        tally.notes.append(f"{data}: scored by {scorer.how}; {scorer.doubt or 'no kernel for it'}")
        return
    tally.used += 1
    drawn = fresh(rows, scored)
    probes = np.vstack([adversarial(training), drawn[:: max(1, scored // ALONE)][:ALONE]])
    found = against.scores(scorer, detector, probes, training)
    tally.rows, tally.most = tally.rows + found.rows, max(tally.most, found.most)
    if found.off:
        tally.faults.append(f"{data}: {found.off} scores are off")
    verdicts = against.verdicts(scorer, detector, fresh(rows, CALIBRATION, 2), drawn, ALONE)
    tally.scored, tally.how = tally.scored + verdicts.rows, verdicts.how
    if verdicts.differing:
        tally.faults.append(f"{data}: {verdicts.differing} verdicts differ")
    if not against.same_bits(scorer, np.vstack([probes, drawn[:1_000]])):
        tally.faults.append(f"{data}: bits depend on the batch")
    if not against.as_plain(scorer, detector, drawn):
        tally.faults.append(f"{data}: not the bits of the plain form")


def data_sets(directory: Path | None) -> Iterator[tuple[str, Rows]]:
    """The names and rows of the archives in a directory, or of rows drawn here."""
    if directory is not None:
        yield from measured(directory)
    else:
        for kind in KINDS:
            yield kind, generated(kind, count=3_000)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Hold every kernel against PyOD.")
    parser.add_argument("--data", type=Path, default=os.environ.get("DETECTD_TEST_DATA"))
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--detectors", nargs="+", choices=tuple(MODULES), default=tuple(MODULES))
    given = parser.parse_args(arguments)
    sets = list(data_sets(given.data and Path(given.data)))
    if not sets:
        parser.error(f"there are no *.npz in {given.data}")
    say(f"{'detector':10}{'data sets':>9}{'alone':>11}{'relative':>12}{'verdicts':>22}  PyOD's")
    tallies = []
    for name in given.detectors:
        tally = Tally(name)
        # Threads that wait for each other over single rows are most of the time otherwise.
        with threadpool_limits(1):
            for data, rows in sets:
                hold(tally, data, rows, given.rows // len(sets) + 1)
        say(tally.line())
        for remark in (*tally.faults, *tally.notes):
            say(f"  {remark}")
        tallies.append(tally)
    return 1 if any(tally.faults for tally in tallies) else 0


if __name__ == "__main__":
    sys.exit(main())
