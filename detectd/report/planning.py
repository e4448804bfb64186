"""`detectd plan`: what could be promised, before there is any data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from detectd.errors import ConfigError
from detectd.promise import promise
from detectd.rejection import smallest_n
from detectd.report.figures import exact_figures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from detectd.promise import Terms

PROMISED = (
    "expected_rejection_rate",
    "rejection_rate_upper",
    "expected_cost_bound",
    "cost_upper",
)
SIZES = (500, 1_000, 2_000, 5_000, 10_000, 50_000)


def plan_figures(terms: Terms, sizes: Sequence[int]) -> dict[str, Any]:
    """The promise for each number n of calibration scores, and the n that T needs.

    Only the ranks of the scores matter to a promise, so any n different ones stand for them all.
    """
    return {
        "contamination": terms.contamination,
        "T": None if terms.max_abstain_rate is not None else terms.T,
        "max_abstain_rate": terms.max_abstain_rate,
        "delta": terms.delta,
        "calibration": terms.calibration,
        "smallest_n": (
            smallest_n(terms.contamination, terms.T) if terms.max_abstain_rate is None else None
        ),
        "plans": [_plan(n, terms) for n in sizes],
    }


def _plan(n: int, terms: Terms) -> dict[str, Any]:
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
        **{name: exact[name] for name in PROMISED},
    }


def plan_text(found: dict[str, Any]) -> str:
    """The plan as a table."""
    budget = found["max_abstain_rate"]
    asked = f"T = {found['T']:g}" if budget is None else f"at most {budget:.3%} abstained"
    lines = [
        f"contamination {found['contamination']:g}, {asked}, delta {found['delta']:g}",
        "",
        f"{'n':>8}{'m':>7}{'T':>10}  {'zone':<16}{'expected':>10}{'upper':>10}{'cost upper':>12}",
        *(_row(plan) for plan in found["plans"]),
        "",
        "n counts calibration scores: with calibration.fraction = 0.5, half of the training rows.",
    ]
    if found["calibration"] != "holdout":
        lines.append(
            f"No bounds: calibration.method = {found['calibration']!r} has no exact law; "
            "'holdout' has."
        )
    else:
        lines.append("Bounds hold for events exchangeable with the calibration rows, and no ties.")
    if found["smallest_n"] is not None:
        lines.append(f"Every verdict can be given from n = {found['smallest_n']:,} on.")
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
        f"{''.join(f'  never {name}' for name in never)}"
    )


UPPERS = (("rejection_rate", ".3%"), ("cost", ".4f"))


def _or_dash(bound: float | None, form: str) -> str:
    return "-" if bound is None else format(bound, form)
