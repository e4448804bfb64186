"""What a run of the service did."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from detectd.records import OUTCOMES

if TYPE_CHECKING:
    from detectd.models.serving import Serving


@dataclass
class Summary:
    """What a run did: outputs per topic, warm-up events among the abstained, and how long.

    `no_model` says what the warm-up lacks, empty if a model answers; `serving` is what answered
    last, and `judged` are its verdicts.
    """

    topics: Counter[str] = field(default_factory=Counter)
    judged: Counter[str] = field(default_factory=Counter)
    warming_up: int = 0
    no_model: str = ""
    seconds: float = 0.0
    serving: Serving | None = None

    def figures(self) -> dict[str, Any]:
        """Return the counts of the records by outcome, and the seconds, for the log."""
        counts = {topic.value: self.topics[topic] for topic in OUTCOMES}
        return {
            "seconds": round(self.seconds, 3),
            "records": sum(counts.values()),
            **counts,
            "warming_up": self.warming_up,
        }
