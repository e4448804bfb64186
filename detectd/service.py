"""The service: wires source, answerer and sink, and runs the loop between them.

open      where the last commit left the stream
turn      read, answer, commit: one batch, in one visible block
rewind    partitions went to another member: read again what is left
recover   a broker is away: close both ends, and open them again when it is back
stop      at a signal or at the end of a bounded source, between two batches
"""

from __future__ import annotations

import gc
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING

import structlog

from detectd import wiring
from detectd.answering import Answerer
from detectd.errors import Interrupted, Revoked
from detectd.pace import Backoff, Pace
from detectd.pipeline import within_limits
from detectd.probation import Probation
from detectd.records import Position, Topic
from detectd.sources import BATCH_BYTES, Batch, weight
from detectd.telemetry.health import Health
from detectd.telemetry.metrics import Metrics, stages
from detectd.telemetry.notify import notify
from detectd.telemetry.server import serve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from detectd.records import Record
    from detectd.replication import Feed
    from detectd.serving import Serving
    from detectd.settings import Settings
    from detectd.signals import Stop
    from detectd.telemetry.progress import Advance

log = structlog.get_logger()

TOPIC = attrgetter("topic")

# How long a stop may have to wait for a silent source.
SLICE_SECONDS = 0.5

# How long a start waits for a published model.
FEED_SECONDS = 30.0

# Each try to reach the brokers takes less than this.
EXTENSION_SECONDS = 90


