"""What every part of the service remembers of the stream, and when that counts."""

import json
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from detectd import derive, wiring
from detectd.models import serving
from detectd.models.store import Store
from detectd.pipeline.records import Record
from detectd.service.drift_monitor import DriftMonitor
from detectd.service.engine import ScoringEngine
from detectd.service.options import retraining_options
from detectd.service.retraining import Retrainer
from detectd.service.shadow import Shadow
from tests.support.engines import model, settings

REFIT = {"refit": "every", "every_events": 1_000_000, "quarantine": 20}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    options = derive.serving_options(settings(tmp_path_factory.mktemp("models")))
    return [serving.serve(model(number), options) for number in range(2)]


def rows_of(number, count):
    return np.random.default_rng(number).normal(size=(count, 2))


class Part:
    """A part, and how it sees the batch with a number; `make` makes it as a restart does."""

    def __init__(self, make, see):
        self._make, self._see = make, see
        self.part = make()
        self.part.restore({})

    def see(self, number):
        self._see(self.part, number)

    def restart(self):
        """Go on in another process from what was committed."""
        state = json.loads(json.dumps(self.part.snapshot()))
        self.close()
        self.part = self._make()
        self.part.restore(state)

    def close(self):
        if hasattr(self.part, "close"):
            self.part.close()


def judged(number, ready):
    rows = rows_of(number, 30)
    scores = ready.judge.scorer.score(rows)
    return SimpleNamespace(
        rows=rows, scores=scores, found=ready.promise.rejector.judge(scores), places=range(30)
    )


def monitor(home, models):
    return Part(
        lambda: DriftMonitor(models[0], 100.0),
        lambda part, number: part.see(
            [Record(f"{number}:{place}", b"") for place in range(30)], judged(number, models[0])
        ),
    )


def shadow(home, models):
    return Part(
        lambda: Shadow(models[1], models[0].model.version),
        lambda part, number: part.see(judged(number, models[0])),
    )


def retrainer(home, models):
    options = retraining_options(settings(home, training=REFIT))
    return Part(
        lambda: Retrainer(options, Store(home / "models"), models[0]),
        lambda part, number: part.see(judged(number, models[0]), [7] if number % 5 == 0 else []),
    )


def warmup_engine(home, models, **training):
    asked = settings(home, training=training)

    def make():
        made = ScoringEngine(asked, wiring.stream_schema(asked), "test")
        made.load()
        return made

    def see(part, number):
        rows = rows_of(number, 30).tolist()
        values = [json.dumps({"a": a, "b": b}).encode() for a, b in rows]
        outgoing = part.answer([Record(id=str(i), value=value) for i, value in enumerate(values)])
        part.settle(Counter(out.topic for out in outgoing), outgoing)

    return Part(make, see)


def serving_engine(home, models):
    store = Store(home / "models")
    store.save(models[0].model)
    store.activate(models[0].model.version)
    return warmup_engine(home, models, **REFIT)


PARTS = [monitor, shadow, retrainer, warmup_engine, serving_engine]


@pytest.mark.slow
@pytest.mark.parametrize("make", PARTS, ids=lambda make: make.__name__)
@examples(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from(["see", "commit", "rollback", "restart"]), max_size=12))
def test_what_counts_is_what_was_committed_each_batch_once(
    tmp_path_factory, models, make, happenings
):
    home, twin_home = tmp_path_factory.mktemp("part"), tmp_path_factory.mktemp("twin")
    part, twin = make(home, models), make(twin_home, models)
    committed, seen = 0, 0
    for happening in happenings:
        if happening == "see":
            part.see(committed + seen)
            seen += 1
        elif happening == "commit":
            part.part.on_commit()
            for number in range(committed, committed + seen):
                twin.see(number)
            twin.part.on_commit()
            committed, seen = committed + seen, 0
        else:
            part.part.rollback()
            if happening == "restart":
                part.restart()
            seen = 0
    part.part.rollback()
    assert comparable(part.part.snapshot()) == comparable(twin.part.snapshot())
    part.close()
    twin.close()


# What differs between two directories: the files' names and numbers, how much is in them, and the
# time.
APART = {"file", "generation", "written"}


def comparable(state):
    def without(fields):
        kept = {name: value for name, value in fields.items() if name not in APART}
        return kept | ({"since": 0} if isinstance(kept.get("since"), int) else {})

    return json.loads(json.dumps(state), object_hook=without)
