"""River's half-space trees and PySAD's robust random cut forest on series, an event a call.

Each series has a detector of its own with the library's own parameters, which scores each value and
then learns it. River's wants values between 0 and 1, so its own scaler goes before it.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]


def river(values: Numbers) -> Numbers:
    """Return the scores of River's HalfSpaceTrees."""
    from river.anomaly import HalfSpaceTrees
    from river.preprocessing import MinMaxScaler

    model = MinMaxScaler() | HalfSpaceTrees(seed=0)
    scores = np.empty(len(values))
    for i, value in enumerate(values.tolist()):
        scores[i] = model.score_one({"value": value})
        model.learn_one({"value": value})
    return scores


def pysad(values: Numbers) -> Numbers:
    """Return the scores of PySAD's RobustRandomCutForest, 0 where it has none yet."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pysad.models import RobustRandomCutForest

        model = RobustRandomCutForest()
        rows = values[:, None]
        scores = np.array([float(np.ravel(model.fit_score_partial(row))[0]) for row in rows])
    scores[np.isnan(scores)] = 0.0
    return scores


PEERS: dict[str, Callable[[Numbers], Numbers]] = {
    "River's HalfSpaceTrees": river,
    "PySAD's RobustRandomCutForest": pysad,
}
