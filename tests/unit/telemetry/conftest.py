"""A real model with its promise, a clock that stands, and a service that answers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest

from detectd.detectors import choose
from detectd.models.model import Recipe
from detectd.models.serving import Serving
from detectd.models.training import complete_rows, train
from detectd.pipeline.judging import ModelScorer
from detectd.rejection import Costs
from detectd.rejection.promise import Terms, promise
from detectd.sources import Partition
from detectd.telemetry.health import Health
from detectd.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Callable

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
OBSERVED = {"normal": 900, "anomaly": 50, "abstain": 50}


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 5000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def serving() -> Serving:
    rows = np.random.default_rng(7).normal(size=(1000, 2))
    recipe = Recipe("IForest", 0.1, params={"n_estimators": 50})
    model = train(rows, recipe, ("a", "b"), NOON)
    promised = promise(model.calibration, Terms(0.1, 8.0, None, 0.1, Costs(1, 1, 0.1)))
    scorer = choose(model.detector, complete_rows(model))
    judge = ModelScorer(model.version, scorer, promised.rejector, model.medians)
    return Serving(model, promised, judge)


@pytest.fixture
def health(clock: Clock) -> Health:
    """A member of a group that has just started."""
    return Health(60.0, stale_after=30.0, shared=True, delivery="once", clock=clock)


@pytest.fixture
def metrics(health: Health) -> Metrics:
    return Metrics(health, now=lambda: NOON.timestamp() + 3600)


@pytest.fixture
def answer(health: Health, serving: Serving) -> Callable[[], None]:
    """Let the model answer for two partitions."""

    def begin() -> None:
        health.opened()
        health.assigned(
            {
                "events/0": Partition(lag=12, timestamp_ms=1_700_000_000_500, silent=2.0),
                "events/1": Partition(lag=None, timestamp_ms=None, silent=1.0),
            }
        )
        health.answering(serving, OBSERVED)
        health.turned()

    return begin
