"""Rank a new score among the calibration scores, compiled.

A binary search over 10⁵ scores waits for memory at each of 17 steps. Here the range between two
outer quantiles is divided into as many equal buckets as there are scores; one multiplication finds
the bucket, and the search continues among the few scores in it. If a long tail crowds the scores
into few buckets, the range is divided by order of magnitude instead: by the scores' bits, read as
integers. Beyond the quantiles, and if buckets are uneven both ways, it falls back to binary search.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

import numpy as np

from detectd.jit import compiled

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

# The share of scores excluded at either end, since a few far ones would stretch the buckets.
OUTER = 0.005

# If equal buckets find a score in this many steps, no others are tried: normal scores take 1.8.
SHALLOW = 3.0


@dataclass(frozen=True, eq=False)
class Ranking:
    """An index over n ascending scores; built by `ranking`.

    The buckets are cut by the scores' magnitudes if `by_magnitude`, else by the scores. Bucket b
    holds scores[starts[b]:starts[b+1]]; `first[i]` is the place of the first score equal
    to scores[i].
    """

    scores: Floats
    starts: npt.NDArray[np.int32]
    first: npt.NDArray[np.int32]
    origin: float
    scale: float
    by_magnitude: bool

    @property
    def depth(self) -> float:
        """Return the mean number of steps to find a score."""
        sizes = np.diff(self.starts)
        return float(sizes @ np.log2(1.0 + sizes)) / len(self.scores)

    def judge(
        self, fresh: Floats, score_low: float, score_high: float
    ) -> tuple[npt.NDArray[np.int8], Ints]:
        """Return verdicts (k,) and ranks (2, k) of `fresh` (k,), C-contiguous; see
        `rank_and_verdict`.

        Raise ValueError if a score is not finite.
        """
        ranks = np.empty((2, len(fresh)), dtype=np.int64)
        verdict = np.empty(len(fresh), dtype=np.int8)
        if not rank_and_verdict(
            fresh,
            magnitudes(fresh) if self.by_magnitude else fresh,
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
    even = _ranking(scores, scores, by_magnitude=False)
    if even.depth < SHALLOW:
        return even
    return min(even, _ranking(scores, magnitudes(scores), by_magnitude=True), key=_depth)


def magnitudes(scores: Floats) -> Floats:
    """Return numbers (k,) in the order of the scores, that grow with their exponent."""
    bits = scores.view(np.int64)
    below_zero = -(bits & np.int64(2**63 - 1))
    return np.where(bits < 0, below_zero, bits).astype(np.float64)


def _ranking(scores: Floats, keys: Floats, *, by_magnitude: bool) -> Ranking:
    n = len(scores)
    origin, end = keys[int(OUTER * n)], keys[n - 1 - int(OUTER * n)]
    with np.errstate(all="ignore"):
        scale = (n - 2) / (end - origin) if n > 2 else 0.0
    if not (np.isfinite(scale) and scale > 0):
        origin = scale = 0.0  # One bucket for all: equal scores, or a range beyond any double.
    starts = np.zeros(n + 1, dtype=np.int32)
    _count_buckets(keys, float(origin), float(scale), starts)
    np.cumsum(starts, out=starts)
    first = np.searchsorted(scores, scores, side="left").astype(np.int32)
    return Ranking(scores, starts, first, float(origin), float(scale), by_magnitude)


_depth = attrgetter("depth")


@compiled
def _bucket(key: float, origin: float, scale: float, buckets: int) -> int:
    """Return the bucket of a key; never falls as the key rises, which is all that the search
    needs."""
    place = (key - origin) * scale
    if place >= buckets - 2:
        return buckets - 1
    return 1 + int(place) if place >= 0.0 else 0


@compiled
def _count_buckets(
    keys: Floats, origin: float, scale: float, starts: npt.NDArray[np.int32]
) -> None:
    buckets = starts.shape[0] - 1
    for key in keys:
        starts[_bucket(key, origin, scale, buckets) + 1] += 1


@compiled
def rank_and_verdict(
    fresh: Floats,
    keys: Floats,
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
    `zone`: 0 below `score_low`, 1 above `score_high`, 2 between. False if s is not finite. `keys`
    (k,) lead the scores s of `fresh` to their buckets."""
    buckets = starts.shape[0] - 1
    sound = True
    for i in range(fresh.shape[0]):
        s = fresh[i]
        sound &= abs(s) < np.inf
        bucket = _bucket(keys[i], origin, scale, buckets)
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


@compiled
def rank_in_zones(
    fresh: Floats,
    places: npt.NDArray[np.intp],
    scores: Floats,
    starts: Ints,
    lows: Floats,
    highs: Floats,
    out: Ints,
    verdict: npt.NDArray[np.int8],
) -> None:
    """Do the same with each score in the zone at its place in `places` (k,): among the ascending
    scores[starts[place]:starts[place+1]]. Infinity is above all of them."""
    for i in range(fresh.shape[0]):
        s, place = fresh[i], places[i]
        begin, end = starts[place], starts[place + 1]
        low, high = begin, end
        while low < high:
            middle = (low + high) >> 1
            if scores[middle] <= s:
                low = middle + 1
            else:
                high = middle
        out[0, i] = low - begin
        high = low
        low = begin
        while low < high:
            middle = (low + high) >> 1
            if scores[middle] < s:
                low = middle + 1
            else:
                high = middle
        out[1, i] = low - begin
        verdict[i] = 0 if s < lows[place] else (1 if s > highs[place] else 2)