# Of what an event takes, a tenth was for looking for cycles, and no event is part of one.
OBJECTS_A_COLLECTION = 100_000


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Let Python look for cycles rarely, and never among what is there now."""
    usual = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(OBJECTS_A_COLLECTION, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()


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
        self.schema = wiring.stream_schema(settings)
        self.client = wiring.kafka_client(settings)
        self.source = wiring.source(settings, self.client)
        self.sink = wiring.sink(settings, self.client)
        self.answerer = Answerer(settings, self.schema)
        self.feed: Feed | None = None
        self.probation = Probation()
        self.pace = Pace(
            settings.source.batch_records, settings.kafka.max_poll_interval_seconds / 4
        )
        self.backoff = Backoff()
        self.summary = Summary()
        self.health = Health(
            self._watchdog_seconds(),
            stale_after=settings.source.stale_after,
            shared=settings.source.kind == "kafka",
            delivery=wiring.delivery(settings),
        )
        self.metrics = Metrics(self.health)

    def run(self) -> Summary:
        """Process the stream until it ends or a stop is requested."""
        started = time.monotonic()
        listen, token = self.settings.server.listen, wiring.server_token(self.settings)
        with serve(listen, token, self.health, self.metrics):
            try:
                self._receive_models()
                self.answerer.load()
                self._open_patiently(None)
                started = time.monotonic()
                with _rare_collections():
                    while not self.stop.requested and not self._turn_or_recover():
                        self._tell()
            finally:
                notify(STOPPING=1)
                self.health.stopping()
                if self.feed:
                    self.feed.stop()
                self.answerer.close()
                self.source.close()
                self.sink.close()
        self.summary.seconds = time.monotonic() - started
        self.summary.serving = self.answerer.serving
        self.summary.still_wanted = self.answerer.wanted or 0
        return self.summary

    def _receive_models(self) -> None:
        """Begin with the model that is published, where models are."""
        try:
            self.feed = wiring.feed(self.settings, self.client)
            if self.feed:
                self.feed.start(FEED_SECONDS)
        except Interrupted as away:
            log.warning("models.feed_interrupted", why=str(away))

    def _open(self) -> None:
        position = self.sink.open()
        state = position.state if position else {}
        self.answerer.resume(state)
        self.probation = Probation()
        if state.get("events") == self.answerer.events:
            self.probation.end()
        self.source.start(position.source if position else None)
        self.answerer.advance(self._hold)  # where the last run ended just before
        self.health.opened()
        log.info("service.started", resumed=position is not None)
        notify(READY=1, STATUS="processing")

    def _turn_or_recover(self) -> bool:
        """One batch. True when a bounded source has ended."""
        try:
            return self._turn()
        except Revoked as revoked:
            log.info("service.rewound", why=str(revoked))
            self.health.rewound()
            self.answerer.rewind()
            self.probation.begin_again()
            self.source.rewind()
            # Until the next heartbeat we may take ourselves for a member that we no longer are.
            self.stop.wait(self.backoff.pause(time.monotonic()))
        except Interrupted as away:
            self._open_patiently(away)
        return False

    def _turn(self) -> bool:
        started = time.monotonic()
        # 1. Read, no further than the warm-up wants.
        batch = self._gather(self.answerer.wanted)
        # 2. Answer: one output for each record, in order.
        answered = time.monotonic()
        outgoing = self.answerer.answer(batch.records)
        outgoing = within_limits(batch.records, outgoing, self.sink.limits())
        self.pace.took(len(batch.records), time.monotonic() - answered)
        passed = self.probation.pass_on(outgoing, last=batch.ended)
        if passed is None:
            return batch.ended
        # 3. Commit the outputs and the position together.
        counts = Counter[str](map(TOPIC, passed))
        self.sink.commit(passed, Position(batch.position, self.answerer.state(counts)))
        # 4. Tell the source, and whoever watches.
        self.source.acknowledge(batch.position)
        self._committed(counts, batch, time.monotonic() - started)
        dead = stages(passed) if counts[Topic.DEAD_LETTER] else {}
        self.metrics.batch(counts, dead, time.monotonic() - started)
        self.answerer.advance(self._hold)
        return batch.ended

    def _gather(self, wanted: int | None) -> Batch:
        """A batch bounded by size and time, in slices, so that a stop need not wait for it."""
        limit = min(self.pace.limit, wanted or self.pace.limit)
        deadline = time.monotonic() + self.settings.source.batch_seconds
        records: list[Record] = []
        while True:
            left = max(0.0, deadline - time.monotonic())
            batch = self.source.read(limit - len(records), min(left, SLICE_SECONDS))
            records += batch.records
            full = len(records) == limit or time.monotonic() >= deadline
            if full or batch.ended or self.stop.requested or weight(records) >= BATCH_BYTES:
                return Batch(records, batch.position, batch.ended)

    def _open_patiently(self, away: Interrupted | None) -> None:
        """Open both ends; after an interruption new ones, as soon as the brokers let us.

        Raises Interrupted where they do not within `kafka.retry_seconds`.
        """
        deadline = time.monotonic() + self.settings.kafka.retry_seconds
        told = False
        while not self.stop.requested:
            if away:
                if not told:
                    log.warning("service.interrupted", why=str(away))
                    told = True
                elif time.monotonic() > deadline:
                    raise away
                self.health.interrupted(str(away))
                self.health.turned(within=EXTENSION_SECONDS)
                notify(STATUS=f"waiting: {away}", EXTEND_TIMEOUT_USEC=EXTENSION_SECONDS * 1_000_000)
                self._renew_ends()
                self.stop.wait(self.backoff.pause(time.monotonic()))
            try:
                self._open()
            except Interrupted as again:
                away = again
            else:
                return

    def _tell(self) -> None:
        """Let whoever asks see how it is going."""
        self.health.assigned(self.source.partitions())
        if self.answerer.serving:
            self.health.answering(self.answerer.serving, self.answerer.observed)
        elif self.answerer.warmup:
            self.health.warming_up(self.answerer.warmup.collected, self.answerer.warmup.wanted)
        self.health.turned()

    def _hold(self) -> None:
        """While a model is being trained: show the group, and whoever watches, that we live."""
        self.source.hold()
        self.health.turned()

    def _watchdog_seconds(self) -> float:
        """A turn that takes longer hangs: it has read, answered and committed long since."""
        asked = self.settings
        answering = asked.kafka.max_poll_interval_seconds / 4
        committing = asked.kafka.transaction_timeout_seconds
        return asked.source.batch_seconds + answering + committing + 60

    def _renew_ends(self) -> None:
        self.source.close()
        self.sink.close()
        self.source = wiring.source(self.settings, self.client)
        self.sink = wiring.sink(self.settings, self.client)

    def _committed(self, counts: Counter[str], batch: Batch, seconds: float) -> None:
        self.answerer.committed(counts)
        self.summary.topics.update(counts)
        if not self.answerer.serving:
            self.summary.warming_up += counts["abstain"]
        share = self.source.progress() if self.advance else None
        if self.advance and share is not None:
            self.advance(share, self.summary.topics.total())
        if counts:
            # Where a bar shows the progress, a line a batch would only tear it apart.
            tell = log.info if share is None else log.debug
            tell("batch", records=counts.total(), seconds=round(seconds, 4), **counts)
        if batch.ended:
            self.answerer.write_observed()
