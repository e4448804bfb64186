"""Tells whoever watches how the loop goes: the endpoints, the metrics, and systemd.

The loop says what it does in one call a turn; what that means for each of the three is said here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from detectd import derive, wiring
from detectd.commands.checks import unedited
from detectd.pipeline.records import Topic
from detectd.telemetry.health import Health
from detectd.telemetry.metrics import Metrics, stages
from detectd.telemetry.minute_summary import Minutes
from detectd.telemetry.server import serve
from detectd.telemetry.systemd import SystemdNotifier

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from detectd.pipeline.records import Outgoing
    from detectd.service.engine import ScoringEngine
    from detectd.settings import Settings
    from detectd.sources import Gap, Losses, Source

log = structlog.get_logger()

# So many dead letters and nothing else: then the stream has changed, or the configuration is wrong.
MANY_DEAD = 1_000

# Keys with the most anomalies that /status names.
KEYS_SHOWN = 10


class TelemetryReporter:
    """What is known of the loop, for everyone who may ask.

    A `bar` on the terminal shows the progress of a source that has an end; lines in the log would
    only tear it apart.
    """

    def __init__(
        self, settings: Settings, config: Path | None = None, *, bar: bool = False
    ) -> None:
        self._listen = settings.server.listen
        self._allowed_hosts = settings.server.allowed_hosts
        self._token = wiring.server_token(settings)
        self.health = Health(
            _watchdog_seconds(settings),
            stale_after=settings.source.stale_after,
            shared=settings.source.kind == "kafka",
            delivery=derive.delivery(settings),
            config=str(config or ""),
            source=_name_of_source(settings),
        )
        self.metrics = Metrics(self.health)
        self.supervisor = SystemdNotifier(self.health)
        self._events = 0
        self._dead_in_a_row = 0
        self._unedited = unedited(settings)
        self._doubts: Sequence[str] = ()
        self._bar = bar
        self._minutes = Minutes(self.health.clock())

    def listening(self) -> AbstractContextManager[str | None]:
        """The endpoints, as long as the context lasts."""
        return serve(self._listen, self._token, self.health, self.metrics, self._allowed_hosts)

    def opened(self, *, settled: bool) -> None:
        """Source and sink are open; without `settled` a commit that failed is to be made yet."""
        self.health.opened(settled=settled)
        self.supervisor.ready()

    def batch(self, counts: Counter[str], outgoing: Sequence[Outgoing], seconds: float) -> None:
        """These outputs were committed."""
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
        """These gaps of the source were committed."""
        if gaps:
            self.health.passed_over(gaps)

    def turned(self, engine: ScoringEngine, source: Source) -> None:
        """The loop has turned, and this is who answers."""
        health = self.health
        health.assigned(source.partitions())
        health.unread(source.unread())
        if champion := engine.champion:
            keys = champion.anomalies.top(KEYS_SHOWN)
            health.answering(champion.serving, champion.observed, keys, champion.since)
            drift_monitor = champion.drift_monitor
            health.watched(
                drift_monitor.evidence,
                drift_monitor.told,
                alarm_count=drift_monitor.alarms,
                average_run_length=drift_monitor.average_run_length,
            )
        elif engine.warming:
            health.warming_up(engine.warming.progress)
        health.holding(engine.retrainer.held if engine.retrainer else None)
        if retrainer := engine.retrainer:
            for outcome in retrainer.outcomes():
                health.refitted(outcome)
            if retrainer.running:
                health.refitting()
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
        """What the source waits for, and what may not be meant: each is logged once."""
        if absent and self._unedited:
            warnings = [self._unedited, *warnings]
        self.health.doubts(absent, warnings)
        doubts = [*filter(None, [absent]), *warnings]
        for doubt in doubts:
            if doubt not in self._doubts:
                log.warning("config.warning", reason=doubt)
        self._doubts = doubts

    def lost(self, since: Losses) -> None:
        """What the source lost since this was last called."""
        if any(since):
            self.health.lost(since)

    def held(self) -> None:
        """A model is being trained, and the loop waits for it."""
        self.health.turned()
        self.supervisor.holding()

    def away(self, why: str, within: float) -> None:
        """The other side is away; the next try takes less than `within` seconds."""
        self.health.interrupted(why)
        self.health.turned(within=within)
        self.supervisor.waiting(why, within=within)

    def stopping(self) -> None:
        """Nothing more is read."""
        self.health.stopping()
        self.supervisor.stopping()


def _name_of_source(settings: Settings) -> str:
    """What a source without partitions is called; empty for one that has some."""
    names = {"file": str(settings.source.path), "stdin": "stdin", "kafka": ""}
    return names[settings.source.kind]


def _watchdog_seconds(settings: Settings) -> float:
    """A turn that takes longer hangs: it has read, answered and committed long since."""
    answering = settings.kafka.max_poll_interval_seconds / 4
    committing = settings.kafka.transaction_timeout_seconds
    return settings.source.batch_seconds + answering + committing + 60
