"""Records lost unread from a topic: logged when found, reported and counted on the next commit."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import structlog

from detectd.pipeline.records import Gap
from detectd.sources.beginnings import RECREATED, Beginning
from detectd.sources.uncommitted import Uncommitted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from detectd.kafka import Place

log = structlog.get_logger()


class Found(NamedTuple):
    """A gap, and whether no later assignment of its partition finds it again."""

    place: Place
    gap: Gap
    once: bool = False


class GapLog:
    """Gaps that were found since the last commit, and those that were committed since `take`.

    A gap is committed with the first position that names its partition: this is what keeps the next
    owner of the partition from finding it again. `group` is the one that reads, and `topic_ids`
    returns those of its topics, as far as they are known.
    """

    def __init__(self, group: str, topic_ids: Callable[[], Mapping[str, str]]) -> None:
        self._group = group
        self._topic_ids = topic_ids
        self._found = Uncommitted[Found]()
        self._committed: list[Gap] = []

    @property
    def places(self) -> set[Place]:
        """Return the partitions of the gaps that are not committed yet."""
        return {found.place for found in self._found}

    def begins(self, place: Place, at: int | None, begin: Beginning) -> None:
        """Log where a partition begins that was `at` an offset, and what is lost before it."""
        name = f"{place[0]}/{place[1]}"
        if not begin.lost and not begin.reset:
            log.info("source.begins", partition=name, offset=begin.offset)
            return
        self._found.add(Found(place, self._gap(place, at or 0, begin)))
        bounds = {"from": at or 0, "to": begin.offset}
        reset, kept = "produce the missing records again", "raise the topic's retention.ms"
        hint = reset if begin.reset else kept
        log.warning(
            "source.gap", partition=name, **bounds, count=begin.lost, reason=begin.reason, hint=hint
        )

    def recreated(self, topic: str) -> None:
        """Log that a topic was recreated since the last commit."""
        reason = "it was deleted and created again; what was not read of the old one is gone"
        log.warning("source.topic_recreated", topic=topic, reason=reason)

    def begins_again(self, place: Place, at: int) -> None:
        """Add the reset of a partition that was `at` an offset and is read from 0 again."""
        begin = Beginning(0, reset=True, reason=RECREATED)
        self._found.add(Found(place, self._gap(place, at, begin), once=True))

    def offer(self, places: Collection[Place]) -> list[Gap]:
        """Return the gaps that a commit of these partitions makes permanent."""
        return [found.gap for found in self._found.offer(lambda found: found.place in places)]

    def on_commit(self) -> None:
        """Make the gaps that were last offered permanent."""
        self._committed += [found.gap for found in self._found.on_commit()]

    def revoked(self, places: Collection[Place]) -> None:
        """Remove the gaps that the next owner of these partitions will find."""
        self._found.keep(lambda found: found.once or found.place not in places)

    def take(self) -> list[Gap]:
        """Return the committed gaps, once."""
        gaps, self._committed = self._committed, []
        return gaps

    def _gap(self, place: Place, at: int, begin: Beginning) -> Gap:
        topic, name = place[0], f"{place[0]}/{place[1]}"
        # The same offsets of another topic of that name are another gap.
        of = f"{self._group}\n{self._topic_ids().get(topic, '')}\n{name}"
        seen = f"{of}\n{at} {begin.offset} {begin.reset}"
        return Gap(name, begin.lost, begin.reset, begin.reason, at, begin.offset, seen)
