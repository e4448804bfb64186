"""Report the loop's progress to the endpoints, the metrics, and systemd.

The loop makes one call per turn; this module updates all three.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from detectd.pipeline.records import Topic
from detectd.telemetry.metrics import Metrics, stages
from detectd.telemetry.minute_summary import Minutes
from detectd.telemetry.server import serve
from detectd.telemetry.systemd import SystemdNotifier

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from detectd.pipeline.records import Gap, Outgoing
    from detectd.sources import Losses, Source
    from detectd.telemetry.health import Health
    from detectd.telemetry.snapshot import Snapshot

log = structlog.get_logger()

# After this many consecutive dead letters the stream has changed, or the configuration is wrong.
MANY_DEAD = 1_000


class TelemetryReporter:
    """The telemetry of the loop.

    The endpoints are at `listen`, for clients that send the `token`, under `allowed_hosts`.
    `unedited` is a warning if the configuration is the installed one, else None. A `bar` on the
    terminal shows the progress of a bounded source; log lines would break it.
    """

    def __init__(
        self,
        health: Health,
        *,
        listen: str,
        token: str | None,
        allowed_hosts: Sequence[str],
        unedited: str | None,
        bar: bool,
    ) -> None:
        self.health = health
        self.metrics = Metrics(health)
        self.supervisor = SystemdNotifier(health)
        self._listen = listen
        self._token = token
        self._allowed_hosts = allowed_hosts
        self._events = 0
        self._dead_in_a_row = 0
        self._unedited = unedited
        self._doubts: Sequence[str] = ()
        self._bar = bar
        self._minutes = Minutes(health.clock())

    def listening(self) -> AbstractContextManager[str | None]:
        """Return the endpoints, as long as the context lasts."""
        return serve(self._listen, self._token, self.health, self.metrics, self._allowed_hosts)

    def opened(self, *, settled: bool) -> None:
        """Record that source and sink are open; without `settled` a failed commit is still to be
        made."""
        self.health.opened(settled=settled)
        self.supervisor.ready()

    def batch(self, counts: Counter[str], outgoing: Sequence[Outgoing], seconds: float) -> None:
        """Report committed outputs."""
        dead = counts[Topic.DEAD_LETTER]
        self.metrics.batch(counts, stages(outgoing) if dead else {}, seconds)
        self._events += counts.total()
        self._minutes.add(counts)
        if not counts:
            return
        self.health.committed()
        before = self._dead_in_a_row
        self._dead_in_a_row = before + dead if dead == counts.total() else 0
        if before < MANY_DEAD <= self._dead_in_a_row:
            log.warning("records.all_dead", records=self._dead_in_a_row, hint="see dead letters")
        if before >= MANY_DEAD > self._dead_in_a_row:
            log.info("records.answered_again")
        self.health.dying(self._dead_in_a_row if self._dead_in_a_row >= MANY_DEAD else 0)

    def passed_over(self, gaps: Sequence[Gap]) -> None:
        """Report committed gaps of the source."""
        if gaps:
            self.health.passed_over(gaps)

    def turned(self, snapshot: Snapshot, source: Source) -> None:
        """Record a turn of the loop, with the engine's snapshot."""
        health = self.health
        health.assigned(source.partitions())
        health.unread(source.unread())
        if champion := snapshot.champion:
            health.answering(
                champion.serving,
                champion.observed,
                champion.keys,
                champion.since,
                champion.by_key,
            )
            health.watched(
                champion.drift.evidence,
                champion.drift.alarms,
                alarm_count=champion.drift.alarm_count,
                average_run_length=champion.drift.average_run_length,
            )
        else:
            health.warming_up(snapshot.warmup)
        health.holding(snapshot.held)
        health.remembering(snapshot.keys)
        for outcome in snapshot.refits:
            health.refitted(outcome)
        health.refitting(running=snapshot.training)
        health.turned()
        self.supervisor.turned(self._events)
        self._log_minute(source)

    def _log_minute(self, source: Source) -> None:
        state = self.health.state
        figures = self._minutes.take(self.health.clock())
        if figures is None or (self._bar and source.progress() is not None):
            return
        if state.unread is not None:
            figures["unread_bytes"] = state.unread
        lags = [p.lag for p in (state.partitions or {}).values() if p.lag is not None]
        if lags:
            figures["lag_records"] = sum(lags)
        model = state.serving.model.version if state.serving else None
        log.info("service.progress", **figures, model=model)

    def doubts(self, absent: str | None, warnings: Sequence[str]) -> None:
        """Record what the source waits for, and warnings: each is logged once."""
        if absent and self._unedited:
            warnings = [self._unedited, *warnings]
        self.health.doubts(absent, warnings)
        doubts = [*filter(None, [absent]), *warnings]
        for doubt in doubts:
            if doubt not in self._doubts:
                log.warning("config.warning", reason=doubt)
        self._doubts = doubts

    def lost(self, since: Losses) -> None:
        """Record the source's losses since the last call."""
        if any(since):
            self.health.lost(since)

    def held(self) -> None:
        """Record that the loop waits for a training."""
        self.health.turned()
        self.supervisor.holding()

    def restoring(self, share: float) -> None:
        """Record the share of the state of keys that has been read."""
        self.health.restoring(share)

    def restored(self) -> None:
        """Record that the state of keys is loaded."""
        self.health.restoring(None)

    def away(self, why: str, within: float) -> None:
        """Record that a broker is unavailable; the next attempt takes less than `within`
        seconds."""
        self.health.interrupted(why)
        self.health.turned(within=within)
        self.supervisor.waiting(why, within=within)

    def stopping(self) -> None:
        """Record that no more is read."""
        self.health.stopping()
        self.supervisor.stopping()
