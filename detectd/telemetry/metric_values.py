"""Compute metric values from the state of the service, by the names of `metrics.METRICS`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from detectd import __version__
from detectd.pipeline.encode import VERDICTS
from detectd.pipeline.records import Reason, Topic
from detectd.telemetry.state import NOT_READY_STATES, OUTCOMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from detectd.models.key_observations import KeyObservations
    from detectd.models.serving import Serving
    from detectd.telemetry.snapshot import KeyFigures
    from detectd.telemetry.state import State

# Reasons why no model judged an event of a known key.
UNSCORED = (Reason.WARMING_UP.value, Reason.LATE.value)

# Label values -> value, in the order of the declared labels.
Values = dict[tuple[str, ...], float]


def readings(state: State, now: float, epoch: float) -> dict[str, Values]:
    """Return the metrics that have a value now; `now` is the state's clock, `epoch` Unix time."""
    partitions = state.partitions or {}
    hindering = {not_ready_reason.state for not_ready_reason in state.not_ready_reasons(now)}
    values: dict[str, Values] = {
        "detectd_build_info": {(__version__, state.config, state.instance): 1},
        "detectd_config_last_reload_successful": {(): not state.reload_refused},
        "detectd_config_last_reload_success_timestamp_seconds": {(): epoch - (now - state.loaded)},
        "detectd_ready": {(): not hindering},
        "detectd_not_ready": {(reason,): reason in hindering for reason in NOT_READY_STATES},
        "detectd_consumer_lag_records": {
            (name,): p.lag for name, p in partitions.items() if p.lag is not None
        },
        "detectd_last_record_timestamp_seconds": {
            (name,): p.timestamp_ms / 1000
            for name, p in partitions.items()
            if p.timestamp_ms is not None
        },
        "detectd_stale_partitions": {(): len(state.stale(now))},
        "detectd_source_lost_total": {(): state.losses.times},
        "detectd_source_lost_bytes_total": {(): state.losses.lost_bytes},
        "detectd_source_nul_bytes_total": {(): state.losses.nul_bytes},
        "detectd_interruptions_total": {(): state.interruptions},
        "detectd_rewinds_total": {(): state.rewinds},
        "detectd_failed_commits_total": {(): state.failed_commits},
        "detectd_models_refused_total": {(): state.models_refused},
        "detectd_source_gap_records_total": _by_partition(partitions, state.gap_records),
        "detectd_source_resets_total": _by_partition(partitions, state.resets),
    }
    if state.unread is not None:
        values["detectd_source_unread_bytes"] = {(): state.unread}
    if state.key_figures:
        values |= _of_keys(state.key_figures)
    if state.shared:
        values["detectd_assigned_partitions"] = {(): len(partitions)}
    if state.warming:
        warming = state.warming
        values["detectd_warmup_progress_ratio"] = {(): warming.share}
        values["detectd_warmup_failures_total"] = {(): warming.failures}
        if warming.seconds_left is not None:
            values["detectd_warmup_remaining_seconds"] = {(): warming.seconds_left}
    if state.serving:
        values |= _of_model(state.serving, epoch)
        values |= _of_promises(state.serving, state.observed, state.by_key)
    return values | _of_watch(state)


def _by_partition(owned: Iterable[str], counts: Mapping[str, int]) -> Values:
    """Return the counts, 0 for a partition without one, so that counters exist from the start."""
    return {(name,): counts.get(name, 0) for name in {*owned, *counts}}


def _of_keys(keys: KeyFigures) -> dict[str, Values]:
    return {
        "detectd_keys": {(): keys.remembered},
        "detectd_keys_limit": {(): keys.most},
        "detectd_keys_silent": {(): keys.silent},
        "detectd_keys_evicted_total": {(): keys.evicted},
        "detectd_keys_expired_total": {(): keys.expired},
        "detectd_late_events_total": {(): keys.late},
        "detectd_routine_events_total": {(): keys.routine},
        "detectd_unscored_events_total": {(r,): keys.unscored.get(r, 0) for r in UNSCORED},
    }


def _of_model(serving: Serving, epoch: float) -> dict[str, Values]:
    model, promise = serving.model, serving.promise
    # A clock that was set back must not make a model's age negative.
    age = max(0.0, epoch - datetime.fromisoformat(model.created).timestamp())
    values: dict[str, Values] = {
        "detectd_warmup_progress_ratio": {(): 1},
        "detectd_warmup_remaining_seconds": {(): 0},
        "detectd_warmup_failures_total": {(): 0},
        "detectd_model_info": {(model.version, model.recipe.detector): 1},
        "detectd_model_age_seconds": {(): age},
        "detectd_expected_rejection_ratio": {(): promise.expected_rejection_rate},
        "detectd_expected_anomaly_ratio": {(): promise.expected_anomaly_rate},
    }
    if promise.exact is not None:
        values["detectd_rejection_ratio_upper"] = {(): promise.exact.rejection_rate_upper}
    return values


def _of_promises(
    serving: Serving, observed: Mapping[str, int], by_key: KeyObservations | None
) -> dict[str, Values]:
    """Return what became of the promises. Of keys there may be many, so none has a label."""
    values: dict[str, Values] = {}
    promise, events = serving.promise, sum(observed.get(verdict, 0) for verdict in VERDICTS)
    abstained = observed.get(Topic.ABSTAIN, 0)
    kept = promise.kept(events, abstained)
    if events:
        values["detectd_observed_rejection_ratio"] = {(): abstained / events}
    if by_key and serving.judge.keys and serving.key_promises:
        promises, counts = serving.key_promises, by_key.counts
        values["detectd_keys_own_promise"] = {(): serving.judge.keys.own}
        if counts.events.any():
            kept = promises.kept(counts, promise.terms.delta) if promise.exact else None
            values["detectd_worst_key_excess_ratio"] = {(): promises.worst_excess(counts)}
    if kept is not None:
        values["detectd_promise_kept"] = {(): kept}
    return values


def _of_watch(state: State) -> dict[str, Values]:
    values: dict[str, Values] = {
        "detectd_drift_alarms_total": {(): state.alarm_count},
        "detectd_refits_total": {(o,): state.refits.get(o, 0) for o in OUTCOMES},
        "detectd_refit_running": {(): state.refitting},
        "detectd_model_held": {(): state.held is not None},
    }
    if state.evidence is not None:
        values["detectd_drift_evidence"] = {(): state.evidence}
    if state.average_run_length is not None:
        values["detectd_drift_average_run_length"] = {(): state.average_run_length}
    return values
