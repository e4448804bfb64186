"""Every metric, with its help.

The loop makes one call a batch, which adds to plain numbers; the rest is read from the state of the
service when somebody scrapes. A partition that went to another process is no longer in that state,
and so not in the exposition either.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector

from detectd import __version__
from detectd.records import Stage, Topic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from prometheus_client.core import Metric

    from detectd.records import Outgoing
    from detectd.telemetry.health import Health, State

VERDICTS = (Topic.NORMAL, Topic.ANOMALY, Topic.ABSTAIN)

# The header by which a dead letter names its stage. It is the last one.
STAGE_HEADER = "detectd-stage"


class Declared(NamedTuple):
    """A metric's name and help; a histogram has `buckets`, their upper bounds in ascending order."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def kind(self) -> str:
        """The type, as the name and the buckets say it."""
        if self.buckets:
            return "histogram"
        return "counter" if self.name.endswith("_total") else "gauge"


BATCH_SECONDS = Declared(
    "detectd_batch_seconds",
    "How long a batch took, from the first read to the commit.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
BATCH_RECORDS = Declared(
    "detectd_batch_records",
    "How many records a batch had.",
    buckets=(1, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000, 1_000_000),
)

METRICS = (
    Declared("detectd_build_info", "Always 1; the version that runs.", ("version",)),
    Declared("detectd_events_total", "Events answered and committed.", ("verdict",)),
    Declared(
        "detectd_dead_letters_total",
        "Records that could not become a feature vector with a finite score, or an output.",
        ("stage",),
    ),
    BATCH_SECONDS,
    BATCH_RECORDS,
    Declared("detectd_ready", "1 where a model answers an assigned source that is not stale."),
    Declared("detectd_assigned_partitions", "Partitions that this process owns."),
    Declared(
        "detectd_consumer_lag_records", "Records of a partition not read yet.", ("partition",)
    ),
    Declared(
        "detectd_last_record_timestamp_seconds",
        "The timestamp of the last record read from a partition.",
        ("partition",),
    ),
    Declared("detectd_stale_partitions", "Partitions silent for longer than source.stale_after."),
    Declared("detectd_interruptions_total", "How often the brokers were away."),
    Declared("detectd_rewinds_total", "How often partitions went before a commit."),
    Declared("detectd_warmup_progress_ratio", "Share of the warm-up that is collected."),
    Declared(
        "detectd_model_info", "Always 1; the model that answers.", ("version", "detector")
    ),
    Declared("detectd_model_age_seconds", "How long ago the model was trained."),
    Declared(
        "detectd_expected_rejection_ratio", "The share of events from which abstaining is promised."
    ),
    Declared(
        "detectd_rejection_ratio_upper",
        "The upper bound of that share, with probability 1 - rejector.delta.",
    ),
    Declared(
        "detectd_observed_rejection_ratio", "The share of events from which this model abstained."
    ),
    Declared(
        "detectd_drift_evidence", "Evidence that the stream no longer is what the model knows."
    ),
)  # fmt: skip

# Label values -> value, in the order of the declared labels.
Values = dict[tuple[str, ...], float]


@dataclass
class Distribution:
    """Observations, counted in buckets."""

    bounds: tuple[float, ...]
    counts: list[int]
    total: float = 0.0

    def add(self, value: float) -> None:
        """One more observation."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


def stages(outgoing: Iterable[Outgoing]) -> Counter[str]:
    """How many dead letters there are of each stage."""
    return Counter(
        out.headers[-1][1].decode() for out in outgoing if out.topic is Topic.DEAD_LETTER
    )


class Metrics:
    """The metrics of one run, in a registry of their own. `now` gives seconds since the epoch."""

    def __init__(self, health: Health, now: Callable[[], float] = time.time) -> None:
        self._health = health
        self._now = now
        self._lock = threading.Lock()
        self._events: Counter[str] = Counter()
        self._dead: Counter[str] = Counter()
        self._seconds = _empty(BATCH_SECONDS)
        self._records = _empty(BATCH_RECORDS)
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(_Scrape(self))
        ProcessCollector(registry=self.registry)

    def batch(self, counts: Mapping[str, int], dead: Mapping[str, int], seconds: float) -> None:
        """A batch was committed: outputs by topic, dead letters by stage, and how long it took.

        Without outputs nothing is counted: a silent stream would drown the durations that matter.
        """
        records = sum(counts.values())
        if not records:
            return
        with self._lock:
            self._events.update(counts)
            self._dead.update(dead)
            self._seconds.add(seconds)
            self._records.add(records)

    def events(self) -> dict[str, int]:
        """Outputs by topic since the start."""
        with self._lock:
            return {topic.value: self._events[topic.value] for topic in Topic}

    def exposition(self) -> bytes:
        """All metrics in Prometheus's text format."""
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        """Every declared metric; one without a value now has its help and its type alone."""
        health = self._health
        values = _state_values(health.state, health.clock(), self._now())
        with self._lock:
            values["detectd_events_total"] = {(v,): self._events[v] for v in VERDICTS}
            values["detectd_dead_letters_total"] = {(s,): self._dead[s] for s in Stage}
            observed = {
                BATCH_SECONDS: _histogram(BATCH_SECONDS, self._seconds),
                BATCH_RECORDS: _histogram(BATCH_RECORDS, self._records),
            }
        for metric in METRICS:
            yield observed.get(metric) or _family(metric, values.get(metric.name, {}))


class _Scrape(Collector):
    """The registry's view of `Metrics`."""

    def __init__(self, metrics: Metrics) -> None:
        self.collect = metrics.collect  # type: ignore[method-assign]
