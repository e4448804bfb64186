"""`detectd plan`: what could be promised, before there is any data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from detectd.errors import ConfigError
from detectd.rejection import cost_warnings, smallest_n, smallest_n_reaching
from detectd.rejection.promise import promise, zone_warnings
from detectd.report.day import day_figures, day_lines
from detectd.report.figures import exact_figures, set_by

if TYPE_CHECKING:
    from collections.abc import Sequence

    from detectd.rejection.promise import Terms

PROMISED = (
    "expected_rejection_rate",
    "rejection_rate_upper",
    "expected_cost_bound",
    "cost_upper",
)
SIZES = (500, 1_000, 2_000, 5_000, 10_000, 50_000)


def plan_figures(
    terms: Terms, sizes: Sequence[int], events_per_day: int | None = None
) -> dict[str, Any]:
    """Return the promise for each number n of calibration scores, and the n that T needs; with
    `events_per_day`, also what a day of that many brings.

    Only the ranks of the scores matter to a promise, so any n different ones stand for them all.
    """
    return {
        "contamination": terms.contamination,
        "T": None if terms.max_abstain_rate is not None else terms.T,
        "T_set_by": set_by(terms),
        "max_abstain_rate": terms.max_abstain_rate,
        "delta": terms.delta,
        "calibration": terms.calibration,
        "smallest_n": _smallest_n(terms),
        "events_per_day": events_per_day,
        "plans": [_plan(n, terms, events_per_day) for n in sizes],
        "warnings": cost_warnings(terms.contamination, terms.costs),
    }


def _smallest_n(terms: Terms) -> int | None:
    if terms.max_abstain_rate is not None:
        return None
    if terms.T is None:
        return smallest_n_reaching(terms.contamination, None)
    return smallest_n(terms.contamination, terms.T)


def _plan(n: int, terms: Terms, events_per_day: int | None) -> dict[str, Any]:
    try:
        promised = promise(np.arange(float(n)), terms)
    except ConfigError as impossible:
        return {"n": n, "impossible": str(impossible)}
    zone, exact = promised.rejector.zone, exact_figures(promised)
    return {
        "n": n,
        "m": zone.m,
        "T": zone.T,
        "rank_low": None if zone.empty else zone.rank_low,
        "rank_high": None if zone.empty else zone.rank_high,
        "anomaly_reachable": zone.anomaly_reachable,
        "normal_reachable": zone.normal_reachable,
        "reach": promised.reach,
        **{name: exact[name] for name in PROMISED},
        **({} if events_per_day is None else {"day": day_figures(promised, events_per_day)}),
        "warnings": zone_warnings(zone, terms),
    }


def plan_text(found: dict[str, Any]) -> str:
    """Return the plan as a table."""
    budget = found["max_abstain_rate"]
    asked = "T by default" if found["T"] is None else f"T = {found['T']:g}"
    if budget is not None:
        asked = f"at most {budget:.3%} abstained"
    lines = [
        f"contamination {found['contamination']:g}, {asked}, delta {found['delta']:g}",
        "",
        f"{'n':>8}{'m':>7}{'T':>10}  {'zone':<16}{'expected':>10}{'upper':>10}{'cost upper':>12}"
        f"{'reach':>8}",
        *(_row(plan) for plan in found["plans"]),
        "",
        *day_lines(found),
        "n counts calibration scores: with calibration.fraction = 0.5, half of the training rows.",
        "reach: the share of the expected anomalies that can be called anomaly; the rest are "
        "abstentions.",
    ]
    if found["calibration"] != "holdout":
        lines.append(
            f"No bounds: calibration.method = {found['calibration']!r} has no exact law; "
            "'holdout' has."
        )
    else:
        lines.append(
            "Bounds hold for events exchangeable with the calibration rows, and scores "
            "without ties."
        )
    if found["T_set_by"] == "default":
        lines.append(
            "T by default is the largest up to 32 with a reach of 75%; a reach of half needs n = "
            f"{found['smallest_n']:,} or more."
        )
    elif found["smallest_n"] is not None:
        lines.append(f"Every verdict is possible from n = {found['smallest_n']:,} on.")
    lines += [f"WARNING   {warning}" for warning in found["warnings"]]
    for plan in found["plans"]:
        lines += [f"WARNING   n = {plan['n']:,}: {each}" for each in plan.get("warnings", ())]
    return "\n".join(lines)


def _row(plan: dict[str, Any]) -> str:
    if "impossible" in plan:
        return f"{plan['n']:>8}  {plan['impossible']}"
    zone = "none" if plan["rank_low"] is None else f"{plan['rank_low']}-{plan['rank_high']}"
    upper, cost = (_or_dash(plan[f"{name}_upper"], form) for name, form in UPPERS)
    never = [name for name in ("anomaly", "normal") if not plan[f"{name}_reachable"]]
    return (
        f"{plan['n']:>8}{plan['m']:>7}{plan['T']:>10.4g}  {zone:<16}"
        f"{plan['expected_rejection_rate']:>10.3%}{upper:>10}{cost:>12}"
        f"{min(plan['reach'], 1.0):>8.1%}{''.join(f'  never {name}' for name in never)}"
    )


UPPERS = (("rejection_rate", ".3%"), ("cost", ".4f"))


def _or_dash(bound: float | None, form: str) -> str:
    return "-" if bound is None else format(bound, form)
