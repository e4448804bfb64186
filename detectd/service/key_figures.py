"""What becomes of keys and of their events: for telemetry, and for the log once in a while."""

from __future__ import annotations

import math
import time
from collections import Counter
from typing import TYPE_CHECKING

import structlog

from detectd.features.lateness import guess
from detectd.telemetry.snapshot import KeyFigures

if TYPE_CHECKING:
    from detectd.features.state import FeatureState
    from detectd.pipeline.vectors import Vectors

log = structlog.get_logger()

# No line is repeated within an hour.
AGAIN_SECONDS = 3600.0
# Many are late: so many at least, and such a share of this many events, or of fewer.
MANY_LATE, LATE_SHARE, RECENT = 100, 0.1, 10_000

EVENTS, EVICTED, EXPIRED, LATE = "events", "evicted", "expired", "late"


class KeyCounts:
    """Counts what this process has seen of keys, once it is committed."""

    def __init__(self, features: FeatureState) -> None:
        self._features = features
        self._events: Counter[str] = Counter()
        self._unscored: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        # When each line was told last, and what is to be told in the next one.
        self._told: dict[str, float] = {}
        self._untold = 0
        self._recent: Counter[str] = Counter()

    def see(self, batch: Vectors) -> None:
        """Take the feature vectors of a batch in."""
        self._events[EVENTS] += len(batch.events) + len(batch.unscored)
        self._unscored.update(each.reason.value for each in batch.unscored.values())

    def on_commit(self) -> None:
        """Let count what was seen; before the tables do."""
        for table in self._features.tables.values():
            new = table.uncommitted
            self._events.update({EVICTED: new.evicted, EXPIRED: new.expired, LATE: new.late})
        self._counts.update(self._events)
        self._recent.update(self._events)
        self._untold += self._events[EVICTED]
        self._reasons.update(self._unscored)
        self.rollback()
        self._tell(time.monotonic())

    def rollback(self) -> None:
        """Forget what was seen since the last commit."""
        self._events.clear()
        self._unscored.clear()

    def figures(self) -> KeyFigures:
        """Return what is known now."""
        tables = self._features.tables.values()
        return KeyFigures(
            remembered=sum(map(len, tables)),
            most=self._features.bounds.max_keys * max(1, len(tables)),
            silent=sum(table.silent for table in tables),
            evicted=self._counts[EVICTED],
            expired=self._counts[EXPIRED],
            late=self._counts[LATE],
            unscored=dict(self._reasons),
        )

    def _tell(self, now: float) -> None:
        if self._untold and self._due("keys.evicted", now):
            most = self._features.bounds.max_keys
            hint = f"raise keys.max ({most:,}), or what they remember is lost again and again"
            log.warning("keys.evicted", count=self._untold, hint=hint)
            self._untold = 0
        late, events = self._recent[LATE], self._recent[EVENTS]
        many = late >= max(MANY_LATE, LATE_SHARE * events)
        if many and self._due("records.late", now):
            reason = guess(self._features.late) or "they came after a later one of their key"
            hint = "keys.late says what becomes of them"
            log.warning("records.late", count=late, events=events, reason=reason, hint=hint)
        if events >= RECENT:
            self._recent.clear()

    def _due(self, line: str, now: float) -> bool:
        """Return whether the line may be told again, and take it for told."""
        due = now - self._told.get(line, -math.inf) >= AGAIN_SECONDS
        if due:
            self._told[line] = now
        return due
