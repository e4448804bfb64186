"""Monitor the promise while a model is served: evidence after each batch, and alarms."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

from detectd.pipeline.alerts import alert
from detectd.pipeline.nonfinite_scores import judge_scores
from detectd.rejection import KeyVerdicts
from detectd.rejection.drift import EDetector
from detectd.telemetry.snapshot import DriftFigures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from detectd.models.serving import Serving
    from detectd.pipeline.records import Outgoing, Record
    from detectd.pipeline.scoring import ScoredBatch
    from detectd.rejection.drift import Alarm

# How many alarms are kept for the pages.
KEPT = 20


class Raised(NamedTuple):
    """An alarm, the number of the record that raised it (see `Silence.moment`) and its id."""

    moment: float
    record: str
    alarm: Alarm


class DriftMonitor:
    """Watches one model under its zones; an alarm is expected once in `average_run_length` events.

    If a change lasts, the watch begins again after each alarm and soon raises the next. All are
    counted, but only the first, second, fourth, eighth and so on are worth telling.

    Ranks are those among the calibration scores of all keys together, also if keys have zones of
    their own: while events and calibration rows are exchangeable as a whole, keys included, these
    follow one urn. Ranks within the zones do not, as each key's scores are a small sample with an
    error of its own, which stays. So a change in how often which key comes is drift, too.
    """

    def __init__(self, serving: Serving, average_run_length: float) -> None:
        self.average_run_length = average_run_length
        self._version = serving.model.version
        self._pooled = serving.pooled
        self._watch = EDetector(self._pooled, average_run_length)
        self._watched = self._seen = self._watch.begin()
        # Alarms since the last commit.
        self._raised: list[Raised] = []
        self.told: deque[dict[str, Any]] = deque(maxlen=KEPT)

    def recall(self, told: Sequence[dict[str, Any]]) -> None:
        """Keep the alarms that an earlier process has logged, for those who ask."""
        self.told = deque(told, maxlen=KEPT)

    def restore(self, past: dict[str, Any]) -> None:
        """Resume from a `snapshot` of this model and zone, from the beginning if it is empty."""
        self._watched = self._watch.resume(past)
        self.rollback()

    def go_on_under(self, serving: Serving, average_run_length: float) -> None:
        """Watch the same model under other terms, with the evidence so far."""
        self.average_run_length = average_run_length
        watched, seen = self._watched.as_dict(), self._seen.as_dict()
        self._pooled = serving.pooled
        self._watch = EDetector(self._pooled, average_run_length)
        self._watched, self._seen = self._watch.resume(watched), self._watch.resume(seen)

    def see(self, records: Sequence[Record], scored: ScoredBatch, first: int = 0) -> list[int]:
        """Add the verdicts of a batch; return for each alarm the number of verdicts up to it.

        `records` are those of the batch, and `first` is the number of the first one.
        """
        before, found = self._seen.events, scored.found
        if isinstance(found, KeyVerdicts):
            found = judge_scores(scored.scores, self._pooled)[1]
        self._seen, alarms = self._watch.advance(self._seen, found.below, found.rank)
        numbers = [alarm.event - before for alarm in alarms]
        places = [scored.places[number - 1] for number in numbers]
        self._raised += [
            Raised(first + place, records[place].id, alarm)
            for place, alarm in zip(places, alarms, strict=True)
        ]
        return numbers

    def alerts(self) -> list[tuple[float, Outgoing]]:
        """Return the alarms worth telling since the last commit as records for it, each with the
        number of the record that raised it."""
        return [
            (raised.moment, alert(self._version, raised.alarm, raised.record))
            for raised in self._worth_telling()
        ]

    def publish(self, now: float) -> list[Alarm]:
        """Keep the alarms worth telling, for those who ask, and return them; `now` is Unix time.

        Call it when their commit has succeeded, before `on_commit`.
        """
        told = [raised.alarm for raised in self._worth_telling()]
        self.told += [asdict(alarm) | {"time": int(now)} for alarm in told]
        return told

    def snapshot(self) -> dict[str, Any]:
        """Return the state that a restart needs once the batch's outputs are committed."""
        return self._seen.as_dict()

    def on_commit(self) -> None:
        """Make what was seen since the last commit permanent."""
        self._watched, self._raised = self._seen, []

    def rollback(self) -> None:
        """Discard what was seen since the last commit."""
        self._seen, self._raised = self._watched, []

    @property
    def evidence(self) -> float:
        """Return what is compared with the average run length."""
        return self._watched.evidence

    @property
    def alarms(self) -> int:
        """Return how many there were in all."""
        return self._watched.alarms

    def figures(self) -> DriftFigures:
        """For telemetry: what is committed."""
        return DriftFigures(
            evidence=self.evidence,
            alarm_count=self.alarms,
            alarms=tuple(self.told),
            average_run_length=self.average_run_length,
        )

    def _worth_telling(self) -> list[Raised]:
        return [each for each in self._raised if each.alarm.number.bit_count() == 1]
