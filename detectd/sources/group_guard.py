"""Restrict a consumer group to one process.

A sink that stores the offsets knows only those of its own process. If two processes shared a group
and a partition moved back and forth, each would resume from its own last offset, and process
records twice. So such a process waits until a dead predecessor has left the group, and refuses to
run beside a living one.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import structlog

from detectd.errors import BrokerUnavailableError, ConfigError
from detectd.kafka import groups

if TYPE_CHECKING:
    from collections.abc import Collection

    from detectd.kafka import KafkaClient

log = structlog.get_logger()

# The brokers remove a dead member shortly after its session has expired.
LEAVE_SECONDS = 5.0


class GroupGuard:
    """Ensure that no other member is in the group of `client`."""

    def __init__(self, client: KafkaClient) -> None:
        self._client = client
        # The library reports rebalances from a thread of its own.
        self._lock = threading.Lock()
        self._joined = False
        self._changed = False

    def await_empty(self) -> None:
        """Return if the group is empty.

        Raise BrokerUnavailableError as long as its member may be a dead predecessor, then
        ConfigError.
        """
        membership, now = self._client.membership, time.monotonic()
        others = groups.members(self._client)
        if not others:
            membership.crowded = None
            return
        if membership.crowded is None:
            membership.crowded = now
        message = self._refusal(others.values())
        if now - membership.crowded > self._client.session_timeout + LEAVE_SECONDS:
            raise ConfigError(message)
        raise BrokerUnavailableError(f"{message}; waiting, since it may be a process that died")

    def rebalanced(self) -> None:
        """Record a rebalance. May be called from any thread."""
        with self._lock:
            self._changed = True

    def check(self, ours: str, *, owns_first: bool) -> None:
        """Check the group's members after a rebalance; `ours` is this process's member id.

        If processes join at the same time, the owner of the first partition stays, before any has
        processed a record. A later one does not stop this process, but is reported. Raise
        ConfigError if this process must stop.
        """
        with self._lock:
            changed, self._changed = self._changed, False
        if not changed:
            return
        first, self._joined = not self._joined, True
        members = groups.members(self._client)
        others = [who for member, who in members.items() if member != ours]
        if others and first and not owns_first:
            raise ConfigError(self._refusal(others))
        if others:
            log.warning(
                "source.group_shared",
                group=self._client.group_id,
                members=sorted(others),
                reason="their partitions are not read here until they leave",
                hint="give each process a kafka.group_id of its own",
            )

    def _refusal(self, others: Collection[str]) -> str:
        return (
            f"kafka.group_id: {self._client.group_id!r} has another member "
            f"({', '.join(sorted(others))}), and file outputs need a group for themselves; stop "
            "it, or give each process a group of its own"
        )
