"""The report for a person at a terminal."""

from __future__ import annotations

from typing import Any


def text(report: dict[str, Any]) -> str:
    """The figures of `detectd.report.figures` in a screenful."""
    model, zone, exact = report["model"], report["zone"], report["exact"]
    lines = [
        f"model     {model['version']}  {model['detector']} on {', '.join(model['features'])}",
        f"          n = {model['n']:,} calibration scores ({model['calibration']}), "
        f"contamination {_contamination(model)}, m = {model['m']:,}, T = {model['T']:.6g}",
        f"          scored by {_scoring(model['scoring'])}",
        f"zone      {_zone(zone)}",
        f"promise   abstains from {exact['expected_rejection_rate']:.3%} of events on average, "
        f"at most {exact['rejection_rate_upper']:.3%} with probability {1 - exact['delta']:g}",
        "",
        *_table(exact, report["paper"]),
        "",
        *_observed(report["observed"]),
        *_candidate(report.get("candidate")),
        *(f"WARNING   {warning}" for warning in report["warnings"]),
    ]
    return "\n".join(lines)


def _scoring(how: str) -> str:
    return "detectd's own kernel" if how == "compiled" else how


def _contamination(model: dict[str, Any]) -> str:
    found = f"{model['contamination']:.4g}"
    if model["contamination_interval"] is None:
        return found
    low, high = model["contamination_interval"]
    return f"{found} (estimated, {low:.4g} to {high:.4g})"


def _zone(zone: dict[str, Any]) -> str:
    if zone["rank_low"] is None:
        return f"no rank is rejected; only a score of exactly {zone['score_low']} is"
    low = "-inf" if zone["score_low"] is None else f"{zone['score_low']:.6g}"
    high = "inf" if zone["score_high"] is None else f"{zone['score_high']:.6g}"
    return f"ranks {zone['rank_low']:,} to {zone['rank_high']:,}, scores {low} to {high}"


def _table(exact: dict[str, Any], paper: dict[str, Any]) -> list[str]:
    note = "" if paper["valid"] else "  (not a bound here)"
    rows = [
        ("expected abstention rate", exact["expected_rejection_rate"], "expected_rejection_rate"),
        ("its upper bound", exact["rejection_rate_upper"], "rejection_rate_upper"),
        ("cost per event, at most", exact["cost_upper"], "cost_upper"),
    ]
    return [
        f"{'':26}{'exact':>14}{'paper':>14}",
        *(f"{name:26}{value:14.6f}{paper[key]:14.6f}{note}" for name, value, key in rows[:2]),
        *(f"{name:26}{value:14.6f}{paper[key]:14.6f}" for name, value, key in rows[2:]),
        f"{'its expected bound':26}{exact['expected_cost_bound']:14.6f}",
        f"{'share of calibration':26}{exact['plug_in_rejection_rate']:14.6f}",
    ]


def _observed(observed: dict[str, Any]) -> list[str]:
    if not observed["events"]:
        return ["observed  nothing yet"]
    inside = "inside" if observed["inside_promise"] else "OUTSIDE"
    return [
        f"observed  {observed['events']:,} events: {observed['normal']:,} normal, "
        f"{observed['anomaly']:,} anomaly, {observed['abstain']:,} abstain",
        f"          abstention rate {observed['rejection_rate']:.3%}, {inside} the promise; in the "
        f"long run between {observed['rate_low']:.3%} and {observed['rate_high']:.3%}",
    ]


def _candidate(candidate: dict[str, Any] | None) -> list[str]:
    """The model that scores along, its promise, and how it judges what the active one judges."""
    if candidate is None:
        return []
    model, exact, table = candidate["model"], candidate["exact"], candidate["agreement"]
    lines = [
        "",
        f"candidate {model['version']}  {model['detector']}, n = {model['n']:,}, abstains from "
        f"{exact['expected_rejection_rate']:.3%}, at most {exact['rejection_rate_upper']:.3%}, "
        f"costs at most {exact['cost_upper']:.6f}",
    ]
    if table is None:
        return [*lines, "          nothing compared yet"]
    names = list(table)
    columns = "".join(f"{name:>12}" for name in names)
    lines.append(f"          {'active | candidate':20}{columns}")
    for name in names:
        row = "".join(f"{table[name][other]:>12,}" for other in names)
        lines.append(f"          {name:20}{row}")
    return lines
