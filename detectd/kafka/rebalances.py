"""Which partitions come and go, as kafka-python 3.0 tells it and as it should.

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
    """Where a partition stood, None if the group has no offset of it, or only the source knows.

    `parted` is the offset at which the log leaves the one that was read, if the brokers know.
    """

    at: int | None = None
    parted: int | None = None


class Listener(Protocol):
    """Who is told which partitions come and go. May be called from a thread of the library."""

    def assigned(self, places: Collection[Place]) -> None:
        """Take these partitions over."""

    def revoked(self, places: Collection[Place]) -> None:
        """Release these partitions."""

    def displaced(self, places: Mapping[Place, Displaced]) -> None:
        """Seek these partitions: the brokers have no records at their offsets."""


class Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]
    """Passes on what the group decides, and fixes what kafka-python makes of it."""

    def __init__(self, listener: Listener, consumer: Any) -> None:
        self._listener = listener
        self._consumer = consumer
        # As which member we were given each partition.
        self._given: dict[TopicPartition, str] = {}

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Add these to what we have."""
        # It keeps answers of the group that came too late for the poll that had asked. When the
        # same partitions come again it takes such an answer, however old, for where they stand.
        self._consumer._coordinator._offset_fetch_futures.clear()  # noqa: SLF001
        self._given |= dict.fromkeys(assigned, self._member_id())
        self._listener.assigned([tuple(place) for place in assigned])

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Take these from what we have."""
        for place in revoked:
            self._given.pop(place, None)
        self._listener.revoked([tuple(place) for place in revoked])

    def on_partitions_lost(self, lost: Collection[TopicPartition]) -> None:
        """Release partitions with which the group went on without us: others may have read them
        since."""
        self.on_partitions_revoked(lost)

    def check(self) -> None:
        """Raise BrokerUnavailableError if partitions are left from a membership that has ended.

        A process that was frozen while it joined is put out of the group without being told so,
        and would read partitions that come back to it from where it once was.
        """
        member = self._member_id()
        if member and any(then != member for then in list(self._given.values())):
            raise BrokerUnavailableError("Kafka failed, reading: the session expired")

    def _member_id(self) -> str:
        return str(self._consumer.group_metadata().member_id)
