"""IForest: our kernel against PyOD's `decision_function`, on one core."""

from __future__ import annotations

from benchmarks.measuring import (
    BATCH,
    TRAINING,
    Row,
    fitted,
    fresh,
    one_core,
    race,
    taking,
    telemetry,
)
from detectd.detectors import choose

TARGETS = {1: 400.0, BATCH: 10.0, 20_000: 3.0}


def rows() -> list[Row]:
    """One row for each size of batch."""
    training = telemetry(TRAINING)
    detector = fitted("IForest", training)
    scorer = choose(detector, training)
    found = []
    with one_core():
        for count, target in TARGETS.items():
            ours, theirs = fresh(count), fresh(count)
            outcome = race(
                taking(ours, scorer.score),
                taking(theirs, detector.decision_function),
            )
            found.append(
                Row(
                    what=f"IForest, {count:,} row{'s' if count > 1 else ''}",
                    against="PyOD's decision_function",
                    ratio=outcome.ratio,
                    target=target,
                    ours_us_an_event=1e6 * outcome.ours / count,
                )
            )
    return found
