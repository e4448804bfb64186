"""Reports how the loop goes: the endpoints, the metrics, and systemd.

The loop says what it does in one call a turn; what that means for each of the three is said here.
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

    from detectd.pipeline.records import Outgoing
    from detectd.sources import Gap, Losses, Source
    from detectd.telemetry.health import Health
    from detectd.telemetry.snapshot import Snapshot

log = structlog.get_logger()

# After this many dead letters and nothing else the stream has changed, or the configuration is
# wrong.
MANY_DEAD = 1_000


class TelemetryReporter:
    """What is known of the loop, for everyone who may ask.

    The endpoints are at `listen`, for clients that send the `token`, under `allowed_hosts`.
    `unedited` says that the configuration is the one that was installed, None if it is not. A `bar`
    on the terminal shows the progress of a source that has an end; lines in the log would only tear
    it apart.
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
        """Note that source and sink are open; without `settled` a commit that failed is to be made
        yet."""
        self.health.opened(settled=settled)
        self.supervisor.ready()

    def batch(self, counts: Counter[str], outgoing: Sequence[Outgoing], seconds: float) -> None:
        """Report outputs that were committed."""
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
        """Report gaps of the source that were committed."""
        if gaps:
            self.health.passed_over(gaps)

    def turned(self, snapshot: Snapshot, source: Source) -> None:
        """Note that the loop has turned, and this is what the engine shows."""
        health = self.health
        health.assigned(source.partitions())
        health.unread(source.unread())
        if champion := snapshot.champion:
            health.answering(champion.serving, champion.observed, champion.keys, champion.since)
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
        """Note what the source waits for, and what may not be meant: each is logged once."""
        if absent and self._unedited:
            warnings = [self._unedited, *warnings]
        self.health.doubts(absent, warnings)
        doubts = [*filter(None, [absent]), *warnings]
        for doubt in doubts:
            if doubt not in self._doubts:
                log.warning("config.warning", reason=doubt)
        self._doubts = doubts

    def lost(self, since: Losses) -> None:
        """Note what the source lost since this was last called."""
        if any(since):
            self.health.lost(since)

    def held(self) -> None:
        """Note that a model is being trained, and the loop waits for it."""
        self.health.turned()
        self.supervisor.holding()

    def restoring(self, share: float) -> None:
        """Take note of the share of the state of keys that has been read back."""
        self.health.restoring(share)

    def restored(self) -> None:
        """Take note that the state of keys is here."""
        self.health.restoring(None)

    def away(self, why: str, within: float) -> None:
        """Note that the other side is away; the next try takes less than `within` seconds."""
        self.health.interrupted(why)
        self.health.turned(within=within)
        self.supervisor.waiting(why, within=within)

    def stopping(self) -> None:
        """Note that nothing more is read."""
        self.health.stopping()
        self.supervisor.stopping()
