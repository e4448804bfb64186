"""How far a warm-up is, for logs and pages. Pure."""

from __future__ import annotations

from typing import NamedTuple

from detectd.pipeline.time_coverage import portion


class Progress(NamedTuple):
    """How far a warm-up is, in events, and how long the rest takes at the rate so far.

    `failures` counts the trainings that have failed in this run, `last_failure` says why. If event
    time is what is wanted, `covered_seconds` of `span_seconds` are there, and `wanted` events are
    the least. Once there are enough, `awaited_partitions` may still have to deliver their part.
    """

    collected: int
    wanted: int
    seconds_left: float | None = None
    failures: int = 0
    last_failure: str | None = None
    covered_seconds: float | None = None
    span_seconds: float | None = None
    awaited_partitions: int = 0

    @property
    def share(self) -> float:
        """Return how much of it is there, from 0 to 1."""
        rows = min(1.0, self.collected / self.wanted)
        if self.covered_seconds is None or self.span_seconds is None:
            return rows
        return min(rows, self.covered_seconds / self.span_seconds)

    @property
    def covered(self) -> str | None:
        """Return the span so far, in words; None if events are what is wanted."""
        if self.covered_seconds is None or self.span_seconds is None:
            return None
        return portion(self.covered_seconds * 1000, self.span_seconds * 1000)

    @property
    def lacks(self) -> str | None:
        """Return what is still wanted to train a model, as a sentence; None for nothing."""
        left = self.wanted - self.collected
        if self.covered is not None and self.share < 1:
            fewest = f", and {left:,} more events are needed" if left > 0 else ""
            return f"event times span {self.covered} (training.warmup){fewest}"
        if left > 0:
            return f"{left:,} more events are needed to train one"
        if self.awaited_partitions:
            return f"{self.awaited_partitions} partitions have not delivered their part yet"
        return None
