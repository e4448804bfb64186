"""Records lost unread from a topic: logged when found, counted with the next commit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from detectd.sources import Gap

if TYPE_CHECKING:
    from collections.abc import Iterable

    from detectd.kafka import Place
    from detectd.sources.beginnings import Beginning

log = structlog.get_logger()


class GapLog:
    """Gaps that were found since the last commit, and those that were committed since `take`."""

    def __init__(self) -> None:
        self._found: list[Gap] = []
        self._committed: list[Gap] = []

    def begins(self, place: Place, at: int | None, begin: Beginning) -> None:
        """Log where a partition begins that was `at` an offset, and what is lost before it."""
        name = f"{place[0]}/{place[1]}"
        if not begin.lost and not begin.reset:
            log.info("source.begins", partition=name, offset=begin.offset)
            return
        self._found.append(Gap(name, begin.lost, begin.reset))
        bounds = {"from": at or 0, "to": begin.offset}
        reset, kept = "produce the missing records again", "raise the topic's retention.ms"
        hint = reset if begin.reset else kept
        log.warning(
            "source.gap", partition=name, **bounds, count=begin.lost, reason=begin.reason, hint=hint
        )

    def recreated(self, topic: str, partitions: Iterable[int]) -> None:
        """Log that a topic was recreated since the last commit."""
        reason = "it was deleted and created again; what was not read of the old one is gone"
        log.warning("source.topic_recreated", topic=topic, reason=reason)
        self._found += [Gap(f"{topic}/{each}", 0, reset=True) for each in partitions]

    def on_commit(self) -> None:
        """Make the gaps found so far permanent."""
        self._committed += self._found
        self._found.clear()

    def take(self) -> list[Gap]:
        """Return the committed gaps, once."""
        gaps, self._committed = self._committed, []
        return gaps
