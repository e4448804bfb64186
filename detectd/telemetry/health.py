"""The state of the service: written by the loop, read by the endpoints.

Each call replaces one immutable `State`. A reader sees one moment and never blocks the loop, nor
the loop a reader. Time is monotonic, so a change of the system clock causes no alarm.
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

    from detectd.models.key_observations import KeyObservations
    from detectd.models.serving import Serving
    from detectd.pipeline.records import Gap
    from detectd.pipeline.top_keys import TopKey
    from detectd.sources import Partition
    from detectd.telemetry.snapshot import KeyFigures
    from detectd.telemetry.warmup_progress import Progress


class Health:
    """The loop's interface to record its state. Every method may be called from any thread.

    The loop is healthy while it turns at least once in `watchdog_seconds`; creating a `Health`
    counts as the first turn. `shared` is whether the source is a group's, whose members have
    partitions or none; `delivery` is the guarantee of source and sink, for display. `config` is the
    path of the configuration, `source` the name of a source without partitions.
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
        """Record that the loop is alive. The next turn may take `within` seconds if that is
        longer."""
        allowed = max(self.state.watchdog_seconds, within or 0.0)
        self._change(turned=self.clock(), allowed=allowed)

    def opened(self, *, settled: bool = True) -> None:
        """Record that source and sink are open; a shared source is assigned later.

        Without `settled` a commit failed before, and the interruption lasts until one succeeds.
        """
        self._change(partitions=None if self.state.shared else {})
        if settled:
            self.settled()

    def settled(self) -> None:
        """Record the end of the interruption."""
        self._change(interruption=None)

    def refused(self, why: str) -> None:
        """Record that outputs are refused, and replacements are tried, until `committed`."""
        self._change(refused=why)

    def committed(self) -> None:
        """Record a commit."""
        if self.state.refused or self.state.interruption:
            self._change(refused="", interruption=None)

    def assigned(self, partitions: Mapping[str, Partition] | None) -> None:
        """Record the assigned partitions; None outside of a group."""
        ours = None if partitions is None else dict(partitions)
        self._change(partitions=ours, assigned=self.clock())

    def answering(
        self,
        serving: Serving,
        observed: Mapping[str, int],
        keys: Sequence[TopKey] = (),
        since: int | None = None,
        by_key: KeyObservations | None = None,
    ) -> None:
        """Record the active model, its verdicts, the keys with the most anomalies, the start of the
        counts, and those of keys with zones of their own."""
        self._change(
            serving=serving,
            observed=dict(observed),
            keys=keys,
            since=since,
            by_key=by_key,
            warming=None,
        )

    def warming_up(self, progress: Progress | None) -> None:
        """Record that there is no model; its training rows are being collected, None if
        elsewhere."""
        self._change(serving=None, observed={}, keys=(), by_key=None, warming=progress)

    def interrupted(self, why: str) -> None:
        """Record an interruption until `opened`; repeated calls count as one."""
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
        """Record that partitions were revoked; the rest is read again."""
        with self._lock:
            self.state = replace(self.state, rewinds=self.state.rewinds + 1)

    def commit_failed(self) -> None:
        """Record a failed commit; its outputs are still to be committed."""
        with self._lock:
            self.state = replace(self.state, failed_commits=self.state.failed_commits + 1)

    def models_refused(self, records: int) -> None:
        """Record how many records of the models topic were refused so far."""
        if records != self.state.models_refused:
            self._change(models_refused=records)

    def reloaded(self) -> None:
        """Record that a new configuration is in force."""
        self._change(loaded=self.clock(), reload_refused="")

    def reload_refused(self, why: str) -> None:
        """Record that a new configuration was refused; the previous one stays in force."""
        self._change(reload_refused=why)

    def arrived(self) -> None:
        """Record that records arrived."""
        self._change(arrived=self.clock())

    def unread(self, size: int | None) -> None:
        """Record how many bytes of the source are unread; None if unknown."""
        if size != self.state.unread:
            self._change(unread=size)

    def passed_over(self, gaps: Sequence[Gap]) -> None:
        """Record lost records, and partitions whose log was replaced."""
        with self._lock:
            lost, resets = Counter(self.state.gap_records), Counter(self.state.resets)
            for gap in gaps:
                lost[gap.partition] += gap.records
                resets[gap.partition] += gap.reset
            self.state = replace(self.state, gap_records=lost, resets=resets)

    def lost(self, since: Losses) -> None:
        """Record the source's losses since the last call."""
        with self._lock:
            total = map(sum, zip(self.state.losses, since, strict=True))
            self.state = replace(self.state, losses=Losses(*total))

    def restoring(self, share: float | None) -> None:
        """Record the share of the state of keys that has been read; None if all of it."""
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
        """Record the evidence against the promise, and its alarms."""
        self._change(
            evidence=evidence,
            alarms=tuple(alarms),
            alarm_count=len(alarms) if alarm_count is None else alarm_count,
            average_run_length=average_run_length,
        )

    def refitting(self, *, running: bool = True) -> None:
        """Record whether a model is being fitted to replace the active one."""
        self._change(refitting=running)

    def refitted(self, outcome: str) -> None:
        """Record the end of a refit, with one of `OUTCOMES`."""
        with self._lock:
            refits = {**self.state.refits, outcome: self.state.refits.get(outcome, 0) + 1}
            self.state = replace(self.state, refits=refits, refitting=False)

    def holding(self, version: str | None) -> None:
        """Record the held model, if any."""
        if version != self.state.held:
            self._change(held=version)

    def remembering(self, figures: KeyFigures | None) -> None:
        """Record the figures of keys, None if there is no state of keys."""
        if figures != self.state.key_figures:
            self._change(key_figures=figures)

    def dying(self, records: int) -> None:
        """Record how many consecutive records became dead letters; 0 for none."""
        if records != self.state.dead_in_a_row:
            self._change(dead_in_a_row=records)

    def doubts(self, absent: str | None, warnings: Sequence[str]) -> None:
        """Record what the source waits for, and warnings on the configuration."""
        if (absent, tuple(warnings)) != (self.state.absent, self.state.warnings):
            self._change(absent=absent, warnings=tuple(warnings))

    def stopping(self) -> None:
        """Record that the service ends after this batch."""
        self._change(stopping=True)

    def _change(self, **changes: Any) -> None:
        with self._lock:
            self.state = replace(self.state, **changes)
