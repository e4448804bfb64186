"""Check that a fitted model scores its training rows, and that its scores point outwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from detectd.detectors import far_outside
from detectd.pipeline.judging import judge_rows
from detectd.rejection import NORMAL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from detectd.pipeline.judging import ModelScorer

# Fewer than this share of rows far outside may be called normal: detectors that use one feature at
# a time miss some.
TOO_MANY = 0.5

# Enough training rows to notice a detector without a score for such rows.
TRIED = 512


def why_scoreless(judge: ModelScorer, rows: NDArray[np.float64]) -> str | None:
    """Return why the model must not serve: too many rows like its training rows have no finite
    score.

    In the stream such a score means that a row is far outside. Among the training rows, their share
    may be at most the expected share of anomalies. Return None if it is sound. `rows` (N, d) are
    complete.
    """
    some, zone = rows[:TRIED], judge.rejector.zone
    _, finite, _ = judge_rows(some, judge)
    lost = int(np.count_nonzero(~finite))
    if lost * zone.n <= zone.m * len(some):
        return None
    return f"it gives no finite score to {lost} of {len(some)} training rows"


def why_backwards(judge: ModelScorer, rows: NDArray[np.float64]) -> str | None:
    """Return why the model must not serve: at least half of the rows far outside are called normal.

    Return None if it is sound. `rows` (N, d) are its complete training rows. A row without a finite
    score does not count as normal. A category is nowhere far outside, so it is the most frequent.
    """
    kept = list(judge.categories)
    if len(kept) == rows.shape[1]:
        return None
    if kept:
        rows = rows.copy()
        rows[:, kept] = judge.medians[kept]
        if (rows == rows[0]).all():  # No column is left to be far outside in.
            return None
    far = far_outside(rows)
    _, _, found = judge_rows(far, judge)
    share = np.count_nonzero(found.verdict == NORMAL) / max(1, len(far))
    if share < TOO_MANY:
        return None
    return (
        f"it calls {share:.0%} of {len(far)} rows far outside its training rows normal, in all "
        "directions: on these rows its scores are the wrong way round"
    )
