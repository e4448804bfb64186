"""Where a fresh score stands among the calibration scores, compiled.

A binary search over 10⁵ scores waits for memory at each of 17 steps. Here the range between two
outer quantiles is cut into as many equal buckets as there are scores; a multiplication finds the
bucket, and the search goes on among the few scores in it. Beyond the quantiles, and where the
buckets are uneven, it is the binary search again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from detectd.jit import compiled

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

# The share of scores left out at either end, where a few far ones would stretch the buckets.
OUTER = 0.005


@dataclass(frozen=True, eq=False)
class Ranking:
    """An index over n ascending scores; built by `ranking`.

    Bucket b holds scores[starts[b]:starts[b+1]]; `first[i]` is the place of the first score equal
    to scores[i].
    """

    scores: Floats
    starts: npt.NDArray[np.int32]
    first: npt.NDArray[np.int32]
    origin: float
    scale: float

    def judge(
        self, fresh: Floats, score_low: float, score_high: float
    ) -> tuple[npt.NDArray[np.int8], Ints]:
        """Verdicts (k,) and ranks (2, k) of `fresh` (k,), C-contiguous; see `rank_and_verdict`.

        Raises ValueError where a score is not finite.
        """
        ranks = np.empty((2, len(fresh)), dtype=np.int64)
        verdict = np.empty(len(fresh), dtype=np.int8)
        if not rank_and_verdict(
            fresh,
            self.scores,
            self.starts,
            self.first,
            self.origin,
            self.scale,
            score_low,
            score_high,
            ranks,
            verdict,
        ):
            raise ValueError("a score is not finite")
        return verdict, ranks


def ranking(scores: Floats) -> Ranking:
    """Index finite ascending scores, (n,)."""
    n = len(scores)
    origin, end = scores[int(OUTER * n)], scores[n - 1 - int(OUTER * n)]
    with np.errstate(all="ignore"):
        scale = (n - 2) / (end - origin) if n > 2 else 0.0
    if not (np.isfinite(scale) and scale > 0):
        origin = scale = 0.0  # One bucket for all: equal scores, or a range beyond any double.
    starts = np.zeros(n + 1, dtype=np.int32)
    _count_buckets(scores, float(origin), float(scale), starts)
    np.cumsum(starts, out=starts)
    first = np.searchsorted(scores, scores, side="left").astype(np.int32)
    return Ranking(scores, starts, first, float(origin), float(scale))


@compiled
def _bucket(score: float, origin: float, scale: float, buckets: int) -> int:
    """The bucket of a score; never falls as the score rises, which is all that the search needs."""
    place = (score - origin) * scale
    if place >= buckets - 2:
        return buckets - 1
    return 1 + int(place) if place >= 0.0 else 0


@compiled
def _count_buckets(
    scores: Floats, origin: float, scale: float, starts: npt.NDArray[np.int32]
) -> None:
    buckets = starts.shape[0] - 1
    for score in scores:
        starts[_bucket(score, origin, scale, buckets) + 1] += 1


@compiled
def rank_and_verdict(
    fresh: Floats,
    scores: Floats,
    starts: npt.NDArray[np.int32],
    first: npt.NDArray[np.int32],
    origin: float,
    scale: float,
    score_low: float,
    score_high: float,
    out: Ints,
    verdict: npt.NDArray[np.int8],
) -> bool:
    """Fill `out` (2, k) with #{scores ≤ s} and #{scores < s}, and `verdict` (k,) with the codes of
    `zone`: 0 below `score_low`, 1 above `score_high`, 2 between. False where s is not finite."""
    buckets = starts.shape[0] - 1
    sound = True
    for i in range(fresh.shape[0]):
        s = fresh[i]
        sound &= abs(s) < np.inf
        bucket = _bucket(s, origin, scale, buckets)
        low, high = starts[bucket], starts[bucket + 1]
        while low < high:
            middle = (low + high) >> 1
            if scores[middle] <= s:
                low = middle + 1
            else:
                high = middle
        out[0, i] = low
        out[1, i] = first[low - 1] if low > 0 and scores[low - 1] == s else low
        verdict[i] = 0 if s < score_low else (1 if s > score_high else 2)
    return sound
