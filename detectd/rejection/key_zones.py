"""A zone for each key with enough calibration scores, and one that all other keys share.

Keys that differ in the scale of their scores make pooled scores a mixture: the events of one key
are then not exchangeable with all calibration scores, only with those of the same key. So each key
is judged among its own scores, and its promise is exact, as that of a model that knows no other
key (V. Vovk, "Conditional validity of inductive conformal predictors", 2013: a Mondrian taxonomy
whose categories are the keys).

A key earns a zone of its own if that zone would leave at least half of the expected anomalies to be
called anomaly under the configured terms, and so would one of any larger number of scores; under a
budget, if it would leave half, or as many as the zone of all scores leaves. All other keys, those
that calibration has never seen included, are one category with a zone among their scores; if these
are too few as well, among all scores.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from detectd.errors import ConfigError
from detectd.rejection import KeyVerdicts, reach, rejector, stability, ties_matter, zone
from detectd.rejection.key_promise import KeyPromises
from detectd.rejection.promise import promise, threshold
from detectd.rejection.reach import ENOUGH, smallest_n_reaching
from detectd.rejection.stability import require_anomalies
from detectd.rejection.zone import order_statistic

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    from detectd.rejection import Rejector, Stability, Zone
    from detectd.rejection.promise import Promise, Terms

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]
    Digests = npt.NDArray[np.uint64]

# Of more keys with enough scores, those with the most have a zone of their own.
MOST_KEYS = 10_000


@dataclass(frozen=True, slots=True, eq=False)
class KeyZones:
    """The zones of K keys, and at index K the one that the others share.

    `digests` (K,) are those of the keys, ascending. Zone i has the ascending calibration scores
    scores[starts[i]:starts[i+1]], and rejects those in [low[i], high[i]]; low and high are (K+1,).
    `tables` are the stabilities by number of scores. `shares` (K+1,) are those of the calibration
    rows, `pooled` is the rejector of all scores together.
    """

    digests: Digests
    zones: tuple[Zone, ...]
    scores: Floats
    starts: Ints
    low: Floats
    high: Floats
    tables: Mapping[int, Stability]
    shares: Floats
    pooled: Rejector

    @property
    def own(self) -> int:
        """Return K, the number of keys with a zone of their own."""
        return len(self.digests)

    @property
    def mixed(self) -> bool:
        """Return whether the shared zone has the scores of keys with a zone of their own as
        well."""
        return self.own > 0 and len(self.scores_of(self.own)) == len(self.pooled.scores)

    @property
    def sizes(self) -> Ints:
        """Return the number of scores of each zone, (K+1,)."""
        return np.diff(self.starts)

    def scores_of(self, place: int) -> Floats:
        """Return the ascending calibration scores of a zone."""
        return self.scores[self.starts[place] : self.starts[place + 1]]

    def places(self, digests: Digests) -> npt.NDArray[np.intp]:
        """Return the index (k,) of the zone of each key (k,)."""
        found = np.searchsorted(self.digests, digests)
        if not self.own:
            return found
        known = self.digests[np.minimum(found, self.own - 1)] == digests
        return np.where(known, found, self.own)

    def judge(self, scores: Floats, places: npt.NDArray[np.intp]) -> KeyVerdicts:
        """Judge scores (k,), each in the zone at `places` (k,); infinity is above all scores."""
        # Loads the compiler, which a check has no use for.
        from detectd.rejection.ranking import rank_in_zones

        ranks = np.empty((2, len(scores)), dtype=np.int64)
        verdict = np.empty(len(scores), dtype=np.int8)
        scores = np.ascontiguousarray(scores, dtype=np.float64)
        rank_in_zones(scores, places, self.scores, self.starts, self.low, self.high, ranks, verdict)
        return KeyVerdicts(verdict, ranks[0], ranks[1], places)


def planned_reach(n: int, terms: Terms) -> float:
    """Return the reach of the zone of any n calibration scores; 0 if that can never say normal, or
    n scores cannot meet the terms."""
    try:
        judged = zone(stability(n, require_anomalies(n, terms.contamination)), threshold(n, terms))
    except ConfigError:
        return 0.0
    return reach(judged, terms.contamination) if judged.normal_reachable else 0.0


def own_keys(keys: Digests, terms: Terms) -> Digests:
    """Return which of the `keys` (n,) of calibration scores have a zone of their own, ascending.

    Rows without a key, digest 0, are never those of one.
    """
    names, counts = np.unique(keys, return_counts=True)
    earns = _earns(len(keys), terms)
    earned = np.array([earns(n) for n in counts.tolist()], dtype=bool) & (names != 0)
    names, counts = names[earned], counts[earned]
    most = np.argsort(-counts, kind="stable")[:MOST_KEYS]
    return np.sort(names[most])


def promises_by_key(scores: Floats, keys: Digests, terms: Terms) -> tuple[Promise, KeyZones]:
    """Return the promise to all keys, with the zone of those that have none of their own; and the
    zones of all.

    `scores` (n,) are all calibration scores, ascending, and `keys` (n,) whose they are. Raise
    ConfigError if n scores cannot meet the terms.
    """
    own = own_keys(keys, terms)
    others = scores[~np.isin(keys, own)]
    enough = len(own) and _earns(len(scores), terms)(len(others))
    shared = promise(others if enough else scores, terms)
    zones = key_zones(scores, keys, own, shared.rejector, terms)
    promises, tied = KeyPromises(zones.zones, mixed=zones.mixed), _tied(zones)
    whole = replace(
        shared,
        tied=shared.tied or tied > 0,
        warnings=[*shared.warnings, *_tie_warnings(zones, tied)],
        exact=shared.exact and promises.exact(zones.shares, terms),
        mixture=promises.mixture(zones.shares, terms.delta),
        shared=shared,
    )
    return (whole if zones.own else shared), zones


def _tied(zones: KeyZones) -> int:
    """Return how many keys have a zone with ties at an edge that matter."""
    return sum(
        ties_matter(zones.scores_of(i), zones.zones[i], (float(zones.low[i]), float(zones.high[i])))
        for i in range(zones.own)
    )


def _tie_warnings(zones: KeyZones, tied: int) -> list[str]:
    if not tied:
        return []
    return [
        f"the calibration scores of {tied:,} of {zones.own:,} keys with a zone of their own are "
        "tied at an edge of it: their abstention rates exceed their upper bounds more often than "
        "stated; choose a detector or features whose scores differ"
    ]


def _earns(total: int, terms: Terms) -> Callable[[int], bool]:
    """Return whether so many of `total` calibration scores are enough for a zone of their own."""
    fewest, least = 0, 0.0
    if terms.max_abstain_rate is None:
        fewest = smallest_n_reaching(terms.contamination, terms.T)
    else:
        least = min(float(ENOUGH), planned_reach(total, terms))

    @functools.cache
    def earns(n: int) -> bool:
        if n < fewest:
            return False
        found = planned_reach(n, terms)
        return found > 0.0 and found >= least

    return earns


def key_zones(
    scores: Floats, keys: Digests, own: Digests, shared: Rejector, terms: Terms
) -> KeyZones:
    """Return the zones of the keys `own` (K,), and `shared` for all others.

    `scores` (n,) are all calibration scores, ascending, and `keys` (n,) whose they are.
    """
    order = np.argsort(keys, kind="stable")  # Scores of a key stay ascending.
    first = np.searchsorted(keys[order], own, "left")
    last = np.searchsorted(keys[order], own, "right")
    parts = [scores[order[a:b]] for a, b in zip(first.tolist(), last.tolist(), strict=True)]
    sizes = [len(part) for part in parts]
    tables = {n: stability(n, require_anomalies(n, terms.contamination)) for n in set(sizes)}
    zones_by_size = {n: zone(table, threshold(n, terms)) for n, table in tables.items()}
    zones = [zones_by_size[n] for n in sizes]
    pairs = list(zip(parts, zones, strict=True))
    pooled = shared
    if len(shared.scores) != len(scores):
        pooled = rejector(scores, terms.contamination, threshold(len(scores), terms))
    low = [order_statistic(part, each.rank_low) for part, each in pairs]
    high = [order_statistic(part, each.rank_high + 1) for part, each in pairs]
    judge = KeyZones(
        digests=own,
        zones=(*zones, shared.zone),
        scores=np.concatenate([*parts, shared.scores]) + 0.0,
        starts=np.cumsum([0, *sizes, len(shared.scores)]),
        low=np.array([*low, shared.score_low]),
        high=np.array([*high, shared.score_high]),
        tables=tables | {shared.zone.n: shared.stability},
        shares=np.array([*sizes, len(scores) - sum(sizes)]) / len(scores),
        pooled=pooled,
    )
    judge.judge(np.zeros(1), np.zeros(1, dtype=np.intp))  # Compiles, as in `rejector`.
    return judge
