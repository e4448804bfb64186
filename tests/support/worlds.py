"""Models and streams as the report may meet them, the awkward ones included."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import numpy as np

from detectd.detectors import choose
from detectd.models.model import Recipe
from detectd.models.observations import Observations
from detectd.models.serving import Serving
from detectd.models.training import complete_rows, train
from detectd.pipeline.judging import ModelScorer
from detectd.rejection import ABSTAIN, ANOMALY, NORMAL, Costs
from detectd.rejection.promise import Terms, promise
from detectd.report.html import page

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOSTILE = (
    "</style></svg><script>alert(1)</script>",
    'a" onload="alert(2)',
    "&lt;b&gt; ]]> --> <!--",
    "nul\x00 escape\x1b half\ud800",
    "right to left \u202e gnol",
    "long" * 60,
)


@functools.cache
def fitted():
    """A small model and its scorer; the report needs no more of a detector than that."""
    rows = np.random.default_rng(0).normal(size=(400, 2))
    model = train(rows, Recipe("HBOS", 0.1), ("cpu", "latency_ms"), NOON)
    return model, choose(model.detector, complete_rows(model))


@dataclass
class World:
    """n calibration scores drawn by `draw`, and a stream that `shift` moves away from them."""

    n: int = 2000
    contamination: float = 0.05
    T: float = 32.0
    budget: float | None = None
    draw: object = staticmethod(lambda rng, size: rng.gamma(4.0, 0.1, size))
    costs: tuple = (10.0, 10.0, 1.0)
    events: int = 30_000
    shift: float = 0.0
    features: tuple[str, ...] = ("cpu", "latency_ms")
    alarms: list = field(default_factory=list)

    @functools.cached_property
    def serving(self):
        model, scorer = fitted()
        scores = np.sort(self.draw(np.random.default_rng(1), self.n))
        terms = Terms(self.contamination, self.T, self.budget, 0.1, Costs(*self.costs))
        promised = promise(scores, terms)
        judge = ModelScorer(model.version, scorer, promised.rejector, model.medians)
        recipe = replace(model.recipe, contamination=self.contamination)
        shown = replace(model, features=self.features, calibration=scores, recipe=recipe)
        return Serving(shown, promised, judge)

    @functools.cached_property
    def observed(self):
        """What the store would hold, after batches of 256."""
        rejector, rng = self.serving.promise.rejector, np.random.default_rng(2)
        seen = Observations(rejector.scores)
        for start in range(0, self.events, 256):
            size = min(256, self.events - start)
            moved = self.shift * max(0.0, start / self.events - 0.5)
            scores = self.draw(rng, size) + moved
            verdict = np.bincount(rejector.judge(scores).verdict, minlength=3)
            named = (("normal", NORMAL), ("anomaly", ANOMALY), ("abstain", ABSTAIN))
            counts = {name: int(verdict[code]) for name, code in named}
            seen.add(counts, scores, 1_772_755_200 + start)
        return seen.as_dict() | {"alarms": self.alarms}

    @functools.cached_property
    def page(self):
        return page(self.serving, self.observed, NOON)


ALARMS = [
    {
        "number": i + 1,
        "event": event,
        "after": event,
        "moved": moved,
        "recent": [0.7, 0.2, 0.1],
        "expected": [0.93, 0.04, 0.03],
        "time": 1_772_755_200 + event,
    }
    for i, (event, moved) in enumerate([(16_220, "more abstaining"), (25_007, "more anomalies")])
]

WORLDS = {
    "plain": World(),
    "not kept": World(shift=0.6, alarms=ALARMS),
    "nothing seen": World(events=0),
    "never an anomaly": World(n=1000, contamination=0.01),
    "all rejected": World(n=60, contamination=0.5, T=500.0),
    "T of 500": World(n=5000, contamination=0.3, T=500.0),
    "empty zone": World(n=1001, contamination=0.1, budget=0.0),
    "one rank": World(n=1000, contamination=0.1, T=0.72),
    "few scores": World(n=20, contamination=0.1, T=2.0, events=300),
    "many scores": World(n=100_000, contamination=0.02),
    "ties": World(draw=lambda rng, size: rng.gamma(4.0, 0.1, size).round(1)),
    "all tied": World(draw=lambda rng, size: np.full(size, 0.5)),
    "long tail": World(draw=lambda rng, size: np.exp(2.5 * rng.normal(size=size))),
    "small scores": World(draw=lambda rng, size: 1e-9 * (rng.random(size) - 3.0)),
    "no costs": World(costs=(0.0, 0.0, 0.0)),
    "hostile": World(features=HOSTILE * 20, alarms=[ALARMS[0] | {"moved": HOSTILE[0]}]),
}
