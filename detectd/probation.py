"""A configuration that does not fit the stream must not consume it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from detectd.encode import DeadLetter
from detectd.errors import ConfigError
from detectd.records import Topic

if TYPE_CHECKING:
    from detectd.records import Outgoing


class Probation:
    """Holds the first outputs of a run back until one of them is no dead letter."""

    def __init__(self, limit: int = 1000) -> None:
        self.limit = limit
        self._held: list[Outgoing] | None = []

    def end(self) -> None:
        """This configuration has been seen to fit the stream."""
        self._held = None

    def begin_again(self) -> None:
        """What was held back will be answered again."""
        if self._held is not None:
            self._held = []

    def pass_on(self, outgoing: list[Outgoing], *, last: bool) -> list[Outgoing] | None:
        """What may be committed now; None while that is undecided.

        Raises ConfigError where the first `limit` outputs are all dead letters. A bounded stream
        that ends before that is passed on as it is.
        """
        if self._held is None:
            return outgoing
        self._held += outgoing
        tried = self._held[: self.limit]
        if all(out.topic is Topic.DEAD_LETTER for out in tried):
            if len(tried) == self.limit:
                raise self._refusal(tried[0])
            if not last:
                return None
        passed = self._held
        self.end()
        return passed

    def _refusal(self, out: Outgoing) -> ConfigError:
        first = msgspec.json.decode(out.value, type=DeadLetter)
        return ConfigError(
            f"event: the first {self.limit} records are all dead letters, the first ({first.id}) "
            f"because {first.error}; the configuration does not fit the stream, and nothing was "
            "consumed"
        )
