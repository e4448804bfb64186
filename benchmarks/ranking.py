"""Rank and verdict: PyOD's `predict_with_rejection` less its scoring, against our judge."""

from __future__ import annotations

import numpy as np

from benchmarks.measuring import Row, fitted, one_core, race
from detectd.rejection import rejector

CONTAMINATION, T = 0.1, 32.0
FRESH = 500_000  # so many that they are no more in the cache than a stream's are
FEW = 500  # PyOD compares each of these with all n


def rows() -> list[Row]:
    """One row for each n, and the nanoseconds at the largest."""
    with one_core():
        found = [_against_pyod(n) for n in (1_000, 10_000, 100_000)]
    last = found[-1]["ours_us_an_event"]
    assert last is not None
    return [
        *found,
        Row(
            what="rank and verdict, n = 100,000, one event",
            against="the clock",
            ratio=1e3 * last,
            target=60.0,
            at_most=True,
            unit="ns",
            ours_us_an_event=last,
        ),
    ]


def _against_pyod(n: int) -> Row:
    """PyOD's scoring is taken out by handing it the scores."""
    rng = np.random.default_rng(0)
    detector = fitted("HBOS", rng.normal(size=(n, 2)), CONTAMINATION)
    detector.decision_scores_ = rng.normal(size=n)
    fresh = rng.normal(size=FRESH)
    detector.decision_function = lambda rows: rows[:, 0]
    few = fresh[:FEW, None]
    judge = rejector(detector.decision_scores_, CONTAMINATION, T)
    found = race(
        lambda: judge.judge(fresh),
        lambda: detector.predict_with_rejection(few, T=T),
        ours_events=FRESH,
        theirs_events=FEW,
    )
    return Row(
        what=f"rank and verdict, n = {n:,}",
        against="PyOD's predict_with_rejection less its scoring",
        ratio=found.ratio,
        target=1000.0,
        ours_us_an_event=1e6 * found.ours,
    )
