"""The report as plain data; its field names are a contract with whoever reads the JSON."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from detectd.rejection import observed_inside
from detectd.rejection.sequence import rate_interval

if TYPE_CHECKING:
    from collections.abc import Mapping

    from detectd.models.serving import Serving
    from detectd.promise import Promise, Terms


def figures(serving: Serving, observed: Mapping[str, int]) -> dict[str, Any]:
    """The whole report. Scores at which the zone has no end are null."""
    promise, zone = serving.promise, serving.promise.rejector.zone
    return {
        "model": {
            "version": serving.model.version,
            "created": serving.model.created,
            "detector": serving.model.recipe.detector,
            "scoring": serving.judge.scorer.how,
            "features": list(serving.model.features),
            "n": zone.n,
            "contamination": promise.terms.contamination,
            "contamination_interval": interval(promise.terms),
            "m": zone.m,
            "T": zone.T,
            "calibration": serving.model.recipe.method,
        },
        "zone": {
            "rank_low": None if zone.empty else zone.rank_low,
            "rank_high": None if zone.empty else zone.rank_high,
            "score_low": _finite(promise.rejector.score_low),
            "score_high": _finite(promise.rejector.score_high),
            "anomaly_reachable": zone.anomaly_reachable,
            "normal_reachable": zone.normal_reachable,
        },
        "exact": _exact(promise),
        "paper": {
            "expected_rejection_rate": promise.paper.expected_rejection_rate,
            "rejection_rate_upper": promise.paper.rejection_rate_upper,
            "cost_upper": promise.paper.cost_upper,
            "valid": promise.paper.valid,
        },
        "observed": _observed(promise, observed),
        "warnings": promise.warnings,
    }


def interval(terms: Terms) -> list[float] | None:
    """Where an estimated contamination lies, with probability 1 - delta; null where it is given."""
    if not terms.plausible:
        return None
    tail = terms.delta / 2
    return [float(each) for each in np.quantile(terms.plausible, [tail, 1 - tail])]


def _exact(promise: Promise) -> dict[str, float]:
    exact = promise.exact
    return {
        "expected_rejection_rate": exact.expected_rejection_rate,
        "rejection_rate_upper": exact.rejection_rate_upper,
        "delta": exact.delta,
        "expected_cost_bound": exact.expected_cost_bound,
        "cost_upper": exact.cost_upper,
        "plug_in_rejection_rate": promise.rejector.plug_in_rejection_rate,
    }


def _observed(promise: Promise, observed: Mapping[str, int]) -> dict[str, Any]:
    counts = {name: observed.get(name, 0) for name in ("normal", "anomaly", "abstain")}
    events = sum(counts.values())
    inside = low = high = None
    if events:
        zone, delta = promise.rejector.zone, promise.exact.delta
        inside = observed_inside(zone, events, counts["abstain"], delta)
        low, high = rate_interval(events, counts["abstain"], delta)
    return {
        "events": events,
        **counts,
        "rejection_rate": counts["abstain"] / events if events else None,
        "inside_promise": inside,
        # Where the rate lies in the long run, with probability 1 - delta at all times at once; and
        # whether the promised bound lies below that.
        "rate_low": low,
        "rate_high": high,
        "bound_exceeded": None if low is None else low > promise.exact.rejection_rate_upper,
    }


def _finite(score: float) -> float | None:
    return score if math.isfinite(score) else None
