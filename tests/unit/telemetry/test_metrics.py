"""What a scrape sees."""

from __future__ import annotations

import subprocess
from collections import Counter

import numpy as np
import pytest

from detectd import __version__
from detectd.pipeline.dead_letters import dead_letter
from detectd.pipeline.key_digest import digest
from detectd.pipeline.records import Outgoing, Record, RecordError, Stage, Topic
from detectd.report.figures import figures
from detectd.sources import Losses, Partition
from detectd.telemetry.health import Health
from detectd.telemetry.metrics import METRICS, Metrics, stages
from detectd.telemetry.state import NOT_READY_STATES, OUTCOMES
from detectd.telemetry.warmup_progress import Progress
from tests.support.exposition import families, problems
from tests.support.key_figures import KEYS
from tests.support.zones_of_keys import keyed_serving, observations

# What dashboards and alerts are written against.
CONTRACT = {
    "detectd_events_total": ("verdict",),
    "detectd_last_record_timestamp_seconds": ("partition",),
    "detectd_warmup_progress_ratio": (),
    "detectd_warmup_remaining_seconds": (),
    "detectd_warmup_failures_total": (),
    "detectd_model_age_seconds": (),
    "detectd_dead_letters_total": ("stage",),
    "detectd_batch_seconds": (),
    "detectd_expected_rejection_ratio": (),
    "detectd_rejection_ratio_upper": (),
    "detectd_observed_rejection_ratio": (),
    "detectd_expected_anomaly_ratio": (),
    "detectd_promise_kept": (),
    "detectd_drift_evidence": (),
    "detectd_drift_average_run_length": (),
    "detectd_drift_alarms_total": (),
    "detectd_refits_total": ("outcome",),
    "detectd_refit_running": (),
    "detectd_model_held": (),
    "detectd_model_info": ("version", "detector"),
    "detectd_consumer_lag_records": ("partition",),
    "detectd_stale_partitions": (),
    "detectd_interruptions_total": (),
    "detectd_rewinds_total": (),
    "detectd_source_gap_records_total": ("partition",),
    "detectd_source_resets_total": ("partition",),
    "detectd_source_lost_total": (),
    "detectd_source_lost_bytes_total": (),
    "detectd_source_nul_bytes_total": (),
    "detectd_ready": (),
    "detectd_batch_records": (),
    "detectd_assigned_partitions": (),
    "detectd_build_info": ("version", "config", "name"),
    "detectd_config_last_reload_successful": (),
    "detectd_config_last_reload_success_timestamp_seconds": (),
    "detectd_not_ready": ("reason",),
    "detectd_source_unread_bytes": (),
    "detectd_failed_commits_total": (),
    "detectd_models_refused_total": (),
    "detectd_keys": (),
    "detectd_keys_limit": (),
    "detectd_keys_own_promise": (),
    "detectd_keys_silent": (),
    "detectd_worst_key_excess_ratio": (),
    "detectd_keys_evicted_total": (),
    "detectd_keys_expired_total": (),
    "detectd_late_events_total": (),
    "detectd_routine_events_total": (),
    "detectd_unscored_events_total": ("reason",),
}


def scraped(metrics):
    return families(metrics.exposition().decode())


def value(metrics, name, /, **labels):
    """The value of the sample, None where there is none."""
    family = scraped(metrics)[name.removesuffix("_sum").removesuffix("_bucket")]
    found = [s.value for s in family.samples if s.name == name and s.labels == labels]
    assert len(found) <= 1
    return found[0] if found else None


def test_every_metric_of_the_contract_is_declared_once_with_its_labels():
    assert {metric.name: metric.labels for metric in METRICS} == CONTRACT
    assert len(METRICS) == len(CONTRACT)


