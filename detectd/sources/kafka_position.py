"""The position of a Kafka source: the offset after the last record of each partition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from detectd.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Offsets = dict[tuple[str, int], int]


def as_position(group: str, offsets: Mapping[tuple[str, int], int], ids: object) -> dict[str, Any]:
    """Return the position as JSON; `ids` are the brokers' topic ids."""
    by_topic: dict[str, dict[str, int]] = {}
    for (topic, partition), offset in sorted(offsets.items()):
        by_topic.setdefault(topic, {})[str(partition)] = offset
    return {"group": group, "offsets": by_topic, "topic_ids": ids}


def offsets_in(position: Mapping[str, Any], name: str = "offsets") -> Offsets:
    """Return a position's offsets: the one after the last record of each partition."""
    return {
        (topic, int(partition)): offset
        for topic, partitions in position.get(name, {}).items()
        for partition, offset in partitions.items()
    }


def recognised(position: Mapping[str, Any], topics: Sequence[str]) -> Offsets:
    """Return the offsets of a position. Raise ConfigError if it belongs to another source."""
    offsets = offsets_in(position)
    if "group" not in position or (offsets and not {t for t, _ in offsets} & {*topics}):
        raise ConfigError(
            "source: the last commit belongs to another source; go back to it, or give the sink "
            "another place (sink.directory, kafka.transactional_id)"
        )
    return offsets
