"""The service: wires source, pipeline and sink, and runs the loop between them.

start     which model answers, where the last commit left the stream
turn      read, answer, commit: one batch, in one visible block
stop      at a signal or at the end of a bounded source, between two batches
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog

from detectd import serving, training, wiring
from detectd.checks import require_trainable_warmup
from detectd.errors import ConfigError
from detectd.pipeline import collect_records, judge_records
from detectd.probation import Probation
from detectd.records import Position, Topic
from detectd.sources import BATCH_BYTES, Batch, weight
from detectd.telemetry.notify import notify
from detectd.warmup import Warmup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from detectd.records import Outgoing, Record
    from detectd.serving import Serving
    from detectd.settings import Settings
    from detectd.signals import Stop
    from detectd.telemetry.progress import Advance

log = structlog.get_logger()

# How often `observed.json` follows the stream; the commit itself carries the exact counts.
OBSERVED_EVERY_SECONDS = 1.0

# How long a stop may have to wait for a silent source.
SLICE_SECONDS = 0.5


@dataclass
class Summary:
    """What a run did: outputs per topic, warm-up events among the abstained, and how long.

    `still_wanted` counts the events that the warm-up lacks; `serving` is what answered last.
    """

    topics: Counter[str] = field(default_factory=Counter)
    warming_up: int = 0
    still_wanted: int = 0
    seconds: float = 0.0
    serving: Serving | None = None


class Service:
    """One run over one source. Use `run` once."""

    def __init__(self, settings: Settings, stop: Stop, advance: Advance | None = None) -> None:
        self.settings = settings
        self.stop = stop
        self.advance = advance
        self.schema = wiring.schema(settings)
        self.events = wiring.event_fingerprint(settings)
        self.store = wiring.store(settings)
        self.source = wiring.source(settings)
        self.sink = wiring.sink(settings)
        self.probation = Probation()
        self.serving: Serving | None = None
        self.warmup: Warmup | None = None
        self.observed: Counter[str] = Counter()
        self.summary = Summary()
        self._observed_written = 0.0
        self._observed_pending = False

    def run(self) -> Summary:
        """Process the stream until it ends or a stop is requested."""
        started = time.monotonic()
        try:
            self._start()
            started = time.monotonic()
            while not self.stop.requested and not self._turn():
                pass
        finally:
            notify(STOPPING=1)
            self._close()
        self.summary.seconds = time.monotonic() - started
        self.summary.serving = self.serving
        self.summary.still_wanted = self.warmup.remaining if self.warmup else 0
        return self.summary

    def _start(self) -> None:
        self._activate_stored()
        position = self.sink.open()
        state = position.state if position else {}
        if self.serving:
            self.observed.update(self._counts_so_far(state, self.serving.model.version))
        else:
            self._begin_warmup(state)
        if state.get("events") == self.events:
            self.probation.end()
        self.source.start(position.source if position else None)
        self._train_when_complete()  # where the last run ended just before
        log.info("service.started", resumed=position is not None)
        notify(READY=1, STATUS="processing")

    def _turn(self) -> bool:
        """One batch. True when a bounded source has ended."""
        started = time.monotonic()
        # 1. Read, no further than the warm-up wants.
        batch = self._gather(self.warmup.remaining if self.warmup else None)
        # 2. Answer: one output for each record, in order.
        outgoing = self.probation.pass_on(self._answer(batch.records), last=batch.ended)
        if outgoing is None:
            return batch.ended
        # 3. Commit the outputs and the position together.
        self._count(outgoing)
        self.sink.commit(outgoing, Position(batch.position, self._state()))
        # 4. Tell the source, and whoever watches.
        self.source.acknowledge(batch.position)
        self._tell(outgoing, batch, time.monotonic() - started)
        self._train_when_complete()
        return batch.ended

    def _gather(self, wanted: int | None) -> Batch:
        """A batch bounded by size and time, in slices, so that a stop need not wait for it."""
        asked = self.settings.source
        limit = min(asked.batch_records, wanted or asked.batch_records)
        deadline = time.monotonic() + asked.batch_seconds
        records: list[Record] = []
        room = BATCH_BYTES
        while True:
            left = max(0.0, deadline - time.monotonic())
            batch = self.source.read(limit - len(records), min(left, SLICE_SECONDS))
            records += batch.records
            room -= weight(batch.records)
            full = len(records) == limit or room <= 0 or time.monotonic() >= deadline
            if full or batch.ended or self.stop.requested:
                return Batch(records, batch.position, batch.ended)

    def _answer(self, records: Sequence[Record]) -> list[Outgoing]:
        if self.serving:
            return judge_records(records, self.schema, self.serving.judge)
        assert self.warmup
        outgoing, rows = collect_records(records, self.schema)
        self.warmup.add(rows)
        return outgoing

    def _activate_stored(self) -> None:
        model = serving.load_active(self.store, datetime.now(UTC))
        if model is None:
            return
        if model.version != self.store.active():
            self.store.save(model)
            self.store.activate(model.version)
        self._serve(serving.serve(model, self.settings))
        changed = serving.other_settings(model, self.settings)
        if changed:
            log.warning("model.other_settings", model=model.version, changed=changed, mend="fit")

    def _serve(self, ready: Serving) -> None:
        self.serving = ready
        for warning in ready.promise.warnings:
            log.warning("promise.unreachable", warning=warning)
        exact = ready.promise.exact
        log.info(
            "model.serving",
            model=ready.model.version,
            detector=ready.model.recipe.detector,
            n=len(ready.model.calibration),
            T=ready.promise.rejector.zone.T,
            expected_rejection_rate=exact.expected_rejection_rate,
            rejection_rate_upper=exact.rejection_rate_upper,
            delta=exact.delta,
        )

    def _begin_warmup(self, state: dict[str, Any]) -> None:
        require_trainable_warmup(self.settings)
        wanted = self.settings.training.warmup
        # Rows of other features are none of this model's.
        collected = state.get("warmup", 0) if state.get("events") == self.events else 0
        self.store.make()
        self.warmup = Warmup(self.store.directory, len(self.schema.features), wanted)
        if not self.warmup.resume(min(collected, wanted)):
            log.warning("warmup.restarted", why="the collected rows are gone")
        log.info("warmup.started", collected=self.warmup.collected, wanted=wanted)

    def _train_when_complete(self) -> None:
        warmup = self.warmup
        if warmup is None or warmup.remaining:
            return
        rows = warmup.rows()
        log.info("training.started", rows=len(rows))
        features = self.schema.features
        model = training.train(rows, wiring.recipe(self.settings), features, datetime.now(UTC))
        ready = serving.serve(model, self.settings)
        self.store.save(model)
        self.store.activate(model.version)
        warmup.done()
        self.warmup = None
        self._serve(ready)

    def _count(self, outgoing: Sequence[Outgoing]) -> None:
        counts = Counter(out.topic.value for out in outgoing)
        self.summary.topics.update(counts)
        if self.serving:
            verdicts = {t: counts[t] for t in (Topic.NORMAL, Topic.ANOMALY, Topic.ABSTAIN)}
            self.observed.update(verdicts)
            self._observed_pending = True
        else:
            self.summary.warming_up += counts[Topic.ABSTAIN]

    def _state(self) -> dict[str, Any]:
        """What a restart must know, as part of the commit."""
        if self.warmup:
            return {"events": self.events, "warmup": self.warmup.collected}
        assert self.serving
        return {
            "events": self.events,
            "model": self.serving.model.version,
            "observed": dict(self.observed),
        }

    def _counts_so_far(self, state: dict[str, Any], version: str) -> dict[str, int]:
        """From the commit where the sink keeps it, else what was last written for reports."""
        if state.get("model") == version:
            counts: dict[str, int] = state["observed"]
            return counts
        return self.store.observed(version) if not state else {}

    def _tell(self, outgoing: Sequence[Outgoing], batch: Batch, seconds: float) -> None:
        share = self.source.progress() if self.advance else None
        if self.advance and share is not None:
            self.advance(share, self.summary.topics.total())
        if outgoing:
            counts = Counter(out.topic.value for out in outgoing)
            # Where a bar shows the progress, a line a batch would only tear it apart.
            tell = log.info if share is None else log.debug
            tell("batch", records=len(outgoing), seconds=round(seconds, 4), **counts)
        now = time.monotonic()
        if batch.ended or now - self._observed_written > OBSERVED_EVERY_SECONDS:
            self._observed_written = now
            try:
                self._write_observed()
            except (OSError, ConfigError) as failed:
                # The commits carry the counts: a report that lags is no reason to stop.
                log.warning("observed.not_written", why=str(failed))

    def _write_observed(self) -> None:
        if self.serving and self._observed_pending:
            self.store.record_observed(self.serving.model.version, dict(self.observed))
            self._observed_pending = False

    def _close(self) -> None:
        # The commits carry the counts; a full disk must not hide why the run ended.
        with contextlib.suppress(OSError, ConfigError):
            self._write_observed()
        self.source.close()
        self.sink.close()
        if self.warmup:
            self.warmup.close()