def test_the_exposition_has_what_is_declared_with_its_help_and_its_type(metrics, health, answer):
    answer()
    health.unread(0)
    health.watched(0.5, [], average_run_length=1e6)
    health.remembering(KEYS)
    health.answering(
        keyed_serving(), {"normal": 9, "abstain": 1}, by_key=observations(calm=[True, False])
    )
    metrics.batch({"normal": 1}, {}, 0.1)
    seen = {n: f for n, f in scraped(metrics).items() if n.startswith("detectd_")}
    declared = {metric.name: (metric.help, metric.kind) for metric in METRICS}
    assert {n: (f.documentation, f.type) for n, f in seen.items()} == declared
    for metric in METRICS:
        labels = {label for s in seen[metric.name].samples for label in s.labels} - {"le"}
        assert labels <= set(metric.labels)
        assert seen[metric.name].samples


@pytest.mark.parametrize("begun", [False, True])
def test_the_exposition_passes_the_linter(metrics, answer, begun):
    if begun:
        answer()
        metrics.batch({"normal": 7, "dead_letter": 1}, {"decode": 1}, 0.1)
    assert problems(metrics.exposition().decode()) == []


@pytest.mark.parametrize("begun", [False, True])
def test_the_exposition_passes_promtool(metrics, answer, begun, promtool):
    if begun:
        answer()
    linted = subprocess.run(
        [promtool, "check", "metrics"], input=metrics.exposition(), capture_output=True
    )
    assert (linted.returncode, linted.stdout + linted.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("# HELP a_total a\n# TYPE a_total gauge\na_total 1\n", "a_total: a gauge"),
        ("# HELP a a\n# TYPE a counter\na 1\n", "a: a counter"),
        ("# TYPE a gauge\na 1\n", "a: no help"),
        ("# HELP a_percent a\n# TYPE a_percent gauge\na_percent 1\n", "a_percent: not a base unit"),
        ("# HELP a_ms a\n# TYPE a_ms gauge\na_ms 1\n", "a_ms: an abbreviated unit"),
        ("# HELP aB a\n# TYPE aB gauge\naB 1\n", "aB: not snake_case"),
    ],
)
def test_the_linter_finds_what_promtool_would_find(text, problem):
    assert problem in problems(text)


def test_keys_with_promises_of_their_own_have_one_figure_each_and_no_label(metrics, health, answer):
    answer()
    assert value(metrics, "detectd_keys_own_promise") is None
    serving = keyed_serving()
    health.answering(serving, {"normal": 150, "abstain": 50}, by_key=observations())
    assert value(metrics, "detectd_keys_own_promise") == 2
    assert value(metrics, "detectd_worst_key_excess_ratio") is None
    assert value(metrics, "detectd_promise_kept") is None
    sound = observations(calm=[False] * 100, wild=[False] * 100)
    health.answering(serving, {"normal": 200}, by_key=sound)
    assert value(metrics, "detectd_promise_kept") == 1
    assert value(metrics, "detectd_worst_key_excess_ratio") == 0
    astray = observations(calm=[False] * 100, wild=[True] * 50 + [False] * 50)
    health.answering(serving, {"normal": 150, "abstain": 50}, by_key=astray)
    zone = serving.judge.keys.zones[serving.judge.keys.places(digest_of(b"wild"))[0]]
    excess = 0.5 - zone.width / (zone.n + 1)
    assert value(metrics, "detectd_promise_kept") == 0
    assert value(metrics, "detectd_worst_key_excess_ratio") == pytest.approx(excess)
    assert value(metrics, "detectd_expected_rejection_ratio") == pytest.approx(
        serving.promise.expected_rejection_rate
    )


def digest_of(key):
    return np.array([digest(key)], dtype=np.uint64)


def test_counters_are_there_before_anything_happens(metrics):
    for verdict in ("normal", "anomaly", "abstain"):
        assert value(metrics, "detectd_events_total", verdict=verdict) == 0
    for stage in Stage:
        assert value(metrics, "detectd_dead_letters_total", stage=stage.value) == 0


