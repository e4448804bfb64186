"""Select anomalies, in bounded memory."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import msgspec

from detectd.pipeline.top_keys import TopKeys

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from detectd.pipeline.anomaly_records import Anomaly, Read
    from detectd.pipeline.records import Record

# The most keys that are counted separately, those with the most anomalies.
KEYS = 10_000


class KeyAnomalies(msgspec.Struct, frozen=True):
    """A key's anomalies: `count` is too high by at most `error`."""

    key: str | None
    count: int
    error: int
    latest: Anomaly
    strongest: Anomaly


class Selection:
    """Read records, skip those before `since_ms`, and count the skipped ones.

    `matched` counts the selected ones, `timeless` those without a time, and `unreadable` records
    that are not outputs of detectd.
    """

    def __init__(self, read: Read, since_ms: int | None) -> None:
        self._read = read
        self._since_ms = since_ms
        self.matched = self.timeless = self.unreadable = 0

    def of(self, batches: Iterable[Sequence[Record]]) -> Iterator[Anomaly]:
        """Yield the selected anomalies, in the order of the records."""
        for record in chain.from_iterable(batches):
            anomaly = self._read(record)
            if anomaly is None:
                self.unreadable += 1
            elif self._since_ms is not None and anomaly.time_ms is None:
                self.timeless += 1
            elif self._since_ms is None or (anomaly.time_ms or 0) >= self._since_ms:
                self.matched += 1
                yield anomaly


def by_key(found: Iterable[Anomaly]) -> list[KeyAnomalies]:
    """Group anomalies by their key; the keys with the most come first.

    The latest has the latest time, and of those without a time it is the last.
    """
    counts = TopKeys(KEYS)
    names: dict[str, str | None] = {}
    seen: dict[str, tuple[Anomaly, Anomaly]] = {}
    for anomaly in found:
        name = "" if anomaly.key is None else f"={anomaly.key}"
        evicted = counts.add(name)
        if evicted is not None:
            del seen[evicted], names[evicted]
        names[name] = anomaly.key
        latest, strongest = seen.get(name, (anomaly, anomaly))
        if (anomaly.time_ms or 0) >= (latest.time_ms or 0):
            latest = anomaly
        if anomaly.strength > strongest.strength:
            strongest = anomaly
        seen[name] = latest, strongest
    return [
        KeyAnomalies(names[top.key], top.count, top.error, *seen[top.key]) for top in counts.top()
    ]
