"""Monitoring of keys and their events: for telemetry, and rarely for the log."""

from __future__ import annotations

import math
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import structlog

from detectd import derive
from detectd.features.lateness import guess
from detectd.pipeline.alerts import silence_alert
from detectd.service.quiet_partitions import QuietPartitions
from detectd.sources.kafka_position import offsets_in
from detectd.telemetry.snapshot import KeyFigures

if TYPE_CHECKING:
    from collections.abc import Mapping

    from detectd.features.state import FeatureState
    from detectd.pipeline.records import Outgoing
    from detectd.pipeline.vectors import Vectors
    from detectd.settings import Settings
    from detectd.sources import Partition

log = structlog.get_logger()

# No line is repeated within an hour.
AGAIN_SECONDS = 3600.0
# Warn if at least this many events are late, and this share of this many events or fewer.
MANY_LATE, LATE_SHARE, RECENT = 100, 0.1, 10_000

EVENTS, EVICTED, EXPIRED, LATE = "events", "evicted", "expired", "late"
ROUTINE = "routine"


class KeyWatch:
    """Report on the keys of `features`: silences to the alerts topic, counts of committed events.

    A key without an event for `silent_after` is silent; None disables this. `quiet` detects
    partitions without any event, None if the clock must not be used. If `fenced`, a commit may
    contain nothing of a partition that its position does not name.
    """

    def __init__(
        self,
        features: FeatureState,
        silent_after: str | None = None,
        quiet: QuietPartitions | None = None,
        *,
        fenced: bool = False,
    ) -> None:
        self._features = features
        self._fenced = fenced
        self._silent_after = silent_after
        self._quiet = quiet
        self._unscored: Counter[str] = Counter()
        self._routine = 0
        self._counts: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        # When each line was last logged, and what the next one will contain.
        self._told: dict[str, float] = {}
        self._untold = 0
        self._recent: Counter[str] = Counter()

    def see(self, batch: Vectors) -> None:
        """Add the feature vectors of a batch, after it was answered."""
        self._unscored.update(each.reason.value for each in batch.unscored.values())
        if batch.routine:
            self._routine += batch.routine.count

    def look(
        self,
        partitions: Mapping[str, Partition] | None,
        position: Mapping[str, Any],
        now: float,
    ) -> list[str]:
        """Mark all keys of a quiet partition as silent; `now` is a clock in seconds.

        `partitions` are the assigned ones, and `position` is that of the next commit. Return the
        partitions that must be added to it before their silence can be reported.
        """
        if self._quiet is None:
            return []
        tables = dict(self._features.tables.items())
        # A source without partitions has one table, without a name.
        ours = {name for name, each in (partitions or {}).items() if each.lag == 0} | {""}
        events = {name: table.counters.events for name, table in tables.items()}
        found = self._quiet.look(events, tables.keys() - ours, now)
        quiet = [name for name in found if tables[name].silent < len(tables[name])]
        within = {f"{topic}/{number}" for topic, number in offsets_in(position)}
        lacking = [name for name in quiet if self._fenced and name not in within]
        for name in quiet:
            if name not in lacking:
                tables[name].silence_all()
        return lacking

    def alerts(self) -> list[tuple[float, Outgoing]]:
        """Return the silences since the last commit as records for it, each with its moment."""
        span = self._silent_after
        found = self._features.tables.silences() if span else []
        return [(each.moment, silence_alert(name, each, span or "")) for name, each in found]

    def on_commit(self) -> None:
        """Make what was seen permanent; call this before the tables' `on_commit`."""
        for table in self._features.tables.values():
            new = table.uncommitted._asdict()
            counted = {name: new[name] for name in (EVENTS, EVICTED, EXPIRED, LATE)}
            self._counts.update(counted)
            self._recent.update(counted)
            self._untold += counted[EVICTED]
        self._reasons.update(self._unscored)
        self._counts[ROUTINE] += self._routine
        self.rollback()
        self._tell(time.monotonic())

    def rollback(self) -> None:
        """Discard what was seen since the last commit."""
        self._unscored.clear()
        self._routine = 0

    def figures(self) -> KeyFigures:
        """Return the current figures."""
        tables = self._features.tables.values()
        return KeyFigures(
            remembered=sum(map(len, tables)),
            most=self._features.bounds.max_keys * max(1, len(tables)),
            silent=sum(table.silent for table in tables),
            evicted=self._counts[EVICTED],
            expired=self._counts[EXPIRED],
            late=self._counts[LATE],
            unscored=dict(self._reasons),
            routine=self._counts[ROUTINE],
        )

    def _tell(self, now: float) -> None:
        if self._untold and self._due("keys.evicted", now):
            most = self._features.bounds.max_keys
            hint = f"raise keys.max ({most:,}), or keys will keep losing their history"
            log.warning("keys.evicted", count=self._untold, hint=hint)
            self._untold = 0
        late, events = self._recent[LATE], self._recent[EVENTS]
        many = late >= max(MANY_LATE, LATE_SHARE * events)
        if many and self._due("records.late", now):
            reason = guess(self._features.late) or "they came after a later event of their key"
            hint = "keys.late decides what happens to them"
            log.warning("records.late", count=late, events=events, reason=reason, hint=hint)
        if events >= RECENT:
            self._recent.clear()

    def _due(self, line: str, now: float) -> bool:
        """Return whether the line may be logged again, and record it as logged."""
        due = now - self._told.get(line, -math.inf) >= AGAIN_SECONDS
        if due:
            self._told[line] = now
        return due


def key_watch(settings: Settings, features: FeatureState) -> KeyWatch:
    """Return the monitor of the keys of `features`."""
    span_ms = settings.keys.silent_ms
    # A file that is read to its end must give the same outputs each time, so the clock is not used.
    clocked = settings.source.kind != "file" or settings.source.follow
    quiet = QuietPartitions(span_ms / 1000) if span_ms and clocked else None
    fenced = derive.keys_topic(settings) is not None
    return KeyWatch(features, settings.keys.silent_after, quiet, fenced=fenced)
