"""Where verdicts go: the interface of every sink.

The sink commits outputs and the source's position together. After a crash at any moment the outputs
hold exactly what the last finished `commit` wrote, and `open` returns the position of that commit.
If the medium cannot do that (a pipe), the table of guarantees, `detectd.sinks.delivery`, says so.

`file_reader` and `kafka_reader` read what a sink has written, committed records alone, and change
nothing. `follow` yields new records, after the last existing ones if requested; `last` only those;
`all` all existing ones; `dead_letters` the dead letters, from the first or from the end of the last
replay; and `replay_sink` is a sink whose commits include the progress of a replay. A record's value
and headers are those of the output, its id is its position.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Mapping, Sequence

    from detectd.pipeline.records import KeyRecord, Outgoing, Position, Topic


class KeysRead(NamedTuple):
    """Records of the state of keys, in order, and the share read so far."""

    records: Sequence[KeyRecord]
    share: float


class Sink(Protocol):
    """The loop's interface of a sink."""

    def limits(self) -> Mapping[Topic, int]:
        """Return the maximum bytes of an output, by topic, if there is a limit; known after
        `open`."""
        return {}

    def open(self) -> Position | None:
        """Undo an unfinished commit, and return the position of the last finished one."""

    def commit(
        self, outgoing: Sequence[Outgoing], position: Position, keys: Sequence[KeyRecord] = ()
    ) -> None:
        """Write the records, the position and the state of keys: all of it, or nothing.

        `keys` belong to partitions in the position, and are passed only to a sink that can
        `read_keys`.

        Raise PartitionsRevokedError if the partitions of the records were revoked, and nothing was
        written; UndeliverableError if some outputs can never be written there, and nothing was;
        BrokerUnavailableError if it is unknown what was written: `open` then finds out.
        """

    def read_keys(self, partitions: Collection[int]) -> Generator[KeysRead]:  # noqa: ARG002
        """Yield the committed state of keys in these partitions, oldest first.

        It covers everything committed when this was called. It yields an empty part when nothing
        came for a while. Raise ConfigError if a partition does not exist.
        """
        raise AssertionError("this sink keeps no state of keys")

    def close(self) -> None:
        """Release what the sink holds. May be called twice."""
