"""The anomalies of most interest: the latest, the strongest, and the keys with the most.

They are for display, and are written periodically with the other observations: a crash loses the
latest of them.
"""

from __future__ import annotations

import heapq
from collections import Counter
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgspec

from detectd.pipeline.anomaly_records import Anomaly, key_text, reader
from detectd.pipeline.records import Topic
from detectd.pipeline.top_keys import TopKey, TopKeys, added

if TYPE_CHECKING:
    from collections.abc import Sequence

    from detectd.pipeline.records import Outgoing

# How many of each are kept, and of how many features.
KEPT = 20
FEATURES = 8
KEYS = 64

SCORE = "detectd-score"

STRENGTH = attrgetter("strength")


class Kept(msgspec.Struct):
    """The result of `RecentAnomalies.as_dict`: `latest` in order, `strongest` first."""

    latest: list[Anomaly] = []
    strongest: list[Anomaly] = []
    keys: list[TopKey] = []


class RecentAnomalies:
    """A bounded memory of one model's anomalies: 2 · KEPT records and KEYS keys."""

    def __init__(self, features: Sequence[str], *, original: bool) -> None:
        self._read = reader(features, original=original, most=FEATURES)
        self._keys = TopKeys(KEYS)
        self._kept = Kept()

    def see(self, outgoing: Sequence[Outgoing]) -> None:
        """Add the outputs of a commit. It reads at most 2 · KEPT of its anomalies."""
        found = [out for out in outgoing if out.topic is Topic.ANOMALY]
        if not found:
            return
        keyed = Counter(key_text(out.key) for out in found if out.key is not None)
        for key, times in keyed.items():
            assert key is not None
            self._keys.add(key, times)
        kept = self._kept
        kept.latest = [*kept.latest, *filter(None, map(self._read, found[-KEPT:]))][-KEPT:]
        read = map(self._read, heapq.nlargest(KEPT, found, key=_score))
        strong = (anomaly for anomaly in read if anomaly and anomaly.detailed)
        kept.strongest = heapq.nlargest(KEPT, [*kept.strongest, *strong], key=STRENGTH)

    def top(self, most: int) -> list[TopKey]:
        """Return the keys with the most anomalies."""
        return self._keys.top(most)

    def as_dict(self) -> dict[str, Any]:
        """Return everything, for JSON."""
        told = Kept(self._kept.latest, self._kept.strongest, self._keys.top())
        found: dict[str, Any] = msgspec.to_builtins(told)
        return found

    def resume(self, past: object) -> None:
        """Resume from the result of `as_dict`; invalid parts are ignored."""
        self._kept = kept(past)
        self._keys.resume(self._kept.keys)


def kept(past: object) -> Kept:
    """Return the anomalies in a file; none if they are invalid."""
    try:
        return msgspec.convert(past, Kept)
    except msgspec.ValidationError:
        return Kept()


def together(parts: Sequence[object]) -> dict[str, Any]:
    """Return the anomalies of several processes, each from `as_dict`, as if from one."""
    found = [kept(part) for part in parts]
    every = [anomaly for each in found for anomaly in each.latest]
    strongest = [anomaly for each in found for anomaly in each.strongest]
    joined = Kept(
        # Stable: anomalies without a time keep the order of their process.
        latest=sorted(every, key=lambda anomaly: anomaly.time_ms or 0)[-KEPT:],
        strongest=heapq.nlargest(KEPT, strongest, key=STRENGTH),
        keys=added([each.keys for each in found], KEYS),
    )
    told: dict[str, Any] = msgspec.to_builtins(joined)
    return told


def _score(out: Outgoing) -> float:
    """Return the output's score, by the last header of that name; within a model it orders them. An
    anomaly without one lies beyond all scores."""
    for name, content in reversed(out.headers):
        if name == SCORE:
            return float(content)
    return float("inf")
