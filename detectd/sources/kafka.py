"""Kafka topics, read as a member of a consumer group.

Where the sink is Kafka too, the group's offsets are committed in the sink's transaction, and a
partition goes on from them whenever it comes to this member. Where it is not, the sink keeps the
offsets, and a partition is sought to them; the group then holds a copy for whoever watches the lag.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from detectd.brokers import topics as broker_topics
from detectd.errors import ConfigError, Revoked
from detectd.sources import BATCH_BYTES, Batch, Partition, weight

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from detectd.brokers import KafkaClient, Place
    from detectd.brokers.topics import Creation
    from detectd.records import Record

Offsets = dict[tuple[str, int], int]

HOLD_SECONDS = 0.1

# kafka-python waits without a word for brokers that are away; so in silence they are asked.
PROBE_SECONDS = 5.0
ANSWER_SECONDS = 10.0


class KafkaSource:
    """Topics of one cluster, all partitions that the group gives to this member.

    `acknowledges` says that the group learns the offsets from here, not from a transaction; and
    `group_decides` that no sink keeps them, so that what the group knows is all there is.
    """

    def __init__(
        self,
        client: KafkaClient,
        topics: Sequence[str],
        *,
        acknowledges: bool,
        group_decides: bool = False,
        creation: Creation | None = None,
    ) -> None:
        self._client = client
        self._topics = tuple(topics)
        self._acknowledges = acknowledges
        self._group_decides = group_decides
        self._creation = creation
        self._consumer: Any = None
        # The library tells of rebalances from a thread of its own.
        self._lock = threading.RLock()
        # Where a partition goes on when it comes to us. Empty where the group's offsets say it.
        self._resume: Offsets = {}
        # After the last record that was read, for the partitions that are ours; None before it.
        self._next: dict[Place, int | None] = {}
        # Before the first record that was read and is not acknowledged yet.
        self._unanswered: Offsets = {}
        self._taken: set[Place] = set()
        self._heard = 0.0
        self._seen: dict[Place, tuple[float, int | None]] = {}

    def start(self, position: dict[str, Any] | None) -> None:
        """Join the group; partitions come during `read`.

        Raises ConfigError where a topic does not exist or `position` is another source's,
        Interrupted where no broker answers, RefusedError where a broker refuses us.
        """
        if position is not None:
            self._resume = self._recognised(position)
        names = {topic: topic for topic in self._topics}
        broker_topics.require(self._client, "source.topics", names, self._creation)
        self._consumer = self._client.transport.Consumer(self._client, self._topics, self)
        self._heard = time.monotonic()

    def read(self, limit: int, wait: float) -> Batch:
        """Up to `limit` records. An empty batch where the brokers are silent.

        Raises Revoked where partitions went to another member before their records were
        acknowledged: `rewind` then goes back to the first of those that are left.
        """
        deadline = time.monotonic() + wait
        records: list[Record] = []
        room = BATCH_BYTES
        while True:
            left = max(0.0, deadline - time.monotonic())
            for run in self._consumer.poll(limit - len(records), left):
                with self._lock:
                    if run.place not in self._next:
                        continue  # It went away between the poll and here.
                    self._next[run.place] = run.after
                    self._unanswered.setdefault(run.place, run.first)
                    self._seen[run.place] = (time.monotonic(), run.records[-1].timestamp_ms)
                records += run.records
                room -= weight(run.records)
            if len(records) >= limit or room <= 0 or time.monotonic() >= deadline:
                break
        self._listen(records)
        # As whom this was read. Asked for later, it could be the next generation or none, and the
        # brokers would not know a commit that comes too late.
        self._client.membership.member = member = self._consumer.member()
        with self._lock:
            if self._taken or (member is None and self._unanswered):
                raise Revoked(
                    f"{_names(self._taken or self._unanswered)} went to another member of the "
                    "group before the records read were committed"
                )
            return Batch(records, self._position())

    def acknowledge(self, position: dict[str, Any]) -> None:
        """Tell the group, unless the sink has done so. Never fails: the sink has the offsets."""
        with self._lock:
            self._unanswered.clear()
            self._taken.clear()
        if self._acknowledges:
            self._resume |= _offsets(position)
            self._consumer.commit(self._committable(), wait=False)

    def rewind(self) -> None:
        """Go back to the first record that has not been acknowledged, where it is still ours."""
        with self._lock:
            for place, offset in self._unanswered.items():
                self._consumer.seek(place, offset)
                self._next[place] = offset
            self._unanswered.clear()
            self._taken.clear()

    def hold(self) -> None:
        """Stay in the group without reading."""
        self._consumer.hold(HOLD_SECONDS)

    def absent(self) -> None:
        """See `Source`: a topic that is missing is an error at the start."""

    def partitions(self) -> dict[str, Partition] | None:
        """What is ours, by topic/partition: the lag, and when a record last came."""
        if self._consumer is None or self._client.membership.member is None:
            return None
        now = time.monotonic()
        with self._lock:
            owned = dict(self._next)
            seen = dict(self._seen)
        found = {}
        for place, after in owned.items():
            end = self._consumer.end(place)
            since, stamp = seen[place]
            lag = None if end is None or after is None else max(0, end - after)
            found[f"{place[0]}/{place[1]}"] = Partition(lag, stamp, now - since)
        return found

    def progress(self) -> float | None:
        """None: a topic has no end."""
        return None

    def close(self) -> None:
        """Leave the group."""
        consumer, self._consumer = self._consumer, None
        if consumer is None:
            return
        if self._acknowledges:
            consumer.commit(self._committable(), wait=True)
        consumer.close()
        self._next, self._unanswered, self._taken = {}, {}, set()

    def assigned(self, places: Collection[Place]) -> None:
        """Begin with these partitions, each where the last commit left it."""
        with self._lock:
            for place in places:
                self._next[place] = None
                self._seen[place] = (time.monotonic(), None)
                if place in self._resume:
                    self._next[place] = self._resume[place]
                    self._consumer.seek(place, self._resume[place])

    def revoked(self, places: Collection[Place]) -> None:
        """Let go of these partitions; what was read of them is not ours to commit."""
        with self._lock:
            self._taken |= self._unanswered.keys() & set(places)
            for place in places:
                self._next.pop(place, None)
                self._seen.pop(place, None)
                self._unanswered.pop(place, None)
                if self._group_decides:
                    self._resume.pop(place, None)

    def _listen(self, records: Sequence[Record]) -> None:
        """Raise Interrupted where silence means that the brokers are away."""
        silent = time.monotonic() - self._heard > PROBE_SECONDS
        if silent and not records:
            self._consumer.probe(ANSWER_SECONDS)
        if silent or records:
            self._heard = time.monotonic()

    def _position(self) -> dict[str, Any]:
        """All that is known, where it is kept in one place; in a transaction what has changed."""
        read = {place: after for place, after in self._next.items() if after is not None}
        if self._acknowledges:
            read = self._resume | read
        else:
            read = {place: read[place] for place in self._unanswered}
        offsets: dict[str, dict[str, int]] = {}
        for (topic, partition), offset in sorted(read.items()):
            offsets.setdefault(topic, {})[str(partition)] = offset
        return {"group": self._client.group_id, "offsets": offsets}

    def _committable(self) -> Offsets:
        """What the group may learn: of other members' partitions they know more than we do."""
        return {place: self._resume[place] for place in self._next if place in self._resume}

    def _recognised(self, position: dict[str, Any]) -> Offsets:
        offsets = _offsets(position)
        if "group" not in position or (offsets and not {t for t, _ in offsets} & {*self._topics}):
            raise ConfigError(
                "source: the last commit is of another source; go back to it, or give the sink "
                "another place (sink.directory, kafka.transactional_id)"
            )
        return offsets


def _offsets(position: dict[str, Any]) -> Offsets:
    return {
        (topic, int(partition)): offset
        for topic, partitions in position.get("offsets", {}).items()
        for partition, offset in partitions.items()
    }


def _names(places: Collection[Place]) -> str:
    return ", ".join(f"{topic}/{partition}" for topic, partition in sorted(places))
