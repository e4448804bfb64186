"""Other libraries for streams: River and PySAD, an event a call as they are made for.

All have learnt the same rows and score the same fresh ones, on one core. Ours also gives the
verdict, in batches of 512.
"""

from __future__ import annotations

import warnings
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.measuring import (
    BATCH,
    FEATURES,
    POOL,
    TRAINING,
    Row,
    fitted,
    fresh,
    one_core,
    race,
    telemetry,
)
from detectd.detectors import choose
from detectd.rejection import rejector

if TYPE_CHECKING:
    from collections.abc import Callable

CONTAMINATION, T = 0.05, 8.0
LEARNT = 600  # more than any window of theirs
RIVER_SCORING, AHEAD, PYSAD_FASTEST = 5.0, 1.0, 20.0


def rows() -> list[Row]:
    """Each of our detectors against each of theirs."""
    with one_core(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = {
            "River's HalfSpaceTrees, 10 trees, score_one": _river(learn=False),
            "the same and learn_one": _river(learn=True),
            **_pysad(),
        }
        found = {
            (name, peer): _row(name, judge, peer, call)
            for name in ("IForest", "HBOS")
            for judge in (_judge(name),)
            for peer, call in theirs.items()
        }
        return _with_targets(found)


def _judge(name: str) -> Callable[[], object]:
    """Scoring and verdict of a batch."""
    training, batches = telemetry(TRAINING), fresh(BATCH)
    detector = fitted(name, training[TRAINING // 2 :])
    scorer = choose(detector, training)
    judge = rejector(scorer.score(training[: TRAINING // 2]), CONTAMINATION, T)
    return lambda: judge.judge(scorer.score(next(batches)))


def _row(name: str, ours: Callable[[], object], peer: str, call: Callable[[], object]) -> Row:
    outcome = race(ours, call, ours_events=BATCH)
    return Row(
        what=f"{name}, score and verdict in batches of {BATCH}",
        against=peer,
        ratio=outcome.ratio,
        target=AHEAD,
        ours_us_an_event=1e6 * outcome.ours,
    )


def _with_targets(found: dict[tuple[str, str], Row]) -> list[Row]:
    for (name, peer), row in found.items():
        pysad = {p: r["ratio"] or 0.0 for (n, p), r in found.items() if n == name and "PySAD" in p}
        if peer.endswith("score_one"):
            row["target"] = RIVER_SCORING
        elif pysad and peer == min(pysad, key=pysad.__getitem__):
            row["target"] = PYSAD_FASTEST
    return list(found.values())


def _river(*, learn: bool) -> Callable[[], object]:
    from river.anomaly import HalfSpaceTrees

    names = [f"f{i}" for i in range(FEATURES)]
    events = [dict(zip(names, row, strict=True)) for row in telemetry(LEARNT).tolist()]
    stream = cycle(dict(zip(names, row, strict=True)) for row in telemetry(POOL, seed=1).tolist())
    trees = HalfSpaceTrees(n_trees=10, seed=0)
    for event in events:
        trees.learn_one(event)

    def both() -> None:
        event = next(stream)
        trees.score_one(event)
        trees.learn_one(event)

    return both if learn else lambda: trees.score_one(next(stream))


def _pysad() -> dict[str, Callable[[], object]]:
    """By name; `score_partial` alone, the faster of what they offer."""
    from pysad.models import LODA, HalfSpaceTrees, xStream

    low, high = np.zeros(FEATURES), np.ones(FEATURES)
    models = (LODA(), HalfSpaceTrees(low, high), xStream())
    return {f"PySAD's {type(model).__name__}": _scoring(model) for model in models}


def _scoring(model: Any) -> Callable[[], object]:
    for row in telemetry(LEARNT):
        model.fit_partial(row)
    stream = cycle(telemetry(POOL, seed=1))
    return lambda: model.score_partial(next(stream))
