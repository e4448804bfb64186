"""Prepare rows for a detector: encode their categories, then scale their columns. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from detectd.detectors.selection import choose

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from numpy.typing import NDArray

    from detectd.detectors.encoding import Encoding
    from detectd.detectors.scaling import Scaling
    from detectd.detectors.scorer import Scorer

    Rows = NDArray[np.float64]
    Step = Encoding | Scaling

# Rows prepared at once, in bytes: an encoded row may have a hundred times as many columns.
PART_BYTES = 4 << 20


class PreparedScorer:
    """A scorer that takes feature vectors, and prepares them for the detector's scorer."""

    def __init__(self, scorer: Scorer, steps: Sequence[Step], width: int) -> None:
        self._scorer, self._steps = scorer, steps
        self._part = max(1, PART_BYTES // (8 * width))

    @property
    def how(self) -> str:
        """See `Scorer`."""
        return self._scorer.how

    @property
    def doubt(self) -> str | None:
        """See `Scorer`."""
        return self._scorer.doubt

    def score(self, rows: Rows) -> Rows:
        """See `Scorer`."""
        if len(rows) <= self._part:
            return self._scorer.score(prepared(rows, self._steps))
        parts = [rows[first : first + self._part] for first in range(0, len(rows), self._part)]
        return np.concatenate([self._scorer.score(prepared(part, self._steps)) for part in parts])


def prepared(rows: Rows, steps: Sequence[Step]) -> Rows:
    """Return complete rows (k, d) as the detector gets them."""
    for step in steps:
        rows = step(rows)
    return rows


def choose_scaled(
    detector: Any,
    rows: Rows,
    scaling: Scaling | None,
    encoding: Encoding | None = None,
    *,
    kernels: bool = True,
) -> Scorer:
    """Return the scorer of a detector fitted to encoded and scaled rows; `rows` (N, d) are as they
    came."""
    steps = [step for step in (encoding, scaling) if step is not None]
    ready = prepared(rows, steps)
    scorer = choose(detector, ready, kernels=kernels)
    return PreparedScorer(scorer, steps, ready.shape[1]) if steps else scorer