def test_batches_add_up(metrics):
    metrics.batch(Counter(normal=90, abstain=8, dead_letter=2), {"decode": 2}, 0.3)
    metrics.batch(Counter(normal=1, dead_letter=1), {"score": 1}, 0.01)
    assert value(metrics, "detectd_events_total", verdict="normal") == 91
    assert value(metrics, "detectd_events_total", verdict="abstain") == 8
    assert value(metrics, "detectd_events_total", verdict="dead_letter") is None
    assert value(metrics, "detectd_dead_letters_total", stage="decode") == 2
    assert value(metrics, "detectd_dead_letters_total", stage="score") == 1
    assert value(metrics, "detectd_batch_seconds_sum") == pytest.approx(0.31)
    assert value(metrics, "detectd_batch_records_sum") == 102
    assert metrics.outputs() == {"normal": 91, "anomaly": 0, "abstain": 8, "dead_letter": 3}


def test_a_duration_is_counted_in_every_bucket_that_it_fits(metrics):
    for seconds in (0.005, 0.0051, 1000.0):
        metrics.batch({"normal": 1}, {}, seconds)
    family = scraped(metrics)["detectd_batch_seconds"]
    buckets = {s.labels["le"]: s.value for s in family.samples if s.name.endswith("_bucket")}
    assert (buckets["0.005"], buckets["0.01"], buckets["60.0"], buckets["+Inf"]) == (1, 2, 2, 3)
    assert [s.value for s in family.samples if s.name.endswith("_count")] == [3]


def test_a_batch_without_records_is_no_batch(metrics):
    metrics.batch({}, {}, 1.0)
    assert value(metrics, "detectd_batch_seconds_sum") == 0


def test_dead_letters_are_counted_by_the_stage_that_they_carry():
    forged = Record("a:1", b"x", headers=(("detectd-stage", b"score"),))
    outgoing = [
        dead_letter(Record("a:0", b"x"), RecordError(Stage.DECODE, "not JSON")),
        dead_letter(forged, RecordError(Stage.FEATURES, "no b")),
        Outgoing(Topic.NORMAL, b"{}", headers=(("detectd-stage", b"decode"),)),
    ]
    assert stages(outgoing) == {"decode": 1, "features": 1}


def test_keys_are_shown_if_any_are_remembered_and_none_by_name(metrics, health):
    assert value(metrics, "detectd_keys") is None
    health.remembering(KEYS)
    assert value(metrics, "detectd_keys") == 90
    assert value(metrics, "detectd_keys_limit") == 100
    assert value(metrics, "detectd_keys_silent") == 2
    assert value(metrics, "detectd_keys_evicted_total") == 30
    assert value(metrics, "detectd_keys_expired_total") == 4
    assert value(metrics, "detectd_late_events_total") == 50
    assert value(metrics, "detectd_routine_events_total") == 7
    assert value(metrics, "detectd_unscored_events_total", reason="warming_up") == 60
    assert value(metrics, "detectd_unscored_events_total", reason="late") == 0


def test_lag_and_timestamp_are_shown_where_they_are_known(metrics, answer):
    answer()
    assert value(metrics, "detectd_consumer_lag_records", partition="events/0") == 12
    assert value(metrics, "detectd_consumer_lag_records", partition="events/1") is None
    stamp = value(metrics, "detectd_last_record_timestamp_seconds", partition="events/0")
    assert stamp == 1_700_000_000.5
    assert value(metrics, "detectd_assigned_partitions") == 2


def test_a_partition_that_went_to_another_process_is_no_longer_shown(metrics, health, answer):
    answer()
    assert b'"events/0"' in metrics.exposition()
    health.assigned({"events/1": Partition(1, 1, 0.0)})
    assert b'"events/0"' not in metrics.exposition()
    assert b'"events/1"' in metrics.exposition()
    health.interrupted("gone")
    assert b'"events/' not in metrics.exposition()


