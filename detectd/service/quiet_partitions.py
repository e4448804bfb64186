"""Detect partitions without any event for a span, by the clock of this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

# At most this part of the span counts between two checks: during a training or a broker outage it
# is this process that receives nothing.
STEP = 1 / 4


class QuietPartitions:
    """Count the seconds without an event, per partition, from when it is first seen."""

    def __init__(self, span_seconds: float) -> None:
        self._span = span_seconds
        self._looked: float | None = None
        self._quiet: dict[str, tuple[int, float]] = {}

    def look(self, events: Mapping[str, int], behind: Collection[str], now: float) -> list[str]:
        """Return the partitions that have been quiet for longer than the span.

        `events` is the number of events of each so far; those `behind` have unread records.
        """
        since = 0.0 if self._looked is None else now - self._looked
        step, self._looked = min(since, STEP * self._span), now
        quiet = {}
        for name, count in events.items():
            before, lasted = self._quiet.get(name, (None, 0.0))
            still = count == before and name not in behind
            quiet[name] = (count, lasted + step if still else 0.0)
        self._quiet = quiet
        return [name for name, (_, lasted) in quiet.items() if lasted > self._span]
