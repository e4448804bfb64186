"""What is remembered of keys, between the commits and across restarts."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import structlog

from detectd import derive, wiring
from detectd.service.key_log import KeyLog

if TYPE_CHECKING:
    from detectd.features.state import FeatureState
    from detectd.pipeline.schema import Schema
    from detectd.settings import Settings

log = structlog.get_logger()


class KeyMemory:
    """The state of keys and the log that keeps it. It is `Checkpointed`.

    `identity` says what keys and times are: under another one nothing of a state can be kept.
    """

    def __init__(self, features: FeatureState, keys: KeyLog, identity: str) -> None:
        self.features = features
        self._log = keys
        self._identity = identity

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `snapshot`, from the beginning if it is empty."""
        if state and state["of"] != self._identity:
            reason = "event.key or event.timestamp is another one than when it was written"
            log.warning("keys.restarted", reason=reason)
            state = {}
        self._log.restore(state.get("log", {}))

    def snapshot(self) -> dict[str, Any]:
        """Return what a restart must know once the outputs so far are committed."""
        return {"of": self._identity, "log": self._log.snapshot()}

    def on_commit(self) -> None:
        """Let what was seen count."""
        self._log.on_commit()

    def rollback(self) -> None:
        """Forget what was seen since the last commit."""
        self._log.rollback()

    def close(self) -> None:
        """Let go of the files. May be called twice."""
        self._log.close()


def key_memory(settings: Settings, schema: Schema) -> KeyMemory | None:
    """Return what remembers the keys of the features; None if none of them has a memory."""
    if not schema.remembers:
        return None
    features = derive.feature_state(settings)
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
    return KeyMemory(features, log_of_keys, identity)
