"""Stop if the configuration does not match the stream, before the stream is consumed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from detectd.errors import ConfigError
from detectd.pipeline import memory_budget
from detectd.pipeline.dead_letters import DeadLetter, size
from detectd.pipeline.records import Topic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from detectd.pipeline.records import Outgoing


class StartupGuard:
    """Hold back the first outputs of a run until one of them is not a dead letter."""

    def __init__(self, limit: int = 1000) -> None:
        self.limit = limit
        self._held: list[Outgoing] | None = []
        self._bytes = 0

    def end(self) -> None:
        """Record that this configuration fits the stream."""
        self._held, self._bytes = None, 0

    def begin_again(self) -> None:
        """Discard what was held back: it will be scored again."""
        if self._held is not None:
            self._held, self._bytes = [], 0

    def pass_on(self, outgoing: list[Outgoing], *, last: bool) -> list[Outgoing] | None:
        """Return what may be committed now; None while that is undecided.

        Raise ConfigError if the first `limit` outputs, or as many as fit in memory, are all dead
        letters. A bounded stream that ends before that is passed on unchanged.
        """
        if self._held is None:
            return outgoing
        self._held += outgoing
        self._bytes += sum(map(size, outgoing))
        tried = self._held[: self.limit]
        if all(out.topic is Topic.DEAD_LETTER for out in tried):
            if len(tried) == self.limit or (self._bytes > memory_budget.HELD_BYTES and not last):
                raise self._refusal(tried)
            if not last:
                return None
        passed = self._held
        self.end()
        return passed

    def _refusal(self, tried: Sequence[Outgoing]) -> ConfigError:
        first = msgspec.json.decode(tried[0].value, type=DeadLetter)
        return ConfigError(
            f"event: the first {len(tried)} records are all dead letters; the first error "
            f"({first.id}): {first.error}; correct [event], nothing was consumed"
        )
