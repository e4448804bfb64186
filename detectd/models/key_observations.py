"""What the stream made of the promises of single keys: events and abstentions by key.

They are written periodically with the other observations: a crash loses the latest of them, which
does not bias what is left. Only keys with a zone of their own are counted one by one, so there are
at most as many as the model has zones: 10,000 take about 300 kB. The names are written of those
alone that are farthest above their promise, as reports name no others.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np

from detectd.pipeline.anomaly_records import key_text
from detectd.rejection import ABSTAIN, KeyVerdicts
from detectd.rejection.key_promise import KeyCounts, KeyPromises

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from detectd.pipeline.scoring import ScoredBatch
    from detectd.rejection.key_zones import KeyZones

# The names of so many keys are written.
NAMED = 100

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class Seen(msgspec.Struct, frozen=True, array_like=True):
    """Events of a key, and those of them that were abstained from; `digest` in hexadecimal. The
    name is empty if it is not written."""

    digest: str
    name: str
    events: Count
    abstained: Count


class KeyRecord(msgspec.Struct, frozen=True):
    """The result of `KeyObservations.as_dict`; `others` are the keys that share a zone."""

    keys: list[Seen] = []
    others: tuple[Count, Count] = (0, 0)


class KeyObservations:
    """Counts by key under one model and its zones. It is `Checkpointed`, without a snapshot."""

    def __init__(self, zones: KeyZones) -> None:
        self._zones = zones
        self._promises = KeyPromises(zones.zones, mixed=zones.mixed)
        self._names: dict[int, str] = {}
        self.counts = self._seen = KeyCounts.none(zones.own + 1)

    def see(self, scored: ScoredBatch) -> None:
        """Count a batch, until the commit provisionally, by the model's verdicts.

        Routine events count as what the model said of them: only anomalies and abstentions can be
        routine, and without them the rest would not be exchangeable with the calibration scores.
        """
        found = scored.found
        assert isinstance(found, KeyVerdicts)
        self._seen = self._seen.plus(found.places, found.verdict == ABSTAIN)
        places, first = np.unique(found.places, return_index=True)
        for place, row in zip(places.tolist(), first.tolist(), strict=True):
            if place < self._zones.own and place not in self._names:
                self._names[place] = key_text(scored.events[row].key) or ""

    def on_commit(self) -> None:
        """Make what was seen permanent."""
        self.counts = self._seen

    def rollback(self) -> None:
        """Discard what was seen since the last commit."""
        self._seen = self.counts

    def record(self) -> KeyRecord:
        """Return the committed counts by key, with the names of those with the largest excess."""
        digests, counts = self._zones.digests.tolist(), self.counts
        excess = self._promises.excess(counts)[:-1]
        worst = np.argsort(-excess, kind="stable")[:NAMED].tolist()
        names = {place: self._names.get(place, "") for place in worst}
        events, abstained = counts.events.tolist(), counts.abstained.tolist()
        return KeyRecord(
            [
                Seen(
                    f"{digests[place]:016x}", names.get(place, ""), events[place], abstained[place]
                )
                for place in np.flatnonzero(counts.events[:-1]).tolist()
            ],
            (events[-1], abstained[-1]),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the counts for JSON."""
        found: dict[str, Any] = msgspec.to_builtins(self.record())
        return found

    def resume(self, past: object) -> None:
        """Resume from the result of `as_dict`; from the beginning if it is invalid."""
        kept = recorded(past)
        self._names, self.counts = by_place(kept, self._zones)
        self._seen = self.counts


def recorded(past: object) -> KeyRecord:
    """Return the counts in a file; none if they are invalid."""
    try:
        return msgspec.convert(past, KeyRecord)
    except msgspec.ValidationError:
        return KeyRecord()


def by_place(kept: KeyRecord, zones: KeyZones) -> tuple[dict[int, str], KeyCounts]:
    """Return the names and counts by the index of a key's zone. Keys without one are passed
    over."""
    index = {f"{digest:016x}": place for place, digest in enumerate(zones.digests.tolist())}
    counts, names = KeyCounts.none(zones.own + 1), {}
    for seen in kept.keys:
        place = index.get(seen.digest)
        if place is not None:
            if seen.name:
                names[place] = seen.name
            counts.events[place] += seen.events
            counts.abstained[place] += min(seen.events, seen.abstained)
    counts.events[-1], counts.abstained[-1] = kept.others[0], min(kept.others)
    return names, counts


def added_up(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return the counts of several processes, each from `as_dict`, as if from one; None if there
    are none."""
    kept = [recorded(part["by_key"]) for part in parts if "by_key" in part]
    if not kept:
        return None
    totals: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    names: dict[str, str] = {}
    for seen in (seen for each in kept for seen in each.keys):
        total = totals[seen.digest]
        total[0], total[1] = total[0] + seen.events, total[1] + seen.abstained
        names[seen.digest] = seen.name or names.get(seen.digest, "")
    others = [sum(column) for column in zip(*(each.others for each in kept), strict=True)]
    keys = [[digest, names[digest], *total] for digest, total in totals.items()]
    return {"keys": keys, "others": others}