def test_topics_may_have_any_name(metrics, health):
    health.assigned({'od"d\\\n/0': Partition(3, 1, 0.0)})
    assert value(metrics, "detectd_consumer_lag_records", partition='od"d\\\n/0') == 3


def test_the_promise_is_shown_beside_what_was_observed(metrics, answer, serving):
    answer()
    exact = serving.promise.exact
    assert value(metrics, "detectd_expected_rejection_ratio") == exact.expected_rejection_rate
    assert value(metrics, "detectd_rejection_ratio_upper") == exact.rejection_rate_upper
    assert value(metrics, "detectd_observed_rejection_ratio") == 0.05
    assert value(metrics, "detectd_model_age_seconds") == 3600
    model = {"version": serving.model.version, "detector": "IForest"}
    assert value(metrics, "detectd_model_info", **model) == 1


def test_before_the_first_verdict_there_is_no_observed_ratio(metrics, health, serving):
    health.answering(serving, {})
    assert value(metrics, "detectd_observed_rejection_ratio") is None
    assert value(metrics, "detectd_promise_kept") is None


def test_a_clock_set_back_makes_no_model_younger_than_new(health, answer):
    answer()
    assert value(Metrics(health, now=lambda: 0.0), "detectd_model_age_seconds") == 0


def test_a_warm_up_shows_its_share_and_a_model_all_of_it(metrics, health, serving):
    assert value(metrics, "detectd_warmup_progress_ratio") is None
    health.warming_up(Progress(500, 2000))
    assert value(metrics, "detectd_warmup_progress_ratio") == 0.25
    assert value(metrics, "detectd_warmup_remaining_seconds") is None
    health.warming_up(Progress(500, 2000, 30.0))
    assert value(metrics, "detectd_warmup_remaining_seconds") == 30
    assert value(metrics, "detectd_warmup_failures_total") == 0
    health.warming_up(Progress(500, 4000, 30.0, 1, "all rows are equal"))
    assert value(metrics, "detectd_warmup_failures_total") == 1
    health.warming_up(Progress(500, 40, 30.0, covered_seconds=90.0, span_seconds=120.0))
    assert value(metrics, "detectd_warmup_progress_ratio") == 0.75
    health.answering(serving, {})
    assert value(metrics, "detectd_warmup_progress_ratio") == 1
    assert value(metrics, "detectd_warmup_remaining_seconds") == 0


def test_readiness_and_its_troubles_are_shown(metrics, health, answer, clock):
    assert value(metrics, "detectd_ready") == 0
    answer()
    assert value(metrics, "detectd_ready") == 1
    clock.now += 29.5
    assert (value(metrics, "detectd_ready"), value(metrics, "detectd_stale_partitions")) == (0, 2)
    health.interrupted("gone")
    health.rewound()
    assert value(metrics, "detectd_interruptions_total") == 1
    assert value(metrics, "detectd_rewinds_total") == 1


def test_what_hinders_the_service_is_named_and_only_that(metrics, health, answer, clock):
    reasons = {
        reason: value(metrics, "detectd_not_ready", reason=reason) for reason in NOT_READY_STATES
    }
    assert {reason for reason, found in reasons.items() if found} == {"starting"}
    answer()
    assert not any(
        value(metrics, "detectd_not_ready", reason=reason) for reason in NOT_READY_STATES
    )
    health.stopping()
    health.interrupted("away")
    health.refused("no")
    health.doubts("not there", ())
    health.restoring(0.25)
    health.warming_up(None)
    health.dying(1000)
    clock.now += 61
    hindering = {
        not_ready_reason.state for not_ready_reason in health.state.not_ready_reasons(clock())
    }
    assert hindering == set(NOT_READY_STATES) - {"warming_up", "stale"}
    health.assigned({"events/0": Partition(1, 2, 31.0)})
    health.warming_up(Progress(1, 10, None))
    for reason in ("warming_up", "stale"):
        assert value(metrics, "detectd_not_ready", reason=reason) == 1


