"""A consumer by kafka-python."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from kafka import KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.structs import ConsumerGroupMetadata, MemberState, OffsetAndMetadata

from detectd.errors import BrokerUnavailableError
from detectd.kafka import CLOSE_SECONDS, PartitionBatch
from detectd.kafka.errors import explained
from detectd.kafka.headers import left_out, passed_on, read_any_header_name
from detectd.kafka.rebalances import Displaced, Rebalances
from detectd.pipeline.records import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from detectd.kafka import KafkaClient, Place
    from detectd.kafka.rebalances import Listener

Headers = tuple[tuple[str, bytes], ...]

read_any_header_name()

# A member learns of a rebalance by a heartbeat.
HEARTBEAT_SECONDS = 1.0

# How long a stop waits during a rebalance.
JOIN_SECONDS = 3.0

# The group waits at most a session timeout for members that are gone.
LEAST_PATIENCE_SECONDS = 10.0


class Consumer:
    """A member of a group that shares its partitions cooperatively."""

    def __init__(self, client: KafkaClient, topics: Sequence[str], listener: Listener) -> None:
        self._consumer: Any = client.connect(
            KafkaConsumer,
            group_id=client.group_id,
            group_instance_id=client.group_instance_id,
            auto_offset_reset="none",  # The source says where to begin.
            metadata_max_age_ms=int(client.metadata_age * 1000),
            enable_auto_commit=False,
            isolation_level="read_committed",
            allow_auto_create_topics=False,
            partition_assignment_strategy=(CooperativeStickyAssignor,),
            fetch_max_bytes=client.fetch_bytes,
            session_timeout_ms=int(client.session_timeout * 1000),
            heartbeat_interval_ms=int(min(HEARTBEAT_SECONDS, client.session_timeout / 4) * 1000),
            max_poll_interval_ms=int(client.max_poll_interval * 1000),
            metrics_enabled=False,
        )
        self._patience = max(LEAST_PATIENCE_SECONDS, 1.2 * client.session_timeout)
        self._stable = time.monotonic()
        self._listener = listener
        self._rebalances = Rebalances(listener, self._consumer)
        self._consumer.subscribe(list(topics), listener=self._rebalances)

    def poll(self, limit: int, wait: float) -> list[PartitionBatch]:
        """Return up to `limit` records, as soon as there are any.

        Wait longer during a rebalance: kafka-python forgets a join that completes between two
        polls, joins again, and so disturbs the group forever.
        """
        deadline = time.monotonic() + JOIN_SECONDS
        with explained("reading"):
            polled = self._poll(wait, limit)
            while not polled and self._joining() and time.monotonic() < deadline:
                polled = self._poll(JOIN_SECONDS, limit)
            self._rebalances.check()
        self._require_progress()
        return [
            PartitionBatch(
                (place.topic, place.partition),
                found[0].offset,
                found[-1].offset + 1,
                records(found, passed_on),
            )
            for place, found in polled.items()
        ]

    def _poll(self, wait: float, limit: int | None = None) -> Any:
        """Poll kafka-python, and complete a join that an earlier poll left unfinished.

        kafka-python drops a join for new metadata once it has computed the assignment: if a poll
        ends just then, no later poll completes the join.
        """
        if self._joining():
            self._consumer._coordinator.request_rejoin()  # noqa: SLF001
        try:
            return self._consumer.poll(wait * 1000, max_records=limit)
        except kafka_errors.NoOffsetForPartitionError as unknown:
            displaced = dict.fromkeys(unknown.args[0], Displaced())
        except kafka_errors.OffsetOutOfRangeError as outside:
            displaced = {place: Displaced(at) for place, at in outside.args[0].items()}
        except kafka_errors.LogTruncationError as cut:
            displaced = {
                place: Displaced(parted=end and end.offset)
                for place, end in cut.divergent_offsets.items()
            }
        self._listener.displaced({tuple(place): at for place, at in displaced.items()})
        return {}

    def _require_progress(self) -> None:
        """Raise BrokerUnavailableError if joining takes longer than the session timeout of dead
        members."""
        now = time.monotonic()
        if self._consumer.group_metadata().state == MemberState.STABLE:
            self._stable = now
        elif now - self._stable > self._patience:
            raise BrokerUnavailableError(
                "Kafka failed while joining the group: its coordinator does not answer"
            )

    def _joining(self) -> bool:
        return bool(self._consumer.group_metadata().state == MemberState.REBALANCING)

    def member(self) -> ConsumerGroupMetadata | None:
        """Return the current group membership; None if the group has removed it."""
        member = self._consumer.group_metadata()
        return member if member.generation_id >= 0 else None

    def member_id(self) -> str:
        """Return the member id that the group assigned, empty before that."""
        return str(self._consumer.group_metadata().member_id)

    def seek(self, place: Place, offset: int) -> None:
        """Resume at that offset."""
        self._consumer.seek(TopicPartition(*place), offset)

    def bounds(self, place: Place, seconds: float) -> tuple[int, int]:
        """Return the first offset that the brokers have, and the one after the last."""
        asked = TopicPartition(*place)
        with explained(f"reading the offsets of {place[0]}/{place[1]}"):
            low = self._consumer.beginning_offsets([asked], timeout_ms=seconds * 1000)[asked]
            high = self._consumer.end_offsets([asked], timeout_ms=seconds * 1000)[asked]
        return low, high

    def commit(self, offsets: Mapping[Place, int], *, wait: bool) -> None:
        """Commit the offsets to the group, as far as possible."""
        told = {
            TopicPartition(*place): OffsetAndMetadata(at, "", -1) for place, at in offsets.items()
        }
        with suppress(kafka_errors.KafkaError):
            if wait:
                self._consumer.commit(told, timeout_ms=CLOSE_SECONDS * 1000)
            else:
                self._consumer.commit_async(told)

    def hold(self, wait: float) -> None:
        """Poll the group without consuming records."""
        with explained("waiting"):
            self._consumer.pause(*self._consumer.assignment())
            for place, found in self._poll(wait).items():  # came during the poll
                self._consumer.seek(place, found[0].offset)
            self._consumer.resume(*self._consumer.paused())

    def end(self, place: Place) -> int | None:
        """Return the last known end offset of the partition."""
        high: int | None = self._consumer.highwater(TopicPartition(*place))
        return high

    def probe(self, seconds: float) -> None:
        """Raise BrokerUnavailableError if the brokers do not respond in time."""
        with explained("checking that the brokers are up"):
            self._consumer.end_offsets(list(self._consumer.assignment()), timeout_ms=seconds * 1000)

    def close(self) -> None:
        """Leave the group."""
        with suppress(kafka_errors.KafkaError):
            self._consumer.close(autocommit=False, timeout_ms=CLOSE_SECONDS * 1000)


def all_headers(headers: Sequence[tuple[str, bytes | None]]) -> Headers:
    """Return all headers; one without a value gets an empty one."""
    return tuple((name, value or b"") for name, value in headers)


def records(
    consumed: Sequence[Any], headers: Callable[[Any], Headers] = all_headers
) -> list[Record]:
    """Return the records of one partition from kafka-python's; there is at least one.

    `headers` selects the headers that a record keeps.
    """
    place = f"{consumed[0].topic}/{consumed[0].partition}/"
    return [
        Record(
            f"{place}{each.offset}",
            each.value,
            each.key,
            headers(each.headers) if each.headers else (),
            each.timestamp if each.timestamp >= 0 else None,
            each.partition,
            None,
            left_out(each.headers) if each.headers else 0,
        )
        for each in consumed
    ]
