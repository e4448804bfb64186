"""Where verdicts go: the contract that every sink keeps.

Outputs and the source's position are one commit, and the sink makes it. After a crash at any
moment the outputs hold exactly what the last finished `commit` had written, and `open` tells the
position of that commit. If the medium cannot do that (a pipe), the sink says so in the table of
guarantees, `detectd.sinks.delivery`.

`file_reader` and `kafka_reader` are the other side: what a sink has written, committed records
alone. Reading changes nothing. `follow` gives what is written from now on, behind the last records
if they are asked for; `last` these alone; `all` what lies there; `dead_letters` the same of dead
letters, from the first or from where the last replay ended; and `replay_sink` is a sink whose
commits say how far a replay has come. A record's value and headers are those of the output, its id
is the place where it lies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Mapping, Sequence

    from detectd.pipeline.records import KeyRecord, Outgoing, Position, Topic


class KeysRead(NamedTuple):
    """Records of the state of keys, in order, and which share of all has been read."""

    records: Sequence[KeyRecord]
    share: float


class Sink(Protocol):
    """What the loop needs of an output."""

    def limits(self) -> Mapping[Topic, int]:
        """Return how many bytes an output may have, if there is a limit; known after `open`."""
        return {}

    def open(self) -> Position | None:
        """Undo what an unfinished commit left behind and tell the last finished one's position."""

    def commit(
        self, outgoing: Sequence[Outgoing], position: Position, keys: Sequence[KeyRecord] = ()
    ) -> None:
        """Write the records, the position and the state of keys: all of it, or nothing.

        `keys` are of partitions of which the position says how far they are answered, and go only
        to a sink that can `read_keys`.

        Raises PartitionsRevokedError if the records were no longer ours to answer, and nothing was
        written; UndeliverableError if some outputs can never be written there, and nothing was;
        BrokerUnavailableError if it is unknown what was written: `open` tells.
        """

    def read_keys(self, partitions: Collection[int]) -> Generator[KeysRead]:  # noqa: ARG002
        """Yield the state of keys that commits have left in these partitions, oldest first.

        All of it that was committed when this was called. Gives an empty part when nothing came
        for a while. Raises ConfigError if there is no such partition.
        """
        raise AssertionError("this sink keeps no state of keys")

    def close(self) -> None:
        """Release what the sink holds. May be called twice."""
