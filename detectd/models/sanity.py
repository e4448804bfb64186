"""Whether a fitted model scores its own training rows, and its scores point outwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from detectd.detectors import far_outside
from detectd.pipeline.scoring import judge_rows
from detectd.rejection import NORMAL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from detectd.pipeline.scoring import ModelScorer

# Of rows far outside in all directions, fewer than this share may be called normal: detectors that
# look at one feature at a time miss some.
TOO_MANY = 0.5

# Training rows enough to see a detector that has no number for such rows.
TRIED = 512


def why_scoreless(judge: ModelScorer, rows: NDArray[np.float64]) -> str | None:
    """Return why the model may answer nothing: too many rows like its training rows get no finite
    score.

    In the stream such a score means that a row is far outside. Among the training rows, as many may
    be as are expected to be anomalies. None if it is sound. `rows` (N, d) are complete.
    """
    some, zone = rows[:TRIED], judge.rejector.zone
    _, finite, _ = judge_rows(some, judge)
    lost = int(np.count_nonzero(~finite))
    if lost * zone.n <= zone.m * len(some):
        return None
    return f"it gives no finite score to {lost} of {len(some)} training rows"


def why_backwards(judge: ModelScorer, rows: NDArray[np.float64]) -> str | None:
    """Return why the model may answer nothing: half of the rows far outside, or more, are called
    normal.

    None if it is sound. `rows` (N, d) are the complete rows that it was trained on. A row without a
    finite score is not called normal.
    """
    far = far_outside(rows)
    _, _, found = judge_rows(far, judge)
    share = np.count_nonzero(found.verdict == NORMAL) / max(1, len(far))
    if share < TOO_MANY:
        return None
    return (
        f"it calls {share:.0%} of {len(far)} rows far outside of its training rows normal, in "
        "directions all around: on these rows its scores point inwards"
    )
