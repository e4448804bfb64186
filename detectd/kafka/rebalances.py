"""Correct rebalance callbacks for kafka-python 3.0.

Three of its errors would lose records or read them twice, and are fixed here and in
`kafka_python`; each has a test that fails without the fix, or the campaign that found it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from kafka import ConsumerRebalanceListener

from detectd.errors import BrokerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from kafka import TopicPartition

    from detectd.kafka import Place


class Displaced(NamedTuple):
    """A partition's previous offset, None if the group has none, or only the source knows it.

    `parted` is the offset at which the log diverges from the one that was read, if known.
    """

    at: int | None = None
    parted: int | None = None


class Listener(Protocol):
    """The receiver of rebalance callbacks. May be called from a thread of the library."""

    def assigned(self, places: Collection[Place]) -> None:
        """Start these partitions."""

    def revoked(self, places: Collection[Place]) -> None:
        """Release these partitions."""

    def displaced(self, places: Mapping[Place, Displaced]) -> None:
        """Seek these partitions: the brokers have no records at their offsets."""


class Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]
    """Forward the group's decisions, and correct kafka-python's errors."""

    def __init__(self, listener: Listener, consumer: Any) -> None:
        self._listener = listener
        self._consumer = consumer
        # The membership under which each partition was assigned.
        self._given: dict[TopicPartition, str] = {}

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Add these partitions to the assignment."""
        # It keeps late responses of the group, and uses them, however old, as the offsets when the
        # same partitions are assigned again.
        self._consumer._coordinator._offset_fetch_futures.clear()  # noqa: SLF001
        self._given |= dict.fromkeys(assigned, self._member_id())
        self._listener.assigned([tuple(place) for place in assigned])

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Remove these partitions from the assignment."""
        for place in revoked:
            self._given.pop(place, None)
        self._listener.revoked([tuple(place) for place in revoked])

    def on_partitions_lost(self, lost: Collection[TopicPartition]) -> None:
        """Release lost partitions: other members may have read them since."""
        self.on_partitions_revoked(lost)

    def check(self) -> None:
        """Raise BrokerUnavailableError if partitions are left from a membership that has ended.

        A process that was frozen while joining is removed from the group without notice, and would
        read partitions that return to it from an old offset.
        """
        member = self._member_id()
        if member and any(then != member for then in list(self._given.values())):
            raise BrokerUnavailableError("Kafka failed while reading: the session expired")

    def _member_id(self) -> str:
        return str(self._consumer.group_metadata().member_id)
