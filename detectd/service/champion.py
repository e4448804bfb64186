"""The model that answers, and what its stream makes of its promise."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import structlog

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
    """Gives verdicts under one model and one zone, counts them, and watches the promise."""

    def __init__(
        self, serving: Serving, schema: Schema, average_run_length: float, *, original: bool
    ) -> None:
        self.serving = serving
        self.drift_monitor = DriftMonitor(serving, average_run_length)
        self._observations = Observations(serving.promise.rejector.scores)
        self._scores: list[NDArray[np.float64]] = []
        # Abstentions since the last commit that are not the model's.
        self._unscored = 0
        self._outcome: tuple[Counter[str], Sequence[Outgoing]] = (Counter(), ())
        self._reported: dict[str, Any] = {}
        self._since: int | None = int(time.time())
        self._schema = schema
        self._original = original
        self.anomalies = RecentAnomalies(tuple(dict.fromkeys(schema.reads)), original=original)

    @property
    def version(self) -> str:
        """The model's."""
        return self.serving.model.version

    @property
    def observed(self) -> Mapping[str, int]:
        """The verdicts committed so far in this run of the stream, by kind."""
        return self._observations.counts

    @property
    def since(self) -> int | None:
        """When that run began, Unix time; None if an earlier version did not say."""
        return self._since

    def begin_again(self) -> None:
        """Count from the beginning, as nothing of this stream has been answered: what was counted
        is of another run of it."""
        self._observations = Observations(self.serving.promise.rejector.scores)
        self._since = int(time.time())
        self.drift_monitor.restore({})
        self.drift_monitor.recall(())
        self.anomalies.resume({})
        self._forget_batch()

    def recall(self, reported: dict[str, Any]) -> None:
        """Let `restore` fill in what no commit holds from what the store has for reports."""
        self._reported = reported

    def restore(self, past: dict[str, Any]) -> None:
        """Go on from a `snapshot`, from the beginning if it is of another model or zone."""
        reported = self._reported
        if not past:  # Without state in the commits, what was last written for reports has to do.
            past = self._terms() | {"observed": reported, "since": reported.get("since")}
        same = all(past.get(key) == value for key, value in self._terms().items())
        self._observations.resume(reported if same else {}, past["observed"] if same else {})
        self.drift_monitor.restore(past.get("watch", {}) if same else {})
        self.drift_monitor.recall(reported.get("alarms", ()) if same else ())
        self.anomalies.resume(reported.get("anomalies", {}) if same else {})
        self._since = _moment(past.get("since")) if same and past["observed"] else int(time.time())
        self._forget_batch()

    def go_on_under(self, serving: Serving, average_run_length: float) -> None:
        """Go on with the same model under other terms. What was counted and seen is of a zone; with
        another, both begin again."""
        terms = self._terms()
        self.serving = serving
        self.drift_monitor.go_on_under(serving, average_run_length)
        if self._terms() != terms:
            self.begin_again()

    def answer(self, records: Sequence[Record], batch: Vectors) -> tuple[ScoredBatch, list[int]]:
        """Return one output for each record, in order, and what there is to learn; and how many of
        the scores it took to each alarm that was raised."""
        judge = self.serving.judge
        scored = judge_vectors(records, batch, self._schema, judge, original=self._original)
        self._scores.append(scored.scores)
        self._unscored += scored.unscored
        return scored, self.drift_monitor.see(scored.found)

    def settle(self, counts: Counter[str], outgoing: Sequence[Outgoing]) -> None:
        """Note the outputs that the next commit is to hold; call it again if others take their
        place."""
        # The promise says nothing of abstentions that no model has decided.
        judged = counts - Counter({Topic.ABSTAIN.value: self._unscored})
        self._outcome = judged, outgoing

    def snapshot(self) -> dict[str, Any]:
        """Return what a restart must know once the outputs are committed."""
        counts, _ = self._outcome
        observed = {topic.value: self.observed[topic] + counts[topic] for topic in VERDICTS}
        return self._terms() | {
            "observed": observed,
            "since": self._since,
            "watch": self.drift_monitor.snapshot(),
        }

    def on_commit(self) -> None:
        """Let what was seen count, and log the alarms among it."""
        (counts, outgoing), now = self._outcome, time.time()
        scores = np.concatenate(self._scores) if self._scores else np.empty(0)
        self._observations.add(counts, scores, now)
        if counts[Topic.ANOMALY]:
            self.anomalies.see(outgoing)
        for alarm in self.drift_monitor.publish(now):
            why = in_words(alarm)
            log.warning("promise.alarm", model=self.version, number=alarm.number, reason=why)
        self.drift_monitor.on_commit()
        self._forget_batch()

    def rollback(self) -> None:
        """Forget what was seen since the last commit."""
        self.drift_monitor.rollback()
        self._forget_batch()

    def _forget_batch(self) -> None:
        self._scores.clear()
        self._unscored = 0
        self._outcome = Counter(), ()

    def figures(self) -> ChampionFigures:
        """For telemetry: the model, and what is committed."""
        return ChampionFigures(
            serving=self.serving,
            observed=dict(self.observed),
            since=self._since,
            keys=self.anomalies.top(KEYS_SHOWN),
            drift=self.drift_monitor.figures(),
        )

    def report(self) -> dict[str, Any]:
        """For the store: what reports show of the stream."""
        told = {
            "alarms": list(self.drift_monitor.told),
            "anomalies": self.anomalies.as_dict(),
            "zone": self._terms()["zone"],
            "since": self._since,
        }
        return self._observations.as_dict() | told

    def _terms(self) -> dict[str, Any]:
        """Return what shows a state to be this model's under this zone."""
        zone = self.serving.promise.rejector.zone
        return {"model": self.version, "zone": [zone.rank_low, zone.rank_high]}


def _moment(given: object) -> int | None:
    """Return the Unix time that a commit or a file holds, None if it is none."""
    return given if isinstance(given, int) else None
