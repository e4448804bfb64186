"""Every metric, with its help.

The loop makes one call per batch, which adds to plain numbers; the rest is read from the state of
the service at each scrape. A revoked partition is no longer in that state, and so not in the
exposition.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import Counter
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from detectd.pipeline.encode import VERDICTS
from detectd.pipeline.records import OUTCOMES, Stage, Topic
from detectd.telemetry.metric_values import readings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from prometheus_client.core import Metric

    from detectd.pipeline.records import Outgoing
    from detectd.telemetry.health import Health
    from detectd.telemetry.metric_values import Values


class Declared(NamedTuple):
    """A metric's name and help; a histogram has `buckets`, their ascending upper bounds."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def kind(self) -> str:
        """Return the type, from the name and the buckets."""
        if self.buckets:
            return "histogram"
        return "counter" if self.name.endswith("_total") else "gauge"


BATCH_SECONDS = "detectd_batch_seconds"
BATCH_RECORDS = "detectd_batch_records"

METRICS = (
    Declared(
        "detectd_build_info",
        "Always 1; labels are the running version, the hash of its configuration and its name.",
        ("version", "config", "name"),
    ),
    Declared(
        "detectd_config_last_reload_successful",
        "1 if the last reload took effect, or there was none; 0 if it was refused.",
    ),
    Declared(
        "detectd_config_last_reload_success_timestamp_seconds",
        "When the current configuration was read.",
    ),
    Declared("detectd_events_total", "Events judged and committed.", ("verdict",)),
    Declared(
        "detectd_dead_letters_total",
        "Records that could not become a feature vector, a verdict or an output.",
        ("stage",),
    ),
    Declared(
        BATCH_SECONDS,
        "How long a batch took, from the first read to the commit.",
        buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
    ),
    Declared(
        BATCH_RECORDS,
        "How many records a batch had.",
        buckets=(1, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000, 1_000_000),
    ),
    Declared("detectd_ready", "1 if a model judges an assigned source that is not stale."),
    Declared(
        "detectd_not_ready",
        "1 for each reason why the service is not ready, 0 for the others.",
        ("reason",),
    ),
    Declared("detectd_assigned_partitions", "Partitions that this process owns."),
    Declared(
        "detectd_consumer_lag_records", "Records of a partition not read yet.", ("partition",)
    ),
    Declared(
        "detectd_last_record_timestamp_seconds",
        "The timestamp of the last record read from a partition.",
        ("partition",),
    ),
    Declared(
        "detectd_stale_partitions",
        "Partitions, or 1 for a file or pipe, silent for longer than source.stale_after.",
    ),
    Declared("detectd_source_unread_bytes", "Bytes of a followed file that are not read yet."),
    Declared(
        "detectd_source_lost_total",
        "How often a part of a followed file was lost before it was read.",
    ),
    Declared(
        "detectd_source_lost_bytes_total", "The bytes of these parts, as far as they are known."
    ),
    Declared("detectd_source_nul_bytes_total", "NULs between records that were skipped."),
    Declared("detectd_interruptions_total", "How often the brokers were unreachable."),
    Declared("detectd_rewinds_total", "How often partitions were revoked before a commit."),
    Declared(
        "detectd_failed_commits_total",
        "How often outputs could not be committed; they are tried again.",
    ),
    Declared(
        "detectd_source_gap_records_total",
        "Records of a partition that were deleted before they were read, by their offsets.",
        ("partition",),
    ),
    Declared(
        "detectd_source_resets_total",
        "How often a partition's topic was created again, or its log lost its end.",
        ("partition",),
    ),
    Declared("detectd_warmup_progress_ratio", "Share of the warm-up that is collected."),
    Declared("detectd_warmup_remaining_seconds", "What the rest takes at the rate so far."),
    Declared("detectd_warmup_failures_total", "Trainings that failed on the collected rows."),
    Declared("detectd_model_info", "Always 1; the active model.", ("version", "detector")),
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
        "detectd_expected_anomaly_ratio",
        "The share of events that calibration leads to expect as anomalies.",
    ),
    Declared(
        "detectd_promise_kept",
        "1 if the abstentions so far are within the promise, however often one looks, else 0; "
        "absent if nothing is promised.",
    ),
    Declared(
        "detectd_keys_own_promise",
        "Keys with a zone and a promise of their own, with calibration.by_key.",
    ),
    Declared(
        "detectd_worst_key_excess_ratio",
        "How far the abstention rate of the key that keeps its own promise least is above it.",
    ),
    Declared("detectd_drift_evidence", "Evidence that the stream no longer matches calibration."),
    Declared(
        "detectd_drift_average_run_length",
        "The evidence that raises an alarm; at most one false alarm in that many events.",
    ),
    Declared("detectd_drift_alarms_total", "Alarms that the stream no longer matches calibration."),
    Declared("detectd_keys", "Keys that are remembered."),
    Declared("detectd_keys_limit", "How many keys there is room for: keys.max a partition."),
    Declared("detectd_keys_silent", "Keys that have stopped, by keys.silent_after."),
    Declared("detectd_keys_evicted_total", "Keys that were forgotten to make room for others."),
    Declared("detectd_keys_expired_total", "Keys that came back after keys.idle, and began again."),
    Declared("detectd_late_events_total", "Events that came after a later one of their key."),
    Declared(
        "detectd_routine_events_total",
        "Events that are normal by keys.routine alone: their key scores so at this time of day.",
    ),
    Declared(
        "detectd_unscored_events_total",
        "Events that no model judged: their key is too young (keys.min_events), or they were late.",
        ("reason",),
    ),
    Declared("detectd_models_refused_total", "Records of kafka.models_topic that were refused."),
    Declared("detectd_refits_total", "Refits that have ended, by their outcome.", ("outcome",)),
    Declared("detectd_refit_running", "1 while a model is being fitted to replace this one."),
    Declared(
        "detectd_model_held",
        "1 while a model that was fitted after an alarm waits for an operator.",
    ),
)


