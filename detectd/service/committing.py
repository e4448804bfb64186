"""Commit outputs, position and state together, and resume from the last commit."""

from __future__ import annotations

from collections import Counter
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import structlog

from detectd.errors import BrokerUnavailableError, UndeliverableError
from detectd.pipeline.records import Position
from detectd.pipeline.undelivered import undelivered

if TYPE_CHECKING:
    from detectd.pipeline.records import Outgoing
    from detectd.service.batching import RetryBudget
    from detectd.service.endpoints import Endpoints
    from detectd.service.engine import ScoringEngine
    from detectd.sources import Batch
    from detectd.telemetry.reporter import TelemetryReporter

log = structlog.get_logger()

TOPIC = attrgetter("topic")


class Committer:
    """Commit through the sink; a record that a topic refuses becomes a dead letter.

    `uncommitted` is whether nothing of this stream is committed yet.
    """

    def __init__(
        self,
        engine: ScoringEngine,
        ends: Endpoints,
        reporter: TelemetryReporter,
        budget: RetryBudget,
    ) -> None:
        self._engine = engine
        self._ends = ends
        self._reporter = reporter
        self._budget = budget
        # The state of the last commit; while nothing is committed under a new name, the state to
        # resume from.
        self._state: dict[str, Any] = {}
        self._carried: dict[str, Any] | None = None
        self._origin: dict[str, Any] | None = None
        self.uncommitted = True

    def state_of(self, position: Position | None) -> dict[str, Any]:
        """Return the state to resume from, given the sink's `position`."""
        if self._carried is not None:
            return self._carried
        return position.state if position else {}

    def carry_over(self) -> None:
        """Resume from the last known state: the sink has a new name without commits."""
        self._carried = self._state

    def keep_origin(self) -> None:
        """Commit where the stream begins if nothing is committed yet, so that a restart resumes
        there."""
        origin = self._ends.source.origin() if self.uncommitted else None
        if origin is not None and origin != self._origin:
            self._ends.sink.commit((), Position(origin, {}))
            self._origin = origin

    def commit(self, passed: list[Outgoing], batch: Batch) -> tuple[list[Outgoing], Counter[str]]:
        """Commit the outputs with the position; return the committed outputs and their counts."""
        alerts = self._engine.alerts(batch.gaps)
        while True:
            counts = Counter[str](map(TOPIC, passed))
            self._engine.settle(counts, passed)
            position = Position(batch.position, self._engine.snapshot())
            keys = self._engine.key_records(batch.position)
            try:
                self._ends.sink.commit(passed + alerts, position, keys)
                break
            except UndeliverableError as refused:
                limits = self._ends.sink.limits()
                self._reporter.health.refused(str(refused))
                log.warning("records.refused", reason=str(refused), hint="see dead letters")
                both = undelivered(batch.records, passed + alerts, refused.reasons, limits)
                passed, alerts = both[: len(passed)], both[len(passed) :]
            except BrokerUnavailableError:
                self._budget.commit_failed()
                self._reporter.health.commit_failed()
                raise
        self._state, self._carried = position.state, None
        if counts:
            self._budget.committed()
        return passed, counts
