"""The report as plain data; its field names are a contract with readers of the JSON."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from detectd.rejection import rate_interval
from detectd.report.by_key import key_figures

if TYPE_CHECKING:
    from collections.abc import Mapping

    from detectd.models.serving import Serving
    from detectd.rejection.promise import Promise, Terms


def figures(serving: Serving, observed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the whole report. Scores at which the zone has no end are null.

    `observed` counts the verdicts of a run of the stream, `since` when (Unix time, if known), and
    `by_key` those of keys with zones of their own. With such keys the zone is that of the others,
    while n, m and T of the model are those of all its calibration scores.
    """
    promise, zone = serving.promise, serving.promise.rejector.zone
    whole = serving.pooled.zone
    by_key = key_figures(serving, observed.get("by_key"))
    return {
        "model": {
            "version": serving.model.version,
            "created": serving.model.created,
            "detector": serving.model.recipe.detector,
            "scoring": serving.judge.scorer.how,
            "features": list(serving.model.features),
            "n": whole.n,
            "contamination": promise.terms.contamination,
            "contamination_interval": interval(promise.terms),
            "m": whole.m,
            "T": whole.T,
            "T_set_by": set_by(promise.terms),
            "calibration": serving.model.recipe.method,
        },
        "zone": {
            "n": zone.n,
            "rank_low": None if zone.empty else zone.rank_low,
            "rank_high": None if zone.empty else zone.rank_high,
            "score_low": _finite(promise.rejector.score_low),
            "score_high": _finite(promise.rejector.score_high),
            "anomaly_reachable": zone.anomaly_reachable,
            "normal_reachable": zone.normal_reachable,
            # The share of the expected anomalies that is left to be called anomaly.
            "reach": promise.reach,
        },
        "exact": exact_figures(promise),
        "paper": {
            "expected_rejection_rate": promise.paper.expected_rejection_rate,
            "rejection_rate_upper": promise.paper.rejection_rate_upper,
            "cost_upper": promise.paper.cost_upper,
            "valid": promise.paper.valid and promise.rate_bounded and promise.shared is None,
        },
        "observed": _observed(promise, observed, by_key),
        "by_key": by_key,
        "warnings": promise.warnings,
    }


def set_by(terms: Terms) -> str:
    """Return what T comes from: `T` or `max_abstain_rate` of the configuration, or `default`."""
    if terms.max_abstain_rate is not None:
        return "max_abstain_rate"
    return "default" if terms.T is None else "T"


def interval(terms: Terms) -> list[float] | None:
    """Return where an estimated contamination lies, with probability 1 - delta; null if it is
    given."""
    if not terms.plausible:
        return None
    tail = terms.delta / 2
    return [float(each) for each in np.quantile(terms.plausible, [tail, 1 - tail])]


def exact_figures(promise: Promise) -> dict[str, Any]:
    """Bounds are null if the calibration has no law. `valid` says whether the bound on the rate
    holds with probability 1 - delta, `cost_valid` whether that on the cost does."""
    exact = promise.exact
    return {
        "expected_rejection_rate": promise.expected_rejection_rate,
        "rejection_rate_upper": exact and exact.rejection_rate_upper,
        "delta": promise.terms.delta,
        "expected_cost_bound": exact and exact.expected_cost_bound,
        "cost_upper": exact and exact.cost_upper,
        "plug_in_rejection_rate": promise.rejector.plug_in_rejection_rate,
        "valid": promise.rate_bounded,
        "cost_valid": promise.cost_bounded,
    }


def _observed(
    promise: Promise, observed: Mapping[str, Any], by_key: Mapping[str, Any] | None
) -> dict[str, Any]:
    counts = {name: observed.get(name, 0) for name in ("normal", "anomaly", "abstain")}
    events = sum(counts.values())
    low = high = None
    if events:
        low, high = rate_interval(events, counts["abstain"], promise.terms.delta)
    return {
        "since": _iso(observed.get("since")),
        "events": events,
        **counts,
        "rejection_rate": counts["abstain"] / events if events else None,
        # False for a sound model with probability delta at most, however often one looks.
        "inside_promise": by_key["inside_promise"]
        if by_key
        else promise.kept(events, counts["abstain"]),
        # Where the rate lies in the long run, with probability 1 - delta at all times at once.
        "rate_low": low,
        "rate_high": high,
    }


def _iso(since: object) -> str | None:
    if not isinstance(since, int):
        return None
    return datetime.fromtimestamp(since, UTC).isoformat()


def _finite(score: float) -> float | None:
    return score if math.isfinite(score) else None