class Distribution:
    """Observations, counted in the buckets of a declared histogram."""

    def __init__(self, metric: Declared) -> None:
        self._metric = metric
        self._counts = [0] * (len(metric.buckets) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        """Count one observation."""
        self._counts[bisect_left(self._metric.buckets, value)] += 1
        self._sum += value

    def family(self) -> Metric:
        """Return the histogram as it is now."""
        bounds = [*map(floatToGoString, self._metric.buckets), "+Inf"]
        buckets = list(zip(bounds, map(float, accumulate(self._counts)), strict=True))
        return HistogramMetricFamily(
            self._metric.name, self._metric.help, buckets=buckets, sum_value=self._sum
        )


def stages(outgoing: Iterable[Outgoing]) -> Counter[str]:
    """Return the number of dead letters of each stage, which is their last header."""
    return Counter(
        out.headers[-1][1].decode() for out in outgoing if out.topic is Topic.DEAD_LETTER
    )


class Metrics(Collector):
    """The metrics of one run, in a separate registry. `now` returns Unix time in seconds."""

    def __init__(self, health: Health, now: Callable[[], float] = time.time) -> None:
        self._health = health
        self._now = now
        self._lock = threading.Lock()
        self._outputs: Counter[str] = Counter()
        self._dead: Counter[str] = Counter()
        self._distributions = {
            metric.name: Distribution(metric) for metric in METRICS if metric.buckets
        }
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    def batch(self, counts: Mapping[str, int], dead: Mapping[str, int], seconds: float) -> None:
        """Count a committed batch: outputs by topic, dead letters by stage, and how long it took.

        Batches without outputs are not counted: a silent stream would dominate the durations.
        """
        records = sum(counts.values())
        if not records:
            return
        with self._lock:
            self._outputs.update(counts)
            self._dead.update(dead)
            self._distributions[BATCH_SECONDS].add(seconds)
            self._distributions[BATCH_RECORDS].add(records)

    def outputs(self) -> dict[str, int]:
        """Return the number of outputs since the start, by topic."""
        with self._lock:
            return {topic.value: self._outputs[topic] for topic in OUTCOMES}

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus's text format."""
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        """Yield every declared metric; one without a value yields its help and type alone."""
        health = self._health
        values = readings(health.state, health.clock(), self._now())
        with self._lock:
            values["detectd_events_total"] = {(v.value,): self._outputs[v] for v in VERDICTS}
            values["detectd_dead_letters_total"] = {(s.value,): self._dead[s] for s in Stage}
            families = {name: one.family() for name, one in self._distributions.items()}
        for metric in METRICS:
            yield families.get(metric.name) or _family(metric, values.get(metric.name, {}))


def _family(metric: Declared, values: Values) -> Metric:
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(metric.name, metric.help, labels=metric.labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family
