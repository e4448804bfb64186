"""Kafka topics, read as a member of a consumer group.

If the sink is also Kafka, the group's offsets are committed in the sink's transaction, and a
partition resumes from them whenever it is assigned. Otherwise the sink stores the offsets, and a
partition is sought to them; the group then holds a copy for lag monitors.
"""

from __future__ import annotations

import itertools
import threading
import time
from typing import TYPE_CHECKING, Any

from detectd.errors import PartitionsRevokedError
from detectd.kafka import groups
from detectd.kafka import topics as broker_topics
from detectd.pipeline import memory_budget
from detectd.sources import Batch, Partition, Source
from detectd.sources.beginnings import beginning
from detectd.sources.gap_log import GapLog
from detectd.sources.group_guard import GroupGuard
from detectd.sources.kafka_position import Offsets, as_position, offsets_in, recognised
from detectd.sources.topic_ids import TopicIds

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from detectd.kafka import KafkaClient, Place
    from detectd.kafka.rebalances import Displaced
    from detectd.kafka.topics import NewTopicConfig
    from detectd.pipeline.records import Gap, Record

HOLD_SECONDS = 0.1

# Each assignment in a process gets its own number.
CLAIMS = itertools.count(1)

# kafka-python waits silently for unavailable brokers, so after a silence they are queried.
PROBE_SECONDS = 5.0
ANSWER_SECONDS = 10.0


