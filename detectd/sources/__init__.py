"""Where records come from: the contract that every source keeps.

A source is told once where to go on (`start`), then gives batches in order. The position in a
batch says where to go on after that batch, so a sink that stores the position together with the
batch's outputs has processed each record exactly once. A source forgets nothing by itself and
stores nothing by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from detectd.pipeline.records import Record


@dataclass(frozen=True, slots=True)
class Batch:
    """Records in order, and where to go on after them.

    `ended` says that a bounded source has given its last record; the batch may still hold some.
    """

    records: list[Record]
    position: dict[str, Any]
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition of ours: records not read yet, the last one's timestamp, seconds since it came.

    None if that is not known yet.
    """

    lag: int | None
    timestamp_ms: int | None
    silent: float


@dataclass(frozen=True, slots=True)
class Gap:
    """Records of a partition that are gone unread; `reset` if its log is not the one read before.

    `records` is a difference of offsets, so it may count what was never a record.
    """

    partition: str
    records: int
    reset: bool = False


class Losses(NamedTuple):
    """What a source had to pass over: how often, how many bytes as far as known, NULs skipped."""

    times: int = 0
    lost_bytes: int = 0
    nul_bytes: int = 0


class Source(Protocol):
    """What the loop needs of a stream. The methods with a body are for streams that are shared."""

    def start(self, position: dict[str, Any] | None) -> None:
        """Go on from `position`, a `Batch.position` of an earlier run; None for the beginning.

        Raises ConfigError if the source cannot be read or is not the one of `position`.
        """

    def read(self, limit: int, wait: float) -> Batch:
        """Return up to `limit` records, fewer if they occupy the bytes of a batch: see `memory`.

        Waits at most `wait` seconds for the first and for the rest. An empty batch means that
        nothing came; it still has a position. Raises BrokerUnavailableError if the source is away,
        and PartitionsRevokedError if records that it gave are no longer ours to answer.
        """

    def acknowledge(self, position: dict[str, Any]) -> None:
        """Take note that everything before `position` has been committed by the sink."""

    def origin(self) -> dict[str, Any] | None:
        """Return the position of the first record that has not been acknowledged.

        None if a source that is started without a position begins there by itself.
        """
        return None

    def begins(self) -> bool:
        """Return whether a source that was started without a position began where the stream
        begins."""
        return True

    def take_losses(self) -> Losses:
        """Return what was lost since this was last called."""
        return Losses()

    def include(self, partitions: Collection[str]) -> None:  # noqa: ARG002
        """Let the next position name these partitions of ours, too: something of them is to be
        committed though no record has come."""
        return

    def rewind(self) -> None:
        """Go back to the first record that has not been acknowledged."""
        raise AssertionError(
            "this source cannot be read again, and no member takes its records away"
        )

    def hold(self) -> None:
        """Show the group that we live while the service is busy. May wait a little."""
        return

    def absent(self) -> str | None:
        """Return what has to come into being before there is anything to read; None once it has."""
        return None

    def partitions(self) -> dict[str, Partition] | None:
        """Return what is ours now, by topic/partition; empty if a source has none.

        None while we are not in the group that shares them.
        """
        return {}

    def claims(self) -> Mapping[str, int]:
        """Return for each topic/partition of ours a number that grows each time it comes to us.

        As long as it is the same, nobody else can have committed anything of the partition.
        """
        return {}

    def unread(self) -> int | None:
        """Return how many bytes there are to read still; None if that is not known."""
        return None

    def gaps(self) -> list[Gap]:
        """Return the gaps that have been committed since the last call."""
        return []

    def progress(self) -> float | None:
        """Return the share of the input that has been read, in [0, 1]; None if there is no end."""

    def close(self) -> None:
        """Release what the source holds. May be called twice."""
