"""A kernel held against PyOD: scores, verdicts and bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from detectd.detectors import Scorer
from detectd.detectors.catalogue import CATALOGUE, Scoring
from detectd.detectors.scorer import BatchScorer, RowScorer
from detectd.detectors.selection import ABSOLUTE, RELATIVE
from detectd.detectors.tails import TailScorer
from detectd.rejection import rejector
from tests.parity.rows import Rows

CONTAMINATION, T = 0.1, 8.0


@dataclass(frozen=True)
class Scores:
    """How far scores are from PyOD's: `off` of `rows` by more than is allowed, `most` at most."""

    rows: int
    off: int
    most: float


def scores(scorer: Scorer, detector: Any, rows: Rows, usual: Rows) -> Scores:
    """Each row against PyOD's score for it alone, nan where PyOD fails.

    `usual` are rows whose scores show how far they spread; next to zero, that is what counts.
    """
    ours, theirs = scorer.score(rows), RowScorer(detector).score(rows)
    spread = float(np.ptp(scorer.score(usual)))
    close = np.isclose(ours, theirs, rtol=RELATIVE, atol=ABSOLUTE * spread, equal_nan=True)
    both = np.isfinite(ours) & np.isfinite(theirs)
    difference = np.abs(ours[both] - theirs[both])
    size = np.abs(theirs[both])
    shares = difference / np.where(size > 0, size, 1.0)
    return Scores(len(rows), int((~close).sum()), float(shares.max(initial=0.0)))


@dataclass(frozen=True)
class Verdicts:
    """How many of `rows` verdicts differ from those by PyOD's scores, which came as `how` says."""

    rows: int
    differing: int
    how: str


def verdicts(scorer: Scorer, detector: Any, calibration: Rows, rows: Rows, alone: int) -> Verdicts:
    """Verdicts against those that PyOD's scores give, each calibrated with scores of its own.

    PyOD scores in batches where these are true to the row; else `alone` of the rows, one by one.
    """
    if _batches_are_true(detector, rows):
        by: Scorer = BatchScorer(detector)
        how = "in batches"
    else:
        by, how, rows = RowScorer(detector), "alone", rows[:alone]
        calibration = calibration[:alone]
    ours = rejector(scorer.score(calibration), CONTAMINATION, T).judge(scorer.score(rows))
    theirs = rejector(by.score(calibration), CONTAMINATION, T).judge(by.score(rows))
    return Verdicts(len(rows), int((ours.verdict != theirs.verdict).sum()), how)


def _batches_are_true(detector: Any, rows: Rows) -> bool:
    entry = CATALOGUE[type(detector).__name__]
    narrow = entry.exact_to is None or rows.shape[1] <= entry.exact_to
    return entry.scoring is Scoring.BATCH and narrow


def same_bits(scorer: Scorer, rows: Rows) -> bool:
    """Whether each row scores the same bits alone, in a batch of all, and in ones between."""
    whole = scorer.score(rows)
    for size in (1, 7, 64):
        parts = [scorer.score(rows[i : i + size]) for i in range(0, len(rows), size)]
        if np.concatenate(parts).tobytes() != whole.tobytes():
            return False
    return True


def as_plain(scorer: Scorer, detector: Any, rows: Rows) -> bool:
    """Whether ECOD and COPOD have the very bits of their plain form; true of all others."""
    if CATALOGUE[type(detector).__name__].scoring is not Scoring.TAILS:
        return True
    return scorer.score(rows).tobytes() == TailScorer(detector).score(rows).tobytes()