class KafkaSource(Source):
    """Read topics of one cluster: all partitions assigned to this member.

    `acknowledges` is whether this source commits the group's offsets, instead of a transaction; and
    `group_decides` whether no sink stores them, so that the group's offsets are the only ones.
    `alone` keeps other processes out of the group. A read ends when its records occupy
    `batch_bytes`, with their values counted `copies` times.
    """

    def __init__(
        self,
        client: KafkaClient,
        topics: Sequence[str],
        *,
        acknowledges: bool,
        group_decides: bool = False,
        alone: bool = False,
        creation: NewTopicConfig | None = None,
        batch_bytes: int = memory_budget.SLICE_BYTES,
        copies: int = 1,
    ) -> None:
        self._client = client
        self._topics = tuple(topics)
        self._acknowledges = acknowledges
        self._group_decides = group_decides
        self._guard = GroupGuard(client) if alone else None
        self._ids = TopicIds(client, self._topics)
        self._creation = creation
        self._batch_bytes = batch_bytes
        self._copies = copies
        # The mean memory of a record in the last poll, to estimate how many more fit.
        self._usual = memory_budget.RECORD_BYTES
        self._consumer: Any = None
        # The library reports rebalances from its own thread.
        self._lock = threading.RLock()
        # Where a partition resumes when it is assigned. Empty if the group's offsets decide.
        self._resume: Offsets = {}
        # The offsets after the last record read, for assigned partitions; None before that.
        self._next: dict[Place, int | None] = {}
        self._claims: dict[Place, int] = {}
        # The offsets of the first record that was read and is not acknowledged yet.
        self._unanswered: Offsets = {}
        self._taken: set[Place] = set()
        # Topics that the group has read before, and their number of partitions at the start.
        self._known: set[str] = set()
        # The sink's offsets of topics whose group offsets have expired.
        self._remembered: Offsets = {}
        self._counts: dict[str, int] = {}
        self._gaps = GapLog(client.group_id, lambda: self._ids.known)
        self._heard = 0.0
        self._seen: dict[Place, tuple[float, int | None]] = {}

    def start(self, position: dict[str, Any] | None) -> None:
        """Join the group; partitions come during `read`.

        Raise ConfigError if a topic does not exist or `position` belongs to another source,
        BrokerUnavailableError if no broker responds, RefusedError if a broker denies access.
        """
        if position is not None:
            self._resume = recognised(position, self._topics)
        names = {topic: topic for topic in self._topics}
        self._counts = broker_topics.require(self._client, "source.topics", names, self._creation)
        if self._guard:
            self._guard.await_empty()
        self._begin_again(self._ids.renew((position or {}).get("topic_ids", {})))
        recreated = self._client.membership.recreated
        read = (*self._resume, *groups.committed(self._client), *recreated)
        known = {topic for topic, _ in read}
        kept = offsets_in(position or {}, "remembered")
        self._remembered = {place: at for place, at in kept.items() if place[0] not in known}
        self._known = known | {topic for topic, _ in self._remembered}
        self._consumer = self._client.transport.Consumer(self._client, self._topics, self)
        self._heard = time.monotonic()

    def begins(self) -> bool:
        """See `Source`: true if neither the group nor a sink has offsets."""
        return not self._known

    def read(self, limit: int, wait: float) -> Batch:
        """Return up to `limit` records. An empty batch if the brokers are silent.

        Raise PartitionsRevokedError if partitions were revoked before their records were
        acknowledged: `rewind` then returns to the first of the remaining ones.
        """
        deadline = time.monotonic() + wait
        records: list[Record] = []
        room = self._batch_bytes
        while True:
            left = max(0.0, deadline - time.monotonic())
            for run in self._consumer.poll(self._most(limit - len(records), room), left):
                with self._lock:
                    if run.place not in self._next:
                        continue  # revoked between the poll and here
                    self._next[run.place] = run.after
                    self._unanswered.setdefault(run.place, run.first)
                    self._seen[run.place] = (time.monotonic(), run.records[-1].timestamp_ms)
                records += run.records
                weight = memory_budget.weight(run.records, self._copies)
                room, self._usual = room - weight, weight // len(run.records)
            if self._guard:
                owns_first = (self._topics[0], 0) in self._next
                self._guard.check(self._consumer.member_id(), owns_first=owns_first)
            if len(records) >= limit or room <= 0 or time.monotonic() >= deadline:
                break
        self._listen(records)
        # The member that read this. If queried later, it could be of the next generation or none,
        # and the brokers would not recognise a late commit.
        self._client.membership.member = member = self._consumer.member()
        with self._lock:
            if self._taken or (member is None and self._unanswered):
                raise PartitionsRevokedError(
                    f"{_names(self._taken or self._unanswered)} went to another member of the "
                    "group before the records read were committed"
                )
            position = self._position()
            return Batch(records, position, gaps=self._gaps.offer(offsets_in(position)))

    def _most(self, limit: int, room: int) -> int:
        """Return how many records to request: as many as fit the room at the last mean size."""
        return min(limit, max(1, room // self._usual))

    def acknowledge(self, position: dict[str, Any]) -> None:
        """Commit to the group, unless the sink has done so. Never fails: the sink has the
        offsets."""
        with self._lock:
            self._unanswered.clear()
            self._taken.clear()
            self._gaps.on_commit()
            if self._client.membership.recreated:
                self._client.membership.recreated -= offsets_in(position).keys()
        if self._acknowledges:
            self._resume |= offsets_in(position)
            self._consumer.commit(self._committable(), wait=False)

    def include(self, partitions: Collection[str]) -> None:
        """See `Source`. If they are revoked, nothing is committed."""
        with self._lock:
            for (topic, partition), after in self._next.items():
                if after is not None and f"{topic}/{partition}" in partitions:
                    self._unanswered.setdefault((topic, partition), after)

    def rewind(self) -> None:
        """Return to the first unacknowledged record of each partition that is still assigned."""
        with self._lock:
            for place, offset in self._unanswered.items():
                self._consumer.seek(place, offset)
                self._next[place] = offset
            # Their offsets are to be committed, whether or not records come.
            again = self._gaps.places & self._next.keys()
            self._unanswered = {place: self._next[place] or 0 for place in again}
            self._taken.clear()

    def hold(self) -> None:
        """Poll the group without reading."""
        self._consumer.hold(HOLD_SECONDS)

    def absent(self) -> None:
        """See `Source`: a missing topic is an error at the start."""

    def partitions(self) -> dict[str, Partition] | None:
        """Return the assigned partitions, by topic/partition: lag, and the last record's
        arrival."""
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

    def claims(self) -> dict[str, int]:
        """See `Source`."""
        with self._lock:
            return {f"{topic}/{number}": claim for (topic, number), claim in self._claims.items()}

    def gaps(self) -> list[Gap]:
        """See `Source`."""
        return self._gaps.take()

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
        self._next, self._claims, self._unanswered, self._taken = {}, {}, {}, set()

    def assigned(self, places: Collection[Place]) -> None:
        """Start these partitions, each where the last commit left it."""
        if self._consumer is None:
            return  # assigned while leaving
        if self._guard:
            self._guard.rebalanced()
        with self._lock:
            for place in places:
                self._next[place] = None
                self._claims[place] = next(CLAIMS)
                self._seen[place] = (time.monotonic(), None)
                if place in self._resume:
                    self._next[place] = self._resume[place]
                    self._consumer.seek(place, self._resume[place])

    def revoked(self, places: Collection[Place]) -> None:
        """Release these partitions; their read records must not be committed."""
        if self._guard:
            self._guard.rebalanced()
        with self._lock:
            self._taken |= self._unanswered.keys() & set(places)
            self._gaps.revoked(places)
            for place in places:
                self._next.pop(place, None)
                self._claims.pop(place, None)
                self._seen.pop(place, None)
                self._unanswered.pop(place, None)
                if self._group_decides:
                    self._resume.pop(place, None)

    def displaced(self, places: Mapping[Place, Displaced]) -> None:
        """Resume where the brokers have records, and report those that are lost unread."""
        for place, stood in places.items():
            low, high = self._consumer.bounds(place, ANSWER_SECONDS)
            with self._lock:
                if place not in self._next:
                    continue  # revoked meanwhile
                at = self._next[place] if stood.at is None else stood.at
                at = self._remembered.pop(place, None) if at is None else at
                if at is not None and at > high:
                    self._ids.require_same()
                anew = place in self._client.membership.recreated and (at is None or at > high)
                begin = beginning(
                    at,
                    low,
                    high,
                    new_group=place[0] not in self._known and place[1] < self._counts[place[0]],
                    latest=self._client.auto_offset_reset == "latest",
                    recreated=anew,
                    parted=stood.parted,
                )
                self._consumer.seek(place, begin.offset)
                self._next[place] = begin.offset
                if begin.offset or begin.reset:
                    # Commit it, whether or not records come: the next start must neither find the
                    # same gap nor treat the partition as new.
                    self._unanswered.setdefault(place, begin.offset)
                self._gaps.begins(place, at, begin)

    def _begin_again(self, topics: Collection[str]) -> None:
        """Discard what is known of topics that were recreated, and of those of which nothing has
        been committed since."""
        membership = self._client.membership
        for topic in topics:
            self._gaps.recreated(topic)
            membership.recreated |= {(topic, number) for number in range(self._counts[topic])}
        former = self._resume
        self._resume = {place: at for place, at in former.items() if place[0] not in topics}
        for place in sorted(membership.recreated):
            membership.displaced.pop(place, None)
            if self._acknowledges and not self._group_decides:
                # The brokers delete the group's offsets with the topic, but not immediately.
                self._resume[place] = 0
                self._gaps.begins_again(place, former.get(place, 0))

    def _listen(self, records: Sequence[Record]) -> None:
        """Raise BrokerUnavailableError if the silence is due to unavailable brokers."""
        self._ids.check()
        silent = time.monotonic() - self._heard > PROBE_SECONDS
        if silent and not records:
            self._consumer.probe(ANSWER_SECONDS)
        if silent or records:
            self._heard = time.monotonic()

    def _position(self) -> dict[str, Any]:
        """Return all offsets if they are stored in one place; in a transaction, the changed
        ones."""
        read = {place: after for place, after in self._next.items() if after is not None}
        if self._acknowledges:
            read = self._resume | read
        else:
            read = {place: read[place] for place in self._unanswered}
        return as_position(self._client.group_id, read, self._ids.known)

    def _committable(self) -> Offsets:
        """Return the offsets to commit to the group: only those of assigned partitions."""
        return {place: self._resume[place] for place in self._next if place in self._resume}


def _names(places: Collection[Place]) -> str:
    return ", ".join(f"{topic}/{partition}" for topic, partition in sorted(places))
