"""The summary of a run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from detectd.pipeline.records import OUTCOMES

if TYPE_CHECKING:
    from detectd.models.serving import Serving


@dataclass
class Summary:
    """The counts of a run: outputs per topic, warm-up events among the abstained, and the duration.

    `no_model` says what the warm-up lacks, empty if there is a model; `serving` is the last model,
    and `scored` are its verdicts.
    """

    topics: Counter[str] = field(default_factory=Counter)
    scored: Counter[str] = field(default_factory=Counter)
    warming_up: int = 0
    no_model: str = ""
    seconds: float = 0.0
    serving: Serving | None = None

    def add(self, counts: Counter[str], serving: Serving | None) -> None:
        """Add the outputs of a commit, from the model `serving`, or None during the warm-up."""
        self.topics.update(counts)
        if serving is None:
            self.warming_up += counts["abstain"]
        elif self.serving is not serving:
            self.serving, self.scored = serving, Counter(counts)
        else:
            self.scored.update(counts)

    def figures(self) -> dict[str, Any]:
        """Return the records by outcome, the duration, and the last model, for the log."""
        counts = {topic.value: self.topics[topic] for topic in OUTCOMES}
        records = sum(counts.values())
        return {
            "seconds": round(self.seconds, 3),
            "records": records,
            **counts,
            "warming_up": self.warming_up,
            "records_per_second": round(records / self.seconds, 1) if self.seconds else 0.0,
            "model": self.serving.model.version if self.serving else None,
        }
