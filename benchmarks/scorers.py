"""Every other kernel against PyOD's `decision_function`, a row alone and 512, on one core."""

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
from detectd.detectors.kernels import MODULES, Compiled

TARGETS = {1: 50.0, BATCH: 3.0}
# scikit-learn takes a batch through a compiled search or a product of matrices already.
NEAR_THE_LIMIT = {
    "KDE": "both add up the same exponentials, one for each training row near enough",
    "KNN": "PyOD's batches walk the same tree in compiled code",
    "LOF": "PyOD's batches walk the same tree in compiled code",
    "OCSVM": "both take an exponential for each support vector",
}
# Of eight clusters, its default, none is a small one here.
PARAMS = {"CBLOF": {"n_clusters": 16}}


def rows() -> list[Row]:
    """Two rows for each detector."""
    training = telemetry(TRAINING)
    found = []
    with one_core():
        for name in sorted(MODULES.keys() - {"IForest"}):
            detector = fitted(name, training, **PARAMS.get(name, {}))
            scorer = choose(detector, training)
            for count, target in TARGETS.items():
                ours, theirs = fresh(count), fresh(count)
                outcome = race(
                    taking(ours, scorer.score),
                    taking(theirs, detector.decision_function),
                )
                row = Row(
                    what=f"{name}, {count:,} row{'s' if count > 1 else ''}",
                    against="PyOD's decision_function",
                    ratio=outcome.ratio,
                    target=target,
                    ours_us_an_event=1e6 * outcome.ours / count,
                )
                if not isinstance(scorer, Compiled):
                    row["note"] = f"scored by {scorer.how}"
                elif outcome.ratio < target and name in NEAR_THE_LIMIT:
                    row["note"] = NEAR_THE_LIMIT[name]
                found.append(row)
    return found
