"""The service: connect source, scoring engine and sink, and run the loop between them.

open      resume where the last commit left the stream
turn      read, score, commit: one batch, in one visible block
again     partitions were revoked, or a warm-up held records back: reread what is not committed
reload    on SIGHUP: apply new settings between two batches, all of them or none
recover   a broker is unavailable: close source and sink, and reopen them when it is back
stop      at a signal or at the end of a bounded source, between two batches
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from detectd import stream_names, wiring
from detectd.errors import BrokerUnavailableError, DetectdError, PartitionsRevokedError
from detectd.kafka.backoff import ExponentialBackoff
from detectd.pipeline.field_watch import FieldWatch
from detectd.pipeline.scoring import within_limits
from detectd.service.batching import RetryBudget
from detectd.service.committing import Committer
from detectd.service.endpoints import Endpoints
from detectd.service.engine import ScoringEngine
from detectd.service.gathering import Gatherer
from detectd.service.gc_tuning import rare_collections
from detectd.service.options import batch_limits
from detectd.service.reloading import reloaded
from detectd.service.run_summary import Summary
from detectd.service.startup_guard import StartupGuard
from detectd.signals import Reload

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable
    from pathlib import Path

    from detectd.models.replication import Feed
    from detectd.settings import Settings
    from detectd.signals import Stop
    from detectd.sources import Batch
    from detectd.telemetry.progress import Advance

log = structlog.get_logger()

# How long a start waits for a published model, in seconds.
FEED_SECONDS = 30.0

# Each attempt to reach the brokers takes less than this.
EXTENSION_SECONDS = 90


class Service:
    """One run over one source. Use `run` once."""

    def __init__(
        self,
        settings: Settings,
        stop: Stop,
        advance: Advance | None = None,
        reread: Callable[[], Settings] | None = None,
        config: Path | None = None,
    ) -> None:
        self.settings = settings
        self.stop = stop
        self.reload = Reload()
        self.reread = reread
        self.advance = advance
        self.schema = wiring.stream_schema(settings)
        self.ends = Endpoints(settings)
        commits = stream_names.commit_stream(settings, self.ends.client)
        self.engine = ScoringEngine(settings, self.schema, commits)
        self.feed: Feed | None = None
        self.startup_guard = StartupGuard()
        self.fields = FieldWatch(self.schema)
        self.gatherer = Gatherer(batch_limits(settings))
        self.backoff = ExponentialBackoff()
        self.patience = RetryBudget()
        self.summary = Summary()
        self.reporter = wiring.reporter(settings, config, bar=advance is not None)
        self.committer = Committer(self.engine, self.ends, self.reporter, self.patience)

    def run(self) -> Summary:
        """Process the stream until it ends or a stop is requested."""
        started = time.monotonic()
        reason = "failed"
        if self.reread:
            self.reload.listen()
        with self.reporter.listening():
            try:
                self.reporter.supervisor.starting()
                self._receive_models()
                self.engine.load()
                self._open_patiently(None)
                started = time.monotonic()
                with rare_collections():
                    self._loop()
                reason = self._why_stopped()
                if self.engine.warmup and not self.stop.requested:
                    self.engine.warmup.ended()
            except DetectdError as failed:
                reason = f"failed: {failed}"
                raise
            finally:
                self.reporter.stopping()
                if self.feed:
                    self.feed.stop()
                self.engine.close()
                self.ends.close()
                self.summary.seconds = time.monotonic() - started
                log.info("service.stopped", reason=reason, **self.summary.figures())
        progress = self.engine.warmup and self.engine.warmup.progress
        self.summary.no_model = (progress and progress.lacks) or ""
        return self.summary

    def _why_stopped(self) -> str:
        if self.stop.requested:
            return self.stop.signal or "requested"
        return "the source has ended"

    def _loop(self) -> None:
        while not self.stop.requested and not self._turn_or_recover():
            if self.reload.take():
                self._reload()
            if self.patience.turned(time.monotonic()):
                self.reporter.health.settled()
            self.reporter.turned(self.engine.take_snapshot(), self.ends.source)
            self.reporter.doubts(self.ends.source.absent(), self.fields.warnings)
            self.reporter.lost(self.ends.source.take_losses())
            if self.feed:
                self.reporter.health.models_refused(self.feed.refused)

    def _receive_models(self) -> None:
        """Load the published model, if there is a topic for models."""
        try:
            self.feed = wiring.feed(self.settings, self.ends.client)
            if self.feed:
                self.feed.start(FEED_SECONDS)
        except BrokerUnavailableError as away:
            log.warning("models.feed_interrupted", reason=str(away))

    def _open(self) -> None:
        position = self.ends.sink.open()
        state = self.committer.state_of(position)
        self.engine.restore(state)
        self.startup_guard = StartupGuard()
        if state.get("events") == self.engine.events:
            self.startup_guard.end()
        self.ends.source.start(position.source if position else None)
        if not state and self.ends.source.begins():
            self.engine.begin_again()
        self.committer.uncommitted = not state
        self.engine.advance(self._hold)  # in case the last run ended just before this
        self.reporter.doubts(self.ends.source.absent(), self.fields.warnings)
        # Telemetry and the supervisor are updated before the log line.
        self.reporter.opened(settled=not self.patience.owing)
        log.info("service.started", resumed=position is not None)
        self.patience.opened(time.monotonic())

    def _turn_or_recover(self) -> bool:
        """Process one batch. Return True when a bounded source has ended."""
        try:
            return self._turn()
        except PartitionsRevokedError as revoked:
            log.info("consumer.rewound", reason=str(revoked))
            self.reporter.health.rewound()
            self._again()
            # Until the next heartbeat a lost group membership may go unnoticed.
            self.stop.wait(self.backoff.pause(time.monotonic()))
        except BrokerUnavailableError as away:
            self._open_patiently(away)
        return False

    def _turn(self) -> bool:
        started = time.monotonic()
        # 1. Read, at most as many records as the warm-up wants.
        batch = self.gatherer.gather(self.ends.source, self.engine.wanted, self._interrupted)
        if batch.records:
            self.reporter.health.arrived()
        self.fields.look(batch.records, last=batch.ended)
        # 2. Load the state of keys of newly assigned partitions.
        if not self.engine.know(
            batch.records, self.ends.source, self.ends.sink, self._hold_restoring
        ):
            return False
        self.reporter.restored()
        # 3. Score: one output for each record, in order.
        answered = time.monotonic()
        outgoing = self.engine.answer(batch.records)
        quiet = self.engine.look(self.ends.source, batch.position)
        outgoing = within_limits(batch.records, outgoing, self.ends.sink.limits())
        self.gatherer.took(len(batch.records), time.monotonic() - answered)
        passed = self.startup_guard.pass_on(outgoing, last=batch.ended)
        if self.engine.holding:
            self.committer.keep_origin()
            return self._hold_back(batch)
        if passed is None:
            self.committer.keep_origin()
            self.engine.advance(self._hold)
            return batch.ended
        # 4. Commit the outputs and the position together.
        passed, counts = self.committer.commit(passed, batch)
        # 5. Acknowledge to the source, and update telemetry.
        self.ends.source.acknowledge(batch.position)
        self.ends.source.include(quiet)
        self.reporter.passed_over(self.ends.source.gaps())
        self.committer.uncommitted = False
        seconds = time.monotonic() - started
        self._committed(counts, batch, seconds)
        self.reporter.batch(counts, passed, seconds)
        self.engine.advance(self._hold)
        return batch.ended

    def _hold_back(self, batch: Batch) -> bool:
        """Commit nothing while the warm-up collects; then process everything from the beginning."""
        if self.engine.advance(self._hold):
            self._again()
        elif batch.ended:
            self.engine.release()
            self._again()
        return False

    def _again(self) -> None:
        """Read and score again what has not been committed."""
        self.engine.rollback()
        self.startup_guard.begin_again()
        self.ends.source.rewind()

    def _interrupted(self) -> bool:
        """Return whether other work is due before more is read."""
        return self.stop.requested or self.reload.requested or self.engine.restless()

    def _open_patiently(self, away: BrokerUnavailableError | None) -> None:
        """Open source and sink; after an interruption recreate them, and retry until the brokers
        respond.

        Raise BrokerUnavailableError if nothing was committed for `kafka.retry_seconds`.
        """
        logged = False
        while not self.stop.requested:
            if away:
                self._require_budget(away)
                # Telemetry is updated before the log line.
                self.reporter.away(str(away), within=EXTENSION_SECONDS)
                if not logged:
                    log.warning("service.interrupted", reason=str(away))
                    logged = True
                if away.rival:
                    self.ends.rename()
                    self.committer.carry_over()
                self.ends.renew(self.settings)
                self.stop.wait(self.backoff.pause(time.monotonic()))
            try:
                self._open()
            except BrokerUnavailableError as again:
                away = again
            else:
                return

    def _require_budget(self, away: BrokerUnavailableError) -> None:
        lasted, longest = self.patience.failed(time.monotonic()), self.settings.kafka.retry_seconds
        if lasted > longest:
            raise BrokerUnavailableError(
                f"{away} (nothing was committed for {lasted:.0f} s, "
                f"and kafka.retry_seconds is {longest:g})"
            )

    def _hold(self) -> None:
        """Keep the group membership and telemetry alive while a model is being trained."""
        self.ends.source.hold()
        self.reporter.held()

    def _hold_restoring(self, share: float) -> bool:
        """Do the same while the state of keys is read. Return True if the read should be given
        up."""
        self.reporter.restoring(share)
        self._hold()
        return self.stop.requested

    def _reload(self) -> None:
        """Apply a new configuration: all of its changes, or none."""
        assert self.reread
        self.settings = reloaded(
            self.settings, self.reread, self.engine, self.gatherer, self.reporter
        )

    def _committed(self, counts: Counter[str], batch: Batch, seconds: float) -> None:
        self.engine.on_commit()
        champion = self.engine.champion
        self.summary.add(counts, champion.serving if champion else None)
        share = self.ends.source.progress() if self.advance else None
        if self.advance and share is not None:
            self.advance(share, self.summary.topics.total())
        if counts:
            log.debug("batch", records=counts.total(), seconds=round(seconds, 4), **counts)
        if batch.ended:
            self.engine.write_observed()
