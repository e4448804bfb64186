"""What is remembered of keys, between the commits and across restarts."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import structlog

from detectd import derive, wiring
from detectd.pipeline.alerts import silence_alert
from detectd.service.key_figures import KeyCounts
from detectd.service.key_log import KeyLog
from detectd.service.quiet_partitions import QuietPartitions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from detectd.features.state import FeatureState
    from detectd.pipeline.records import Outgoing
    from detectd.pipeline.schema import Schema
    from detectd.settings import Settings
    from detectd.sources import Partition

log = structlog.get_logger()


class KeyMemory:
    """The state of keys and the log that keeps it. It is `Checkpointed`.

    `identity` says what keys and times are: under another one nothing of a state can be kept.
    `silent_after` is the span after which a silence is told, None for never; `quiet` sees that of
    whole partitions, None if no clock may.
    """

    def __init__(
        self,
        features: FeatureState,
        keys: KeyLog,
        identity: str,
        silent_after: str | None = None,
        quiet: QuietPartitions | None = None,
    ) -> None:
        self.features = features
        self._log = keys
        self._identity = identity
        self._silent_after = silent_after
        self._quiet = quiet
        self.counts = KeyCounts(features)

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `snapshot`, from the beginning if it is empty."""
        if state and state["of"] != self._identity:
            reason = "event.key or event.timestamp is another one than when it was written"
            log.warning("keys.restarted", reason=reason)
            state = {}
        self.counts.rollback()
        self._log.restore(state.get("log", {}))

    def snapshot(self) -> dict[str, Any]:
        """Return what a restart must know once the outputs so far are committed."""
        return {"of": self._identity, "log": self._log.snapshot()}

    def on_commit(self) -> None:
        """Let what was seen count."""
        self.counts.on_commit()
        self._log.on_commit()

    def rollback(self) -> None:
        """Forget what was seen since the last commit."""
        self.counts.rollback()
        self._log.rollback()

    def alerts(self) -> list[Outgoing]:
        """Return the silences since the last commit, as records for it."""
        tables, span = self.features.tables, self._silent_after
        return [silence_alert(*each, span) for each in tables.silences()] if span else []

    def look(self, partitions: Mapping[str, Partition] | None, now: float) -> None:
        """Take all keys of a partition for silent that nothing has come from; `now` is a clock."""
        if self._quiet is None:
            return
        tables = dict(self.features.tables.items())
        behind = [name for name, each in (partitions or {}).items() if each.lag != 0]
        events = {name: table.counters.events for name, table in tables.items()}
        for name in self._quiet.look(events, tables if partitions is None else behind, now):
            tables[name].silence_all()

    def close(self) -> None:
        """Let go of the files. May be called twice."""
        self._log.close()


def key_memory(settings: Settings, schema: Schema) -> KeyMemory | None:
    """Return what remembers the keys; None if no feature has a memory, and silence is nothing."""
    keys = settings.keys
    if not schema.remembers and keys.silent_after is None:
        return None
    features = derive.feature_state(settings, told=True)
    store = wiring.store(settings)
    store.make()
    log_of_keys = KeyLog(
        "models.directory",
        store.directory,
        features.tables,
        features.program.ops,
        sync=settings.sink.fsync,
    )
    event = settings.event
    identity = hashlib.sha256(repr((event.key, event.timestamp)).encode()).hexdigest()[:16]
    # A file that is read to its end gives the same outputs each time, so no clock may decide.
    clocked = settings.source.kind != "file" or settings.source.follow
    quiet = QuietPartitions(keys.silent_ms / 1000) if keys.silent_ms and clocked else None
    return KeyMemory(features, log_of_keys, identity, keys.silent_after, quiet)
