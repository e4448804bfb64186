"""The state of keys between commits and across restarts: in a log, or on Kafka."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from detectd import derive, stream_names, wiring
from detectd.service.checkpoint import Checkpointed
from detectd.service.key_log import KeyLog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from detectd.features.state import FeatureState
    from detectd.pipeline.records import KeyRecord, Record
    from detectd.settings import Settings
    from detectd.sinks import Sink
    from detectd.sources import Source

log = structlog.get_logger()


class KeyMemory(Checkpointed, Protocol):
    """The state of keys, and its storage."""

    features: FeatureState

    def know(
        self,
        records: Sequence[Record],
        source: Source,
        sink: Sink,
        pause: Callable[[float], bool],
    ) -> bool:
        """Load the state of the records' keys; return False if the load was given up.

        Call `pause` repeatedly while that takes long, with the share read so far, and give up if it
        returns True. Raise PartitionsRevokedError if the partitions of the records were revoked.
        """

    def records(self, position: Mapping[str, Any]) -> Sequence[KeyRecord]:
        """Return the records that a commit of the source's position must write with the outputs."""

    def close(self) -> None:
        """Release the storage. May be called twice."""


class LoggedKeys:
    """The state of keys with a log on disk. It is a `KeyMemory`.

    `identity` is the definition of keys and times; if it changes, the old state is invalid.
    """

    def __init__(self, features: FeatureState, keys: KeyLog, identity: str) -> None:
        self.features = features
        self._log = keys
        self._identity = identity

    def restore(self, state: dict[str, Any]) -> None:
        """Resume from a `snapshot`, or from the beginning if it is empty."""
        if state and state["of"] != self._identity:
            reason = "event.key or event.timestamp has changed since it was written"
            log.warning("keys.restarted", reason=reason)
            state = {}
        self._log.restore(state.get("log", {}))

    def snapshot(self) -> dict[str, Any]:
        """Return the state that a restart needs once the outputs so far are committed."""
        return {"of": self._identity, "log": self._log.snapshot()}

    def know(
        self,
        records: Sequence[Record],  # noqa: ARG002
        source: Source,  # noqa: ARG002
        sink: Sink,  # noqa: ARG002
        pause: Callable[[float], bool],  # noqa: ARG002
    ) -> bool:
        """Return True: `restore` has read everything. See `KeyMemory`."""
        return True

    def records(self, position: Mapping[str, Any]) -> Sequence[KeyRecord]:  # noqa: ARG002
        """Return nothing: `snapshot` has written everything. See `KeyMemory`."""
        return ()

    def on_commit(self) -> None:
        """Make what was seen since the last commit permanent."""
        self._log.on_commit()

    def rollback(self) -> None:
        """Discard what was seen since the last commit."""
        self._log.rollback()

    def close(self) -> None:
        """Close the files. May be called twice."""
        self._log.close()


def key_memory(settings: Settings) -> KeyMemory | None:
    """Return the memory of keys; None if no feature has a memory, and silence is not reported."""
    if not derive.keeps_keys(settings):
        return None
    features = derive.feature_state(settings, serving=True)
    event = settings.event
    identity = hashlib.sha256(repr((event.key, event.timestamp)).encode()).hexdigest()[:16]
    topic = derive.keys_topic(settings)
    if topic is not None:
        from detectd.service.shared_keys import SharedKeys

        group, rewinds = settings.kafka.group_id, not derive.transactional(settings)
        return SharedKeys(features, topic, group, identity, rewinds=rewinds)
    store = wiring.store(settings)
    store.make()
    log_of_keys = KeyLog(
        "models.directory",
        store.directory,
        features.tables,
        features.ops,
        stream=stream_names.keys_stream(settings),
        sync=settings.sink.fsync,
    )
    return LoggedKeys(features, log_of_keys, identity)
