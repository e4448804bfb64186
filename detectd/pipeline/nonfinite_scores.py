"""Judge any scores, including those that are not finite. Pure.

A row of finite features whose score overflows a double is farther outside than any row that the
detector can score. Its score counts as infinite: an anomaly above all calibration scores, whatever
the zone. If it became a dead letter, an attacker could use it to bypass every verdict.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from detectd.rejection import ANOMALY, KeyVerdicts, Verdicts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from detectd.rejection import Rejector
    from detectd.rejection.key_zones import KeyZones

    Floats = NDArray[np.float64]


def judge_scores(scores: Floats, rejector: Rejector) -> tuple[Floats, Verdicts]:
    """Return the scores (k,), infinite if they are not finite, and the verdicts on them."""
    finite = np.isfinite(scores)
    if finite.all():
        return scores, rejector.judge(scores)
    known, n = rejector.judge(scores[finite]), rejector.zone.n
    verdict = np.full(len(scores), ANOMALY, dtype=known.verdict.dtype)
    rank, below = np.full(len(scores), n), np.full(len(scores), n)
    verdict[finite], rank[finite], below[finite] = known.verdict, known.rank, known.below
    return np.where(finite, scores, math.inf), Verdicts(verdict, rank, below, known.stability)


def judge_by_key(
    scores: Floats, zones: KeyZones, places: NDArray[np.intp]
) -> tuple[Floats, KeyVerdicts]:
    """Do the same with each score in the zone at its index in `places` (k,)."""
    finite = np.isfinite(scores)
    if finite.all():
        return scores, zones.judge(scores, places)
    scores = np.where(finite, scores, math.inf)
    found = zones.judge(scores, places)
    found.verdict[~finite] = ANOMALY
    return scores, found


def joined_by_key(parts: Sequence[KeyVerdicts]) -> KeyVerdicts:
    """Return the verdicts on several batches, at least one, as those on one batch."""
    return KeyVerdicts(
        np.concatenate([part.verdict for part in parts]),
        np.concatenate([part.rank for part in parts]),
        np.concatenate([part.below for part in parts]),
        np.concatenate([part.places for part in parts]),
    )


def joined_verdicts(parts: Sequence[Verdicts], rejector: Rejector) -> Verdicts:
    """Return the verdicts on several batches of one rejector as those on one batch."""
    nothing = rejector.judge(np.empty(0))
    parts = [nothing, *parts]
    return Verdicts(
        np.concatenate([part.verdict for part in parts]),
        np.concatenate([part.rank for part in parts]),
        np.concatenate([part.below for part in parts]),
        nothing.stability,
    )