def test_a_file_is_silent_too(clock):
    health = Health(60.0, stale_after=30.0, source="/var/log/events.jsonl", clock=clock)
    metrics = Metrics(health)
    clock.now += 31
    assert value(metrics, "detectd_stale_partitions") == 1
    health.arrived()
    assert value(metrics, "detectd_stale_partitions") == 0


def test_a_reload_is_refused_and_then_taken_over(health, clock):
    started = 1_796_000_000.0
    metrics = Metrics(health, now=lambda: started)
    moment = "detectd_config_last_reload_success_timestamp_seconds"
    assert value(metrics, "detectd_config_last_reload_successful") == 1
    assert value(metrics, moment) == started
    clock.now += 20
    health.reload_refused("source.path: cannot change")
    assert value(metrics, "detectd_config_last_reload_successful") == 0
    assert value(metrics, moment) == started - 20  # the wall clock of the test stands
    health.reloaded()
    assert value(metrics, "detectd_config_last_reload_successful") == 1
    assert value(metrics, moment) == started


def test_the_build_says_which_configuration_it_runs():
    metrics = Metrics(Health(60.0, config="/etc/detectd/payments.toml"))
    labels = {"config": "/etc/detectd/payments.toml", "name": "payments", "version": __version__}
    assert value(metrics, "detectd_build_info", **labels) == 1


def test_what_the_source_lost_adds_up(metrics, health):
    health.lost(Losses(1, 10, 0))
    health.lost(Losses(2, 5, 4096))
    assert value(metrics, "detectd_source_lost_total") == 3
    assert value(metrics, "detectd_source_lost_bytes_total") == 15
    assert value(metrics, "detectd_source_nul_bytes_total") == 4096


def test_the_watch_is_shown_once_there_is_one(metrics, health):
    assert value(metrics, "detectd_drift_alarms_total") == 0
    for absent in ("detectd_drift_evidence", "detectd_drift_average_run_length"):
        assert value(metrics, absent) is None
    health.watched(3.5, [{"number": 7}], alarm_count=7, average_run_length=1e6)
    assert value(metrics, "detectd_drift_evidence") == 3.5
    assert value(metrics, "detectd_drift_average_run_length") == 1e6
    assert value(metrics, "detectd_drift_alarms_total") == 7


def test_a_model_that_waits_for_an_operator_shows(metrics, health):
    assert value(metrics, "detectd_model_held") == 0
    health.holding("20260301T120000Z-3f2a9c")
    assert value(metrics, "detectd_model_held") == 1
    health.holding(None)
    assert value(metrics, "detectd_model_held") == 0


def test_refits_are_counted_by_how_they_end(metrics, health):
    for outcome in OUTCOMES:
        assert value(metrics, "detectd_refits_total", outcome=outcome) == 0
    health.refitting()
    assert value(metrics, "detectd_refit_running") == 1
    health.refitted("refused")
    assert value(metrics, "detectd_refit_running") == 0
    health.refitted("refused")
    health.refitted("accepted")
    assert value(metrics, "detectd_refits_total", outcome="refused") == 2
    assert value(metrics, "detectd_refits_total", outcome="accepted") == 1
    assert value(metrics, "detectd_refits_total", outcome="failed") == 0


def test_whether_the_promise_is_kept_is_what_the_report_says(metrics, health, serving):
    for abstained in (0, 500, 1000):
        observed = {"normal": 1000 - abstained, "abstain": abstained}
        health.answering(serving, observed)
        inside = figures(serving, observed)["observed"]["inside_promise"]
        assert value(metrics, "detectd_promise_kept") == inside
    assert inside is False


def test_each_run_has_a_registry_of_its_own(metrics):
    metrics.batch({"normal": 5}, {}, 0.1)
    other = Metrics(Health(60.0))
    assert value(other, "detectd_events_total", verdict="normal") == 0
    assert value(other, "detectd_assigned_partitions") is None
