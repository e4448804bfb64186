"""Where verdicts go: the contract that every sink keeps.

Outputs and the source's position are one commit, and the sink makes it. After a crash at any
moment the outputs hold exactly what the last finished `commit` had written, and `open` tells the
position of that commit. Where the medium cannot do that (a pipe), the sink says so in the table of
guarantees, `detectd.sinks.delivery`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from detectd.pipeline.records import Outgoing, Position, Topic


class Sink(Protocol):
    """What the loop needs of an output."""

    def limits(self) -> Mapping[Topic, int]:
        """How many bytes an output may have, where there is a limit; known after `open`."""
        return {}

    def open(self) -> Position | None:
        """Undo what an unfinished commit left behind and tell the last finished one's position."""

    def commit(self, outgoing: Sequence[Outgoing], position: Position) -> None:
        """Write the records and the position: all of it, or nothing.

        Raises Revoked where the records were no longer ours to answer, and nothing was written;
        Undeliverable if some outputs can never be written there, and nothing was; Interrupted
        where it is unknown what was: `open` tells.
        """

    def close(self) -> None:
        """Let go of what the sink holds. May be called twice."""
