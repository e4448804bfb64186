"""The service: wires source, answerer and sink, and runs the loop between them.

open      where the last commit left the stream
turn      read, answer, commit: one batch, in one visible block
again     partitions went to another member, or a warm-up held records back: read again what is left
reload    at SIGHUP: other terms between two batches, all of them or none
recover   a broker is away: close both ends, and open them again when it is back
stop      at a signal or at the end of a bounded source, between two batches
"""

from __future__ import annotations

import time
from collections import Counter
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import structlog

from detectd import derive, wiring
from detectd.errors import (
    BrokerUnavailableError,
    DetectdError,
    PartitionsRevokedError,
    UndeliverableError,
)
from detectd.kafka.backoff import ExponentialBackoff
from detectd.pipeline import memory_budget
from detectd.pipeline.field_watch import FieldWatch
from detectd.pipeline.records import Position
from detectd.pipeline.scoring import within_limits
from detectd.pipeline.undelivered import undelivered
from detectd.service.batching import AdaptiveBatchSize, RetryBudget
from detectd.service.engine import ScoringEngine
from detectd.service.gc_tuning import rare_collections
from detectd.service.run_summary import Summary
from detectd.service.startup_guard import StartupGuard
from detectd.settings.reload import changed
from detectd.signals import Reload
from detectd.sources import Batch
from detectd.telemetry import logs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from detectd.models.replication import Feed
    from detectd.pipeline.records import Outgoing, Record
    from detectd.settings import Settings
    from detectd.signals import Stop
    from detectd.telemetry.progress import Advance

log = structlog.get_logger()

TOPIC = attrgetter("topic")

# How long a stop may have to wait for a silent source.
SLICE_SECONDS = 0.5

# Of `batch_seconds`, where the last batch took longer: a client may be about to have more.
SHORTEST_WAIT = 0.1

# How long a start waits for a published model.
FEED_SECONDS = 30.0

