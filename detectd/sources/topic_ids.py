"""Detect topics that were deleted and recreated under the same name."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from detectd.errors import BrokerUnavailableError
from detectd.kafka import groups

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from detectd.kafka import KafkaClient

# How often to check for recreated topics, even if their offsets do not show it, in seconds.
CHECK_SECONDS = 60.0


class TopicIds:
    """The ids of the topics that are read; `known` are those of the topics in positions.

    Brokers before 2.8 give topics no ids; then none ever changes.
    """

    def __init__(self, client: KafkaClient, topics: Sequence[str]) -> None:
        self._client = client
        self._topics = topics
        self._checked = time.monotonic()

    @property
    def known(self) -> dict[str, str]:
        """Return the ids by topic."""
        return self._client.membership.topic_ids

    def renew(self, before: Mapping[str, str]) -> set[str]:
        """Return the topics that were recreated since, and store their current ids.

        `before` are the ids of the last commit, used unless this process has newer ones.
        """
        now = groups.topic_ids(self._client, self._topics)
        changed = _changed(self.known or before, now)
        self._client.membership.topic_ids = now
        return changed

    def check(self) -> None:
        """Do as `require_same`, once a minute."""
        if time.monotonic() - self._checked >= CHECK_SECONDS:
            self.require_same()

    def require_same(self) -> None:
        """Raise BrokerUnavailableError if a topic was recreated: the next start begins it again."""
        self._checked = time.monotonic()
        if changed := _changed(self.known, groups.topic_ids(self._client, self._topics)):
            names = ", ".join(sorted(changed))
            raise BrokerUnavailableError(
                f"{names}: deleted and created again; reading it from its start"
            )


def _changed(before: Mapping[str, str], now: Mapping[str, str]) -> set[str]:
    return {topic for topic in now if before.get(topic, now[topic]) != now[topic]}
