"""The report as text for a terminal."""

from __future__ import annotations

from typing import Any

from detectd.report.anomalies import NO_DETAIL, WIDTH, table
from detectd.report.by_key import key_lines
from detectd.report.terminal import one_line
from detectd.report.wording import (
    abstention_sentence,
    cost_doubt,
    figure,
    rate_doubt,
    reach_sentence,
    since,
    standing,
)

# Of the latest and of the strongest anomalies, and of the keys with the most.
ANOMALIES_SHOWN = 5
KEYS_SHOWN = 5


def text(report: dict[str, Any]) -> str:
    """Return the figures of `detectd.report.figures` as text for one screen."""
    model, zone, exact = report["model"], report["zone"], report["exact"]
    lines = [
        f"model     {model['version']}  {model['detector']} on {', '.join(model['features'])}",
        f"          n = {model['n']:,} calibration scores ({model['calibration']}), "
        f"contamination {_contamination(model)}, m = {model['m']:,}, {_threshold(model)}",
        f"          scored by {_scoring(model['scoring'])}",
        f"zone      {_zone(zone)}{_of_others(report)}",
        f"          {reach_sentence(zone['reach'])}",
        f"promise   {abstention_sentence(exact)}",
        "",
        *_table(exact, report["paper"]),
        "",
        *_observed(report["observed"]),
        *(f"{name:10}{line}" for name, line in key_lines(report["by_key"])),
        *_anomalies(report.get("anomalies")),
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


def _threshold(model: dict[str, Any]) -> str:
    by = {"T": "", "max_abstain_rate": " by max_abstain_rate", "default": " by default"}
    return f"T = {model['T']:.6g}{by[model['T_set_by']]}"


def _of_others(report: dict[str, Any]) -> str:
    by_key, n = report["by_key"], report["zone"]["n"]
    if not by_key or not by_key["own"]:
        return ""
    return f", of the keys without a zone of their own ({n:,} scores)"


def _zone(zone: dict[str, Any]) -> str:
    if zone["rank_low"] is None:
        return f"empty; only a score of exactly {zone['score_low']} is"
    low = "-inf" if zone["score_low"] is None else f"{zone['score_low']:.6g}"
    high = "inf" if zone["score_high"] is None else f"{zone['score_high']:.6g}"
    return f"ranks {zone['rank_low']:,} to {zone['rank_high']:,}, scores {low} to {high}"


def _table(exact: dict[str, Any], paper: dict[str, Any]) -> list[str]:
    theirs = "" if paper["valid"] else "paper: not a bound here"
    rate, cost = rate_doubt(exact), cost_doubt(exact)
    rows = [
        ("expected abstention rate", "expected_rejection_rate", "", theirs),
        ("its upper bound", "rejection_rate_upper", rate, theirs),
        ("cost per event, at most", "cost_upper", cost, ""),
        ("its expected bound", "expected_cost_bound", cost, None),
        ("share of calibration", "plug_in_rejection_rate", "", None),
    ]
    return [
        f"{'':26}{'exact':>14}{'paper':>14}",
        *(
            f"{name:26}{figure(exact[key])}{'' if doubt is None else figure(paper[key])}"
            f"{_notes(ours, doubt)}"
            for name, key, ours, doubt in rows
        ),
        *_assumes(exact),
    ]


def _notes(ours: str, theirs: str | None) -> str:
    notes = [f"exact: {ours}"] if ours else []
    notes += [theirs] if theirs else []
    return f"  ({'; '.join(notes)})" if notes else ""


def _assumes(exact: dict[str, Any]) -> list[str]:
    """Return the law and its assumptions."""
    if exact["rejection_rate_upper"] is None:
        return []
    return ["exact: for events exchangeable with the calibration rows, and scores without ties"]


def _observed(observed: dict[str, Any]) -> list[str]:
    if not observed["events"]:
        return ["observed  nothing yet"]
    return [
        f"observed  {observed['events']:,} events{since(observed)}: {observed['normal']:,} normal, "
        f"{observed['anomaly']:,} anomaly, {observed['abstain']:,} abstain",
        f"          abstention rate {observed['rejection_rate']:.3%}, "
        f"{standing(observed['inside_promise'])}; in the long run between "
        f"{observed['rate_low']:.3%} and {observed['rate_high']:.3%}",
    ]


def _anomalies(anomalies: dict[str, Any] | None) -> list[str]:
    """Return the latest, the strongest, and the keys with the most."""
    if not anomalies or not anomalies["latest"]:
        return []
    lines = ["", "latest anomalies", *_indented(anomalies["latest"][-ANOMALIES_SHOWN:])]
    strongest = anomalies["strongest"][:ANOMALIES_SHOWN]
    lines += ["strongest anomalies", *(_indented(strongest) if strongest else [f"  {NO_DETAIL}"])]
    keys = anomalies["keys"][:KEYS_SHOWN]
    if keys:
        named = ", ".join(f"{one_line(key['key'], WIDTH)} {key['count']:,}" for key in keys)
        lines.append(f"most by key: {named}")
    return lines


def _indented(found: list[dict[str, Any]]) -> list[str]:
    return [f"  {line}" for line in table(found)]


def _candidate_cost(exact: dict[str, Any]) -> str:
    if exact["cost_upper"] is None:
        return ""
    doubt = cost_doubt(exact)
    return f"; costs at most {exact['cost_upper']:.6f}{f' ({doubt})' if doubt else ''}"


def _candidate(candidate: dict[str, Any] | None) -> list[str]:
    """Return the candidate, its promise, and its agreement with the active model."""
    if candidate is None:
        return []
    model, exact, table = candidate["model"], candidate["exact"], candidate["agreement"]
    lines = [
        "",
        f"candidate {model['version']}  {model['detector']}, n = {model['n']:,}, "
        f"{abstention_sentence(exact)}{_candidate_cost(exact)}",
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
