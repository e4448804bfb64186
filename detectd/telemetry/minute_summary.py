"""One log line per minute with the outputs since the line before. Pure: time is an argument.

The first line comes after ten seconds, to show that a new service works. A minute without a commit
has no line.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from detectd.pipeline.records import OUTCOMES

if TYPE_CHECKING:
    from collections.abc import Mapping

FIRST_SECONDS = 10.0
SECONDS = 60.0


class Minutes:
    """Count the committed outputs of a minute. All times are of one monotonic clock."""

    def __init__(self, now: float) -> None:
        self._began = now
        self._seconds = FIRST_SECONDS
        self._counts: Counter[str] = Counter()

    def add(self, counts: Mapping[str, int]) -> None:
        """Add committed outputs with these counts by topic."""
        self._counts.update(counts)

    def take(self, now: float) -> dict[str, Any] | None:
        """Return the figures of the minute once it is over, and start the next one.

        Return None if it is not over, or nothing was committed in it.
        """
        seconds = now - self._began
        if seconds < self._seconds:
            return None
        counts, self._counts, self._began = self._counts, Counter(), now
        by_outcome = {topic.value: counts[topic] for topic in OUTCOMES}
        records = sum(by_outcome.values())
        if not records:
            return None
        self._seconds = SECONDS
        return {
            "seconds": round(seconds, 1),
            "records": records,
            **by_outcome,
            "records_per_second": round(records / seconds, 1),
        }
