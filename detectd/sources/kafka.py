"""Kafka topics, read as a member of a consumer group.

Where the sink is Kafka too, the group's offsets are committed in the sink's transaction, and a
partition goes on from them whenever it comes to this member. Where it is not, the sink keeps the
offsets, and a partition is sought to them; the group then holds a copy for whoever watches the lag.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors
from kafka.structs import OffsetAndMetadata

from detectd.brokers import CLOSE_SECONDS, explained
from detectd.errors import ConfigError, DetectdError
from detectd.records import Record
from detectd.sources import Batch

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from detectd.brokers import KafkaClient

Offsets = dict[tuple[str, int], int]


class KafkaSource:
    """Topics of one cluster, all partitions that the group gives to this member.

    `acknowledges` says that the sink is not Kafka, so that the group learns the offsets from here.
    """

    def __init__(self, client: KafkaClient, topics: Sequence[str], *, acknowledges: bool) -> None:
        self._client = client
        self._topics = tuple(topics)
        self._acknowledges = acknowledges
        self._consumer: Any = None
        # Where a partition goes on when it comes to us. Empty where the group's offsets say it.
        self._resume: Offsets = {}
        # After the last record that was read, for the partitions that are ours.
        self._next: Offsets = {}
        self._batch: list[tuple[tuple[str, int], Record]] = []
        self._unanswered: set[tuple[str, int]] = set()
        self._taken: set[tuple[str, int]] = set()
        self._member: dict[str, Any] = {"group_id": client.group_id}

    def start(self, position: dict[str, Any] | None) -> None:
        """Join the group; partitions come during `read`.

        Raises ConfigError where a topic does not exist or `position` is another source's,
        DetectdError where no broker answers, RefusedError where a broker refuses us.
        """
        if position is not None:
            self._resume = self._recognised(position)
        partitions = self._client.partitions(self._topics)
        missing = [topic for topic in self._topics if not partitions[topic]]
        if missing:
            raise ConfigError(
                f"source.topics: {', '.join(missing)}: no such topic; create it, or name another"
            )
        self._consumer = self._client.connect(
            KafkaConsumer,
            group_id=self._client.group_id,
            auto_offset_reset=self._client.auto_offset_reset,
            enable_auto_commit=False,
            isolation_level="read_committed",
            allow_auto_create_topics=False,
        )
        self._consumer.subscribe(list(self._topics), listener=_Assignments(self))

    def read(self, limit: int, wait: float) -> Batch:
        """Up to `limit` records. An empty batch where the brokers are silent.

        Raises DetectdError where partitions went to another member before their records, read
        earlier, were committed.
        """
        deadline = time.monotonic() + wait
        self._batch = []
        with explained("reading"):
            while True:
                left = max(0.0, deadline - time.monotonic())
                polled = self._consumer.poll(left * 1000, max_records=limit - len(self._batch))
                if self._taken:
                    raise DetectdError(
                        f"{_names(self._taken)} went to another member of the group before the "
                        "records read were committed; a restart goes on from the last commit"
                    )
                for place, found in polled.items():
                    self._batch += [(place, _record(each)) for each in found]
                    self._next[place] = found[-1].offset + 1
                if len(self._batch) >= limit or time.monotonic() >= deadline:
                    break
        self._unanswered.update(place for place, _ in self._batch)
        return Batch([record for _, record in self._batch], self._position())

    def acknowledge(self, position: dict[str, Any]) -> None:
        """Tell the group, unless the sink has done so. Never fails: the sink has the offsets."""
        self._unanswered.clear()
        if self._acknowledges:
            self._resume = _offsets(position)
            with suppress(kafka_errors.KafkaError):
                self._consumer.commit_async(self._committable())

    def progress(self) -> float | None:
        """None: a topic has no end."""
        return None

    def close(self) -> None:
        """Leave the group."""
        if self._consumer is None:
            return
        with suppress(kafka_errors.KafkaError):
            if self._acknowledges:
                self._consumer.commit(self._committable(), timeout_ms=CLOSE_SECONDS * 1000)
        with suppress(kafka_errors.KafkaError):
            self._consumer.close(autocommit=False, timeout_ms=CLOSE_SECONDS * 1000)
        self._consumer = None

    def own(self, places: Collection[tuple[str, int]]) -> None:
        """Go on with these partitions and no others, each where it stands.

        Kafka's client calls this from a thread of its own, while `read` waits in `poll`.
        """
        gone = self._next.keys() - set(places)
        self._taken |= self._unanswered & gone
        self._batch = [(place, record) for place, record in self._batch if place not in gone]
        for place in gone:
            del self._next[place]
        # kafka-python keeps the position of a partition that stays, Java's client does not: so it
        # is set here, and nothing rests on either.
        for place in places:
            offset = self._next.get(place, self._resume.get(place))
            if offset is not None:
                self._consumer.seek(TopicPartition(*place), offset)
        # The generation in which these partitions are ours. Asked for later, it could be the next
        # one's or none, and the brokers would not know a commit that comes too late.
        member = self._consumer.group_metadata()._asdict()
        self._member = {name: member[name] for name in MEMBER}

    def _position(self) -> dict[str, Any]:
        offsets: dict[str, dict[str, int]] = {}
        for (topic, partition), offset in sorted((self._resume | self._next).items()):
            offsets.setdefault(topic, {})[str(partition)] = offset
        return {"group": self._member, "offsets": offsets}

    def _committable(self) -> dict[TopicPartition, OffsetAndMetadata]:
        """What the group may learn: of other members' partitions they know more than we do."""
        return {
            place: OffsetAndMetadata(self._resume[place], "", -1)
            for place in self._consumer.assignment()
            if place in self._resume
        }

    def _recognised(self, position: dict[str, Any]) -> Offsets:
        offsets = _offsets(position)
        if "group" not in position or (offsets and not {t for t, _ in offsets} & {*self._topics}):
            raise ConfigError(
                "source: the last commit is of another source; go back to it, or give the sink "
                "another place (sink.directory, kafka.transactional_id)"
            )
        return offsets


MEMBER = ("group_id", "generation_id", "member_id", "group_instance_id")


class _Assignments(ConsumerRebalanceListener):  # type: ignore[misc]
    """Tells the source which partitions are its own."""

    def __init__(self, source: KafkaSource) -> None:
        self._source = source

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Wait: which of them stay is known when the next assignment comes."""

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Go on with what was assigned."""
        self._source.own(assigned)

    def on_partitions_lost(self, lost: Collection[TopicPartition]) -> None:  # noqa: ARG002
        """The group went on without us, and others may have read these partitions since."""
        self._source.own(())


def _record(consumed: Any) -> Record:
    return Record(
        id=f"{consumed.topic}/{consumed.partition}/{consumed.offset}",
        value=consumed.value,
        key=consumed.key,
        # A header may have no value; the client that writes it again knows only empty ones.
        headers=tuple((name, value or b"") for name, value in consumed.headers),
        timestamp_ms=consumed.timestamp if consumed.timestamp >= 0 else None,
        partition=consumed.partition,
    )


def _offsets(position: dict[str, Any]) -> Offsets:
    return {
        (topic, int(partition)): offset
        for topic, partitions in position.get("offsets", {}).items()
        for partition, offset in partitions.items()
    }


def _names(places: Collection[tuple[str, int]]) -> str:
    return ", ".join(f"{topic}/{partition}" for topic, partition in sorted(places))
