"""The active model, its counts on this stream, and the evidence against its promise."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import structlog

from detectd.models.key_observations import KeyObservations
from detectd.models.observations import Observations
from detectd.models.recent_anomalies import RecentAnomalies
from detectd.pipeline.alerts import in_words
from detectd.pipeline.encode import VERDICTS
from detectd.pipeline.records import Topic
from detectd.pipeline.scoring import judge_vectors
from detectd.service.drift_monitor import DriftMonitor
from detectd.telemetry.snapshot import KEYS_SHOWN, ChampionFigures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from detectd.models.serving import Serving
    from detectd.pipeline.records import Outgoing, Record
    from detectd.pipeline.schema import Schema
    from detectd.pipeline.scoring import ScoredBatch
    from detectd.pipeline.vectors import Vectors

log = structlog.get_logger()


class Champion:
    """Give verdicts under one model and one zone, count them, and monitor the promise."""

    def __init__(
        self, serving: Serving, schema: Schema, average_run_length: float, *, original: bool
    ) -> None:
        self.serving = serving
        self.drift_monitor = DriftMonitor(serving, average_run_length)
        self._observations = Observations(serving.pooled.scores)
        self._keys = _key_observations(serving)
        self._scores: list[NDArray[np.float64]] = []
        # How many records were answered since the last commit, and the places of those that the
        # model did not decide.
        self._answered = 0
        self._undecided: list[int] = []
        self._outcome: tuple[Counter[str], Sequence[Outgoing]] = (Counter(), ())
        self._reported: dict[str, Any] = {}
        self._since: int | None = int(time.time())
        self._schema = schema
        self._original = original
        self.anomalies = RecentAnomalies(tuple(dict.fromkeys(schema.reads)), original=original)

    @property
    def version(self) -> str:
        """Return the model's version."""
        return self.serving.model.version

    @property
    def observed(self) -> Mapping[str, int]:
        """Return the number of committed verdicts in this run of the stream, by kind."""
        return self._observations.counts

    @property
    def since(self) -> int | None:
        """Return when that run began, Unix time; None if the state comes from a version without
        it."""
        return self._since

    def begin_again(self) -> None:
        """Reset the counts: they belong to an earlier run of the stream."""
        self._observations = Observations(self.serving.pooled.scores)
        self._keys = _key_observations(self.serving)
        self._since = int(time.time())
        self.drift_monitor.restore({})
        self.drift_monitor.recall(())
        self.anomalies.resume({})
        self._forget_batch()

    def recall(self, reported: dict[str, Any]) -> None:
        """Set the reported counts, which `restore` uses if the commits hold no state."""
        self._reported = reported

    def restore(self, past: dict[str, Any]) -> None:
        """Resume from a `snapshot`, or from the beginning if it is of another model or zone."""
        terms, reported = self._terms(), self._reported
        if reported.get("zone", terms["zone"]) != terms["zone"]:
            reported = {}
        if not past:  # The commits hold no state: use the reported counts.
            past = terms | {"observed": reported, "since": reported.get("since")}
        # A crash may have kept the report of a run that ended before the last commit.
        elif reported.get("since") != past.get("since"):
            reported = {}
        same = all(past.get(key) == value for key, value in terms.items())
        self._observations.resume(reported if same else {}, past["observed"] if same else {})
        if self._keys:
            self._keys.resume(reported.get("by_key") if same and past["observed"] else None)
        self.drift_monitor.restore(past.get("watch", {}) if same else {})
        self.drift_monitor.recall(reported.get("alarms", ()) if same else ())
        self.anomalies.resume(reported.get("anomalies", {}) if same else {})
        self._since = _moment(past.get("since")) if same and past["observed"] else int(time.time())
        self._forget_batch()

    def go_on_under(self, serving: Serving, average_run_length: float) -> None:
        """Switch the same model to other terms. Counts and evidence belong to a zone; if the zone
        changes, both are reset."""
        terms = self._terms()
        self.serving = serving
        self.drift_monitor.go_on_under(serving, average_run_length)
        if self._terms() != terms:
            self.begin_again()

    def answer(self, records: Sequence[Record], batch: Vectors) -> tuple[ScoredBatch, list[int]]:
        """Return one output for each record, in order, with the scored rows for retraining; and for
        each alarm raised, the number of scores up to it."""
        judge = self.serving.judge
        scored = judge_vectors(records, batch, self._schema, judge, original=self._original)
        self._scores.append(scored.scores)
        undecided = (*batch.unscored, *scored.routine)
        self._undecided += [self._answered + place for place in undecided]
        self._answered += len(records)
        if self._keys:
            self._keys.see(scored)
        return scored, self.drift_monitor.see(records, scored, batch.first)

    def settle(self, counts: Counter[str], outgoing: Sequence[Outgoing]) -> None:
        """Count the outputs of the next commit; call it again if they are replaced."""
        # The promise covers only what the model decided. Some of the rest may have become dead
        # letters, and outputs that another model gave may precede ours.
        first = len(outgoing) - self._answered
        judged = counts - Counter(outgoing[first + place].topic for place in self._undecided)
        self._outcome = judged, outgoing

    def snapshot(self) -> dict[str, Any]:
        """Return the state that a restart needs once the outputs are committed."""
        counts, _ = self._outcome
        observed = {topic.value: self.observed[topic] + counts[topic] for topic in VERDICTS}
        return self._terms() | {
            "observed": observed,
            "since": self._since,
            "watch": self.drift_monitor.snapshot(),
        }

    def on_commit(self) -> None:
        """Make what was seen permanent, and log its alarms."""
        (counts, outgoing), now = self._outcome, time.time()
        scores = np.concatenate(self._scores) if self._scores else np.empty(0)
        self._observations.add(counts, scores, now)
        if counts[Topic.ANOMALY]:
            self.anomalies.see(outgoing)
        for alarm in self.drift_monitor.publish(now):
            why = in_words(alarm)
            log.warning("promise.alarm", model=self.version, number=alarm.number, reason=why)
        self.drift_monitor.on_commit()
        if self._keys:
            self._keys.on_commit()
        self._forget_batch()

    def rollback(self) -> None:
        """Discard what was seen since the last commit."""
        self.drift_monitor.rollback()
        if self._keys:
            self._keys.rollback()
        self._forget_batch()

    def _forget_batch(self) -> None:
        self._scores.clear()
        self._answered, self._undecided = 0, []
        self._outcome = Counter(), ()

    def figures(self) -> ChampionFigures:
        """Return the model and the committed counts, for telemetry."""
        return ChampionFigures(
            serving=self.serving,
            observed=dict(self.observed),
            since=self._since,
            keys=self.anomalies.top(KEYS_SHOWN),
            drift=self.drift_monitor.figures(),
            by_key=self._keys,
        )

    def report(self) -> dict[str, Any]:
        """Return what reports show of the stream, for the store."""
        told = {
            "alarms": list(self.drift_monitor.told),
            "anomalies": self.anomalies.as_dict(),
            "zone": self._terms()["zone"],
            "since": self._since,
        }
        if self._keys:
            told["by_key"] = self._keys.as_dict()
        return self._observations.as_dict() | told

    def _terms(self) -> dict[str, Any]:
        """Return what identifies a state as this model's under this zone."""
        return {"model": self.version, "zone": self.serving.zone_id}


def _key_observations(serving: Serving) -> KeyObservations | None:
    return KeyObservations(serving.judge.keys) if serving.judge.keys else None


def _moment(given: object) -> int | None:
    """Return the value as a Unix time, or None if it is not one."""
    return given if isinstance(given, int) else None
