"""What the service is doing: told by the loop, read by the pages.

Each call replaces one immutable `State`. A reader sees one moment and never waits for the loop, nor
the loop for a reader. Time is the monotonic clock's, so that a clock set back or forth alarms
nobody.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from detectd.sources import Losses
from detectd.telemetry.state import Interruption, State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from detectd.models.serving import Serving
    from detectd.pipeline.top_keys import TopKey
    from detectd.sources import Gap, Partition
    from detectd.telemetry.snapshot import KeyFigures
    from detectd.telemetry.warmup_progress import Progress


class Health:
    """Where the loop tells what it does. Every method may be called from any thread.

    The loop is healthy while it turns at least once in `watchdog_seconds`; making a `Health` counts
    as the first turn. `shared` says that the source is a group's, whose members own partitions or
    none; `delivery` is the guarantee of source and sink, for people. `config` is the path of the
    configuration, `source` what a source without partitions is called.
    """

    def __init__(
        self,
        watchdog_seconds: float,
        *,
        stale_after: float | None = None,
        shared: bool = False,
        delivery: str = "",
        config: str = "",
        source: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.clock = clock
        self._lock = threading.Lock()
        now = clock()
        self.state = State(
            watchdog_seconds=watchdog_seconds,
            stale_after=stale_after,
            shared=shared,
            delivery=delivery,
            started=now,
            turned=now,
            allowed=watchdog_seconds,
            config=config,
            loaded=now,
            source=source,
            arrived=now,
        )

    def turned(self, within: float | None = None) -> None:
        """Note that the loop is alive. The next turn may take `within` seconds if that is
        longer."""
        allowed = max(self.state.watchdog_seconds, within or 0.0)
        self._change(turned=self.clock(), allowed=allowed)

    def opened(self, *, settled: bool = True) -> None:
        """Note that source and sink are open; a shared source is assigned later.

        Without `settled` a commit failed before, and the interruption lasts until one succeeds.
        """
        self._change(partitions=None if self.state.shared else {})
        if settled:
            self.settled()

    def settled(self) -> None:
        """Note that the interruption is over."""
        self._change(interruption=None)

    def refused(self, why: str) -> None:
        """Note that outputs are refused, and others are tried in their place, until `committed`."""
        self._change(refused=why)

    def committed(self) -> None:
        """Note that outputs were committed."""
        if self.state.refused or self.state.interruption:
            self._change(refused="", interruption=None)

    def assigned(self, partitions: Mapping[str, Partition] | None) -> None:
        """Note what is ours now, as the source tells it; None while we are in no group."""
        ours = None if partitions is None else dict(partitions)
        self._change(partitions=ours, assigned=self.clock())

    def answering(
        self,
        serving: Serving,
        observed: Mapping[str, int],
        keys: Sequence[TopKey] = (),
        since: int | None = None,
    ) -> None:
        """Note that a model answers, these are its verdicts, the keys with the most anomalies,
        since when."""
        self._change(serving=serving, observed=dict(observed), keys=keys, since=since, warming=None)

    def warming_up(self, progress: Progress | None) -> None:
        """Note that no model answers; its training rows are being collected, None if elsewhere."""
        self._change(serving=None, observed={}, keys=(), warming=progress)

    def interrupted(self, why: str) -> None:
        """Note that the other side is away, until `opened`; called again, it is one
        interruption."""
        now = self.clock()
        with self._lock:
            before = self.state.interruption
            self.state = replace(
                self.state,
                interruption=Interruption(why, before.since if before else now),
                interruptions=self.state.interruptions + (before is None),
                restoring=None,
                partitions=None,
            )

    def rewound(self) -> None:
        """Note that partitions went to another member; what is left is read again."""
        with self._lock:
            self.state = replace(self.state, rewinds=self.state.rewinds + 1)

    def commit_failed(self) -> None:
        """Note that outputs could not be committed; they are still to be."""
        with self._lock:
            self.state = replace(self.state, failed_commits=self.state.failed_commits + 1)

    def models_refused(self, records: int) -> None:
        """Note how many records of the models topic were refused so far."""
        if records != self.state.models_refused:
            self._change(models_refused=records)

    def reloaded(self) -> None:
        """Note that a new configuration is in force."""
        self._change(loaded=self.clock(), reload_refused="")

    def reload_refused(self, why: str) -> None:
        """Note that a new configuration was refused; the one before stays in force."""
        self._change(reload_refused=why)

    def arrived(self) -> None:
        """Note that records came."""
        self._change(arrived=self.clock())

    def unread(self, size: int | None) -> None:
        """Note how many bytes of the source are not read yet; None if that is not known."""
        if size != self.state.unread:
            self._change(unread=size)

    def passed_over(self, gaps: Sequence[Gap]) -> None:
        """Note that records of the source are gone unread, or a partition of it has begun again."""
        with self._lock:
            lost, resets = Counter(self.state.gap_records), Counter(self.state.resets)
            for gap in gaps:
                lost[gap.partition] += gap.records
                resets[gap.partition] += gap.reset
            self.state = replace(self.state, gap_records=lost, resets=resets)

    def lost(self, since: Losses) -> None:
        """Note what the source lost since this was last called."""
        with self._lock:
            total = map(sum, zip(self.state.losses, since, strict=True))
            self.state = replace(self.state, losses=Losses(*total))

    def restoring(self, share: float | None) -> None:
        """Take note of the share of the state of keys that is read back; None if all of it is."""
        if share != self.state.restoring:
            self._change(restoring=share)

    def watched(
        self,
        evidence: float,
        alarms: Sequence[Mapping[str, Any]],
        *,
        alarm_count: int | None = None,
        average_run_length: float | None = None,
    ) -> None:
        """Note the evidence against the promise, and what was raised because of it."""
        self._change(
            evidence=evidence,
            alarms=tuple(alarms),
            alarm_count=len(alarms) if alarm_count is None else alarm_count,
            average_run_length=average_run_length,
        )

    def refitting(self, *, running: bool = True) -> None:
        """Note whether a model is being fitted to replace the one that answers."""
        self._change(refitting=running)

    def refitted(self, outcome: str) -> None:
        """Note that a refit has ended, in one of `OUTCOMES`."""
        with self._lock:
            refits = {**self.state.refits, outcome: self.state.refits.get(outcome, 0) + 1}
            self.state = replace(self.state, refits=refits, refitting=False)

    def holding(self, version: str | None) -> None:
        """Note which model waits for an operator, if any."""
        if version != self.state.held:
            self._change(held=version)

    def remembering(self, figures: KeyFigures | None) -> None:
        """Note what is known of keys, None if none are remembered."""
        if figures != self.state.key_figures:
            self._change(key_figures=figures)

    def dying(self, records: int) -> None:
        """Note how many records in a row became dead letters and nothing else; 0 for none."""
        if records != self.state.dead_in_a_row:
            self._change(dead_in_a_row=records)

    def doubts(self, absent: str | None, warnings: Sequence[str]) -> None:
        """Note what the source waits for, and what may not be meant in the configuration."""
        if (absent, tuple(warnings)) != (self.state.absent, self.state.warnings):
            self._change(absent=absent, warnings=tuple(warnings))

    def stopping(self) -> None:
        """Note that the service ends after this batch."""
        self._change(stopping=True)

    def _change(self, **changes: Any) -> None:
        with self._lock:
            self.state = replace(self.state, **changes)
