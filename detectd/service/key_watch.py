"""What becomes of keys and of their events: for telemetry, and for the log once in a while."""

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
# Many are late: so many at least, and such a share of this many events, or of fewer.
MANY_LATE, LATE_SHARE, RECENT = 100, 0.1, 10_000

EVENTS, EVICTED, EXPIRED, LATE = "events", "evicted", "expired", "late"


class KeyWatch:
    """Tells of the keys of `features`: silences to the alerts topic, counts of what is committed.

    A key may say nothing for `silent_after`, for ever if it is None. `quiet` sees partitions that
    nothing comes from at all, None if no clock may. If `fenced`, a commit holds nothing of a
    partition that its position does not name.
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
        self._counts: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        # When each line was told last, and what is to be told in the next one.
        self._told: dict[str, float] = {}
        self._untold = 0
        self._recent: Counter[str] = Counter()

    def see(self, batch: Vectors) -> None:
        """Take the feature vectors of a batch in."""
        self._unscored.update(each.reason.value for each in batch.unscored.values())

    def look(
        self,
        partitions: Mapping[str, Partition] | None,
        position: Mapping[str, Any],
        now: float,
    ) -> list[str]:
        """Take all keys of a partition for silent that nothing has come from; `now` is a clock.

        `partitions` are those of ours, as the source tells it, and `position` is that of the next
        commit. Returns partitions that have to be in it before that can be told.
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

    def alerts(self) -> list[Outgoing]:
        """Return the silences since the last commit, as records for it."""
        tables, span = self._features.tables, self._silent_after
        return [silence_alert(*each, span) for each in tables.silences()] if span else []

    def on_commit(self) -> None:
        """Let count what was seen; before the tables do."""
        for table in self._features.tables.values():
            new = table.uncommitted._asdict()
            counted = {name: new[name] for name in (EVENTS, EVICTED, EXPIRED, LATE)}
            self._counts.update(counted)
            self._recent.update(counted)
            self._untold += counted[EVICTED]
        self._reasons.update(self._unscored)
        self.rollback()
        self._tell(time.monotonic())

    def rollback(self) -> None:
        """Discard what was seen since the last commit."""
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


def key_watch(settings: Settings, features: FeatureState) -> KeyWatch:
    """Return what tells of the keys of `features`."""
    span_ms = settings.keys.silent_ms
    # A file that is read to its end gives the same outputs each time, so no clock may decide.
    clocked = settings.source.kind != "file" or settings.source.follow
    quiet = QuietPartitions(span_ms / 1000) if span_ms and clocked else None
    fenced = derive.keys_topic(settings) is not None
    return KeyWatch(features, settings.keys.silent_after, quiet, fenced=fenced)
