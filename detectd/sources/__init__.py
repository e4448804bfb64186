"""Where records come from: the interface of every source.

`start` is called once with the position to resume from; then the source yields batches in order.
The position in a batch is where to resume after that batch, so a sink that stores the position
together with the batch's outputs has processed each record exactly once. A source itself stores
nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from detectd.pipeline.records import Gap, LostPart, Record


@dataclass(frozen=True, slots=True)
class Batch:
    """Records in order, and the position after them.

    `ended` is whether a bounded source has yielded its last record; the batch may still hold some.
    `gaps` are what was lost before the position and after the last committed one: a commit of the
    position makes them permanent, and until then each batch has them again.
    """

    records: list[Record]
    position: dict[str, Any]
    ended: bool = False
    gaps: Sequence[Gap | LostPart] = ()


@dataclass(frozen=True, slots=True)
class Partition:
    """An assigned partition: unread records, the last record's timestamp, seconds since it arrived.

    None is for values that are not known yet.
    """

    lag: int | None
    timestamp_ms: int | None
    silent: float


class Losses(NamedTuple):
    """What a source had to skip: the number of losses, their bytes as far as known, skipped
    NULs."""

    times: int = 0
    lost_bytes: int = 0
    nul_bytes: int = 0


class Source(Protocol):
    """The loop's interface of a source. The methods with a body are for shared streams."""

    def start(self, position: dict[str, Any] | None) -> None:
        """Resume from `position`, a `Batch.position` of an earlier run, or None for the beginning.

        Raise ConfigError if the source cannot be read or `position` belongs to another source.
        """

    def read(self, limit: int, wait: float) -> Batch:
        """Return up to `limit` records, fewer if they fill the memory of a batch: see
        `memory_budget`.

        Wait at most `wait` seconds for the first and for the rest. An empty batch means that
        nothing came; it still has a position. Raise BrokerUnavailableError if the source is
        unavailable, and PartitionsRevokedError if partitions of returned records were revoked.
        """

    def acknowledge(self, position: dict[str, Any]) -> None:
        """Record that the sink has committed everything before `position`."""

    def origin(self) -> dict[str, Any] | None:
        """Return the position of the first record that has not been acknowledged.

        It is None if a source that is started without a position begins there anyway.
        """
        return None

    def begins(self) -> bool:
        """Return whether a source that was started without a position is at the beginning of the
        stream."""
        return True

    def take_losses(self) -> Losses:
        """Return the losses since the last call."""
        return Losses()

    def include(self, partitions: Collection[str]) -> None:  # noqa: ARG002
        """Include these assigned partitions in the next position, although no record came, since
        state of them is to be committed."""
        return

    def rewind(self) -> None:
        """Go back to the first record that has not been acknowledged."""
        raise AssertionError(
            "this source cannot be read again, and no member takes its records away"
        )

    def hold(self) -> None:
        """Keep the group membership alive while the service is busy. May wait a little."""
        return

    def absent(self) -> str | None:
        """Return what must be created before there is anything to read; None once it exists."""
        return None

    def partitions(self) -> dict[str, Partition] | None:
        """Return the assigned partitions, by topic/partition; empty if a source has none.

        It is None while the process is not in the consumer group.
        """
        return {}

    def claims(self) -> Mapping[str, int]:
        """Return, for each assigned topic/partition, a number that grows with each assignment.

        As long as it is the same, no other process can have committed to the partition.
        """
        return {}

    def unread(self) -> int | None:
        """Return how many bytes are unread; None if unknown."""
        return None

    def gaps(self) -> list[Gap]:
        """Return the gaps between records of partitions that have been committed since the last
        call."""
        return []

    def progress(self) -> float | None:
        """Return the share of the input that has been read, in [0, 1]; None if there is no end."""

    def close(self) -> None:
        """Release what the source holds. May be called twice."""
