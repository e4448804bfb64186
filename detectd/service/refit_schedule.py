"""Decide when the next model is due, from counts, with time as an argument.

every      N judged events, or N seconds, after the last model
on_drift   after an alarm. The window is then refilled without its guard, because the verdicts that
           the guard relies on are those of a model that no longer fits. (`normal_only` stays: its
           purpose is to let nothing suspicious in.) The refit is due when the window holds as many
           rows as a warm-up needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from detectd.service.challenger_training import comparable

if TYPE_CHECKING:
    from detectd.service.training_window import Guarded, Window

# In a backfill, batches end at multiples of this many judged events, where a refit may be due.
STEP = 1_000


@dataclass(frozen=True)
class Since:
    """Judged events since the last model or attempt, and whether there was an alarm.

    `alarmed` is whether the window was restarted after it, `warned` whether there was one.
    """

    events: int = 0
    alarmed: bool = False
    warned: bool = False


@dataclass(frozen=True, kw_only=True)
class RefitSchedule:
    """The `training.*` settings on when a model is due and how it is compared.

    A refit takes at least `fewest` rows. `backfill` is whether the source is a file that is read to
    its end: then a replay must give the same models, and a refit never waits for events.
    """

    refit: Literal["every", "on_drift"]
    every_events: int | None
    every_seconds: float | None
    cooldown_events: int
    guard: Guarded
    max_changed: float
    fewest: int
    backfill: bool

    def guard_after(self, since: Since) -> Guarded:
        """Return the guard of the window; an alarm lifts it, unless it is `normal_only`."""
        return "none" if self._lifted(since) else self.guard

    def max_changed_after(self, since: Since) -> float:
        """Return the share of verdicts that may change; an alarm lifts this bound as well."""
        return 1.0 if self._lifted(since) else self.max_changed

    def events_wanted(self, since: Since) -> int | None:
        """Return the maximum number of events to judge before a refit may be due; None for no
        limit."""
        if not self.backfill:
            return None
        every, ahead = self.every_events, STEP - since.events % STEP
        if every is not None and every > since.events:
            return min(ahead, every - since.events)
        return ahead

    def due(self, since: Since, window: Window, seconds: float) -> bool:
        """Return whether to train now, that many `seconds` after the last model or attempt."""
        if window.filled < self.fewest:
            return False
        if self.max_changed_after(since) < 1.0 and not comparable(window, self.fewest):
            return False
        if since.events < self.cooldown_events:
            return False
        if self.backfill and since.events % STEP and since.events != self.every_events:
            return False
        if self.refit == "on_drift":
            return since.alarmed
        by_events = self.every_events is not None and since.events >= self.every_events
        return by_events or (self.every_seconds is not None and seconds >= self.every_seconds)

    def _lifted(self, since: Since) -> bool:
        return since.alarmed and self.guard != "normal_only"
