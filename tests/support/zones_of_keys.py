"""A model whose keys have zones of their own, and what a stream makes of their promises."""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np

from detectd.detectors import choose
from detectd.models.key_observations import KeyObservations
from detectd.models.model import Recipe
from detectd.models.serving import Serving, promises
from detectd.models.training import complete_rows, train
from detectd.pipeline.judging import ModelScorer
from detectd.pipeline.key_digest import digest
from detectd.pipeline.records import Event
from detectd.rejection import ABSTAIN, NORMAL, Costs, KeyVerdicts
from detectd.rejection.promise import Terms

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TERMS = Terms(0.05, None, None, 0.1, Costs(1.0, 1.0, 0.1))
HOSTS = (b"calm", b"wild", b"rare")


@functools.cache
def keyed_serving():
    """A model of two hosts with zones of their own, and a third that has too few rows."""
    rng = np.random.default_rng(0)
    hosts = rng.choice(3, 1500, p=[0.5, 0.47, 0.03])
    rows = rng.normal(size=(1500, 2)) * np.array([1.0, 50.0, 5.0])[hosts][:, None]
    keys = np.array([digest(host) for host in HOSTS], dtype=np.uint64)[hosts]
    model = train(rows, Recipe("HBOS", 0.05), ("cpu", "latency_ms"), NOON, keys)
    promised, zones = promises(model, TERMS, by_key=True)
    scorer = choose(model.detector, complete_rows(model))
    judge = ModelScorer(model.version, scorer, promised.rejector, model.medians, keys=zones)
    return Serving(model, promised, judge)


def batch(**abstained):
    """A scored batch: for each host its events, True for each that was abstained from."""
    zones, hosts = keyed_serving().judge.keys, []
    for host, verdicts in abstained.items():
        hosts += [host.encode()] * len(verdicts)
    digests = np.array([digest(host) for host in hosts], dtype=np.uint64)
    verdict = np.where([v for each in abstained.values() for v in each], ABSTAIN, NORMAL)
    zeros = np.zeros(len(hosts), dtype=np.int64)
    return SimpleNamespace(
        found=KeyVerdicts(verdict.astype(np.int8), zeros, zeros, zones.places(digests)),
        events=[Event(b"{}", host, None) for host in hosts],
        places=range(len(hosts)),
        routine=(),
    )


def observations(**abstained):
    """What is counted once such a batch is committed."""
    seen = KeyObservations(keyed_serving().judge.keys)
    seen.see(batch(**abstained))
    seen.on_commit()
    return seen
