"""The model that answers, and what its stream makes of its promise.

What is learnt from a batch counts with the commit of its outputs, and is taken back with it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import structlog

from detectd.encode import VERDICTS, explain
from detectd.pipeline import judge_records
from detectd.vigil import Vigil

if TYPE_CHECKING:
    from collections.abc import Sequence

    from detectd.decode import Schema
    from detectd.pipeline import Judged
    from detectd.records import Record
    from detectd.rejection.drift import Alarm
    from detectd.serving import Serving
    from detectd.settings import Settings

log = structlog.get_logger()


class Incumbent:
    """Gives verdicts under one model and one zone, counts them, and watches the promise."""

    def __init__(self, serving: Serving, schema: Schema, settings: Settings) -> None:
        self.serving = serving
        self.observed: Counter[str] = Counter()
        self.vigil = Vigil(serving, settings.drift.average_run_length)
        self._schema = schema
        self._original = settings.output.value == "original"

    @property
    def version(self) -> str:
        """The model's."""
        return self.serving.model.version

    def resume(self, past: dict[str, Any]) -> None:
        """Go on from a `state`; from the beginning where it is of another model or zone."""
        same = all(past.get(key) == value for key, value in self._terms().items())
        self.observed = Counter(past["observed"] if same else {})
        self.vigil.resume(past.get("watch", {}) if same else {})

    def resume_counts(self, observed: dict[str, int]) -> None:
        """Go on from the counts alone: the watch begins anew."""
        self.observed = Counter(observed)
        self.vigil.resume({})

    def answer(self, records: Sequence[Record]) -> Judged:
        """One output for each record, in order, and what there is to learn."""
        judge = self.serving.judge
        judged = judge_records(records, self._schema, judge, original=self._original)
        self.vigil.see(judged.found)
        return judged

    def state(self, counts: Counter[str]) -> dict[str, Any]:
        """What a restart must know once outputs with these counts are committed."""
        observed = dict(self._with(counts))
        return self._terms() | {"observed": observed, "watch": self.vigil.state()}

    def committed(self, counts: Counter[str]) -> list[Alarm]:
        """The outputs with these counts have been committed; returns the alarms worth telling."""
        self.observed = self._with(counts)
        told = self.vigil.committed()
        for alarm in told:
            log.warning(
                "promise.alarm", model=self.version, number=alarm.number, why=explain(alarm)
            )
        return told

    def rewind(self) -> None:
        """What was answered since the last commit will be answered again."""
        self.vigil.rewind()

    def _terms(self) -> dict[str, Any]:
        """By what a state is known to be this model's under this zone."""
        zone = self.serving.promise.rejector.zone
        return {"model": self.version, "zone": [zone.rank_low, zone.rank_high]}

    def _with(self, counts: Counter[str]) -> Counter[str]:
        return self.observed + Counter({topic.value: counts[topic.value] for topic in VERDICTS})