# Each try to reach the brokers takes less than this.
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
        self.client = wiring.kafka_client(settings)
        self.source = wiring.source(settings, self.client)
        self.sink = wiring.sink(settings, self.client)
        commits = derive.commit_stream(settings, self.client)
        self.engine = ScoringEngine(settings, self.schema, commits)
        self.feed: Feed | None = None
        self.startup_guard = StartupGuard()
        self.fields = FieldWatch(self.schema)
        self.pace = self._new_pace()
        self.backoff = ExponentialBackoff()
        self.patience = RetryBudget()
        # The state that was committed last, and while nothing is committed under another name the
        # one to go on from.
        self.state: dict[str, Any] = {}
        self.carried: dict[str, Any] | None = None
        self.gathered = 0.0
        self.origin: dict[str, Any] | None = None
        self.uncommitted = True
        self.summary = Summary()
        self.reporter = wiring.reporter(settings, config, bar=advance is not None)

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
                if self.engine.warming and not self.stop.requested:
                    self.engine.warming.ended()
            except DetectdError as failed:
                reason = f"failed: {failed}"
                raise
            finally:
                self.reporter.stopping()
                if self.feed:
                    self.feed.stop()
                self.engine.close()
                self.source.close()
                self.sink.close()
                self.summary.seconds = time.monotonic() - started
                log.info("service.stopped", reason=reason, **self.summary.figures())
        progress = self.engine.warming and self.engine.warming.progress
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
            self.reporter.turned(self.engine.take_snapshot(), self.source)
            self.reporter.doubts(self.source.absent(), self.fields.warnings)
            self.reporter.lost(self.source.take_losses())
            if self.feed:
                self.reporter.health.models_refused(self.feed.refused)

    def _receive_models(self) -> None:
        """Begin with the model that is published, where models are."""
        try:
            self.feed = wiring.feed(self.settings, self.client)
            if self.feed:
                self.feed.start(FEED_SECONDS)
        except BrokerUnavailableError as away:
            log.warning("models.feed_interrupted", reason=str(away))

    def _open(self) -> None:
        position = self.sink.open()
        state = position.state if position else {}
        state = state if self.carried is None else self.carried
        self.engine.resume(state)
        self.startup_guard = StartupGuard()
        if state.get("events") == self.engine.events:
            self.startup_guard.end()
        self.source.start(position.source if position else None)
        if not state and self.source.begins():
            self.engine.begin_anew()
        self.uncommitted = not state
        self.engine.advance(self._hold)  # where the last run ended just before
        self.reporter.doubts(self.source.absent(), self.fields.warnings)
        # Whoever reads the line finds the service open: pages and supervisor know first.
        self.reporter.opened(settled=not self.patience.owing)
        log.info("service.started", resumed=position is not None)
        self.patience.opened(time.monotonic())

    def _turn_or_recover(self) -> bool:
        """One batch. True when a bounded source has ended."""
        try:
            return self._turn()
        except PartitionsRevokedError as revoked:
            log.info("consumer.rewound", reason=str(revoked))
            self.reporter.health.rewound()
            self._again()
            # Until the next heartbeat we may take ourselves for a member that we no longer are.
            self.stop.wait(self.backoff.pause(time.monotonic()))
        except BrokerUnavailableError as away:
            self._open_patiently(away)
        return False

    def _turn(self) -> bool:
        started = time.monotonic()
        # 1. Read, no further than the warm-up wants.
        batch = self._gather(self.engine.wanted)
        if batch.records:
            self.reporter.health.arrived()
        self.fields.look(batch.records, last=batch.ended)
        # 2. Answer: one output for each record, in order.
        answered = time.monotonic()
        outgoing = self.engine.answer(batch.records)
        if self.engine.warming:
            self.engine.warming.look(self.source.partitions())
        outgoing = within_limits(batch.records, outgoing, self.sink.limits())
        self.pace.took(len(batch.records), time.monotonic() - answered)
        passed = self.startup_guard.pass_on(outgoing, last=batch.ended)
        if self.engine.holding:
            self._keep_origin()
            return self._hold_back(batch)
        if passed is None:
            self._keep_origin()
            self.engine.advance(self._hold)
            return batch.ended
        # 3. Commit the outputs and the position together.
        passed, counts = self._commit(passed, batch)
        # 4. Tell the source, and whoever watches.
        self.source.acknowledge(batch.position)
        self.reporter.passed_over(self.source.gaps())
        self.uncommitted = False
        seconds = time.monotonic() - started
        self._committed(counts, passed, batch, seconds)
        self.reporter.batch(counts, passed, seconds)
        self.engine.advance(self._hold)
        return batch.ended

    def _keep_origin(self) -> None:
        """Commit where the stream begins, as long as nothing else is: a restart goes on there."""
        origin = self.source.origin() if self.uncommitted else None
        if origin is not None and origin != self.origin:
            self.sink.commit((), Position(origin, {}))
            self.origin = origin

    def _commit(self, passed: list[Outgoing], batch: Batch) -> tuple[list[Outgoing], Counter[str]]:
        """Commit the outputs with the position; what its topic refuses becomes a dead letter."""
        alerts = self.engine.alerts()
        while True:
            counts = Counter[str](map(TOPIC, passed))
            position = Position(batch.position, self.engine.state(counts))
            try:
                self.sink.commit(passed + alerts, position)
                break
            except UndeliverableError as refused:
                limits = self.sink.limits()
                self.reporter.health.refused(str(refused))
                log.warning("records.refused", reason=str(refused), hint="see dead letters")
                both = undelivered(batch.records, passed + alerts, refused.reasons, limits)
                passed, alerts = both[: len(passed)], both[len(passed) :]
            except BrokerUnavailableError:
                self.patience.commit_failed()
                self.reporter.health.commit_failed()
                raise
        self.state, self.carried = position.state, None
        if counts:
            self.patience.committed()
        return passed, counts

    def _hold_back(self, batch: Batch) -> bool:
        """Commit nothing while the warm-up collects; then answer it all from the beginning."""
        if self.engine.advance(self._hold):
            self._again()
        elif batch.ended:
            self.engine.release()
            self._again()
        return False

    def _again(self) -> None:
        """Read again, and answer anew, what has not been committed."""
        self.engine.rewind()
        self.startup_guard.begin_again()
        self.source.rewind()

    def _gather(self, wanted: int | None) -> Batch:
        """A batch bounded by size and time, in slices, so that a stop need not wait for it."""
        limit = min(self.pace.limit, wanted or self.pace.limit)
        patience, now = self.settings.source.batch_seconds, time.monotonic()
        # While the last batch was answered, records have waited already.
        deadline = max(self.gathered + patience, now + SHORTEST_WAIT * patience)
        enough = memory_budget.slice_bytes(self.settings.source.batch_bytes)
        records: list[Record] = []
        while True:
            left = max(0.0, deadline - time.monotonic())
            batch = self.source.read(limit - len(records), min(left, SLICE_SECONDS))
            records += batch.records
            full = len(records) == limit or time.monotonic() >= deadline
            full = full or memory_budget.weight(records, derive.copies(self.settings)) >= enough
            if full or batch.ended or self._interrupted():
                self.gathered = time.monotonic()
                return Batch(records, batch.position, batch.ended)

    def _interrupted(self) -> bool:
        """Whether something else is to be done before more is read."""
        return self.stop.requested or self.reload.requested or self.engine.restless()

    def _open_patiently(self, away: BrokerUnavailableError | None) -> None:
        """Open both ends; after an interruption new ones, as soon as the brokers let us.

        Raises Interrupted if nothing was committed for `kafka.retry_seconds`.
        """
        told, longest = False, self.settings.kafka.retry_seconds
        while not self.stop.requested:
            if away:
                lasted = self.patience.failed(time.monotonic())
                if lasted > longest:
                    raise BrokerUnavailableError(
                        f"{away}; nothing was committed for {lasted:.0f} s, and "
                        f"kafka.retry_seconds is {longest:g}"
                    )
                # Whoever reads the line finds it on the pages.
                self.reporter.away(str(away), within=EXTENSION_SECONDS)
                if not told:
                    log.warning("service.interrupted", reason=str(away))
                    told = True
                if away.rival:
                    self._take_another_name()
                self._renew_ends()
                self.stop.wait(self.backoff.pause(time.monotonic()))
            try:
                self._open()
            except BrokerUnavailableError as again:
                away = again
            else:
                return

    def _take_another_name(self) -> None:
        """Another process has ours: go on under one that is free, with what we know."""
        assert self.client
        self.client = self.client.renamed()
        self.carried = self.state
        log.warning(
            "service.renamed",
            transactional_id=self.client.transactional_id,
            reason="another process has this host's name, machine id and transactional id, as "
            "containers may",
            hint="give each container its own hostname, or set kafka.transactional_id for each",
        )

    def _hold(self) -> None:
        """While a model is being trained: show the group, and whoever watches, that we live."""
        self.source.hold()
        self.reporter.held()

    def _reload(self) -> None:
        """Take over what a new configuration changes: all of it, or nothing."""
        assert self.reread
        self.reporter.supervisor.reloading()
        try:
            fresh = self.reread()
            keys = changed(self.settings, fresh)
            self.engine.reconfigure(fresh)
        except DetectdError as refused:
            self.reporter.health.reload_refused(str(refused))
            log.warning("config.refused", reason=str(refused), hint="the old one stays in force")
        else:
            self.settings = fresh
            if "source.batch_records" in keys:
                self.pace = self._new_pace()
            if any(key.startswith("log.") for key in keys):
                logs.configure(fresh.log)
            self.reporter.health.reloaded()
            log.info("config.reloaded", changed=keys)
        self.reporter.supervisor.ready()

    def _new_pace(self) -> AdaptiveBatchSize:
        asked = self.settings
        most = memory_budget.most_events(asked.source.batch_bytes, len(self.schema.columns))
        most = min(most, asked.source.batch_records)
        return AdaptiveBatchSize(most, asked.kafka.max_poll_interval_seconds / 4)

    def _renew_ends(self) -> None:
        self.source.close()
        self.sink.close()
        self.source = wiring.source(self.settings, self.client)
        self.sink = wiring.sink(self.settings, self.client)

    def _committed(
        self, counts: Counter[str], outgoing: list[Outgoing], batch: Batch, seconds: float
    ) -> None:
        self.engine.committed(counts, outgoing)
        summary, serving = self.summary, self.engine.serving
        summary.topics.update(counts)
        if serving is None:
            summary.warming_up += counts["abstain"]
        elif summary.serving is not serving:
            summary.serving, summary.scored = serving, Counter(counts)
        else:
            summary.scored.update(counts)
        share = self.source.progress() if self.advance else None
        if self.advance and share is not None:
            self.advance(share, self.summary.topics.total())
        if counts:
            log.debug("batch", records=counts.total(), seconds=round(seconds, 4), **counts)
        if batch.ended:
            self.engine.write_observed()
