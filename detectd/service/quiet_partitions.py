"""Which partitions nothing at all has come from for a span, by the clock of this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

# Between two looks no more than this part of the span goes by: while a model is trained, or a
# broker is away, it is this process that hears nothing.
STEP = 1 / 4


class QuietPartitions:
    """Counts the seconds without an event, partition by partition, from when it is first seen."""

    def __init__(self, span_seconds: float) -> None:
        self._span = span_seconds
        self._looked: float | None = None
        self._quiet: dict[str, tuple[int, float]] = {}

    def look(self, events: Mapping[str, int], behind: Collection[str], now: float) -> list[str]:
        """Return those that have been quiet for longer than the span.

        `events` is how many each has had so far; those `behind` have some that are not read yet.
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
