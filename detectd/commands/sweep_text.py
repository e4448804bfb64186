"""Several thresholds on one history, side by side, the cheapest named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from detectd.report.backtest import backtest_figures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from detectd.commands.sweeping import Swept
    from detectd.report.backtest_data import Backtest

PROMISES = ("abstention", "false_positive", "false_negative")


def sweep_figures(tested: Backtest, swept: Sequence[Swept]) -> dict[str, Any]:
    """One entry for each variant, in the order given; `cheapest` is a copy of the first with the
    lowest observed cost, null if none can be judged."""
    whole, costs = backtest_figures(tested), tested.serving.promise.terms.costs
    entries = [_entry(each) for each in swept]
    possible = [entry for entry in entries if "impossible" not in entry]
    return {
        "model": {name: whole["model"][name] for name in ("version", "detector", "n")},
        "history": whole["history"],
        "costs": {
            "false_positive": costs.false_positive,
            "false_negative": costs.false_negative,
            "rejection": costs.rejection,
        },
        "sweep": entries,
        "cheapest": min(possible, key=lambda entry: entry["cost"], default=None),
        "auroc": whole["auroc"],
        "warnings": _shared_warnings(whole, tested),
    }


def _shared_warnings(whole: Mapping[str, Any], tested: Backtest) -> list[str]:
    """The warnings on the history; those on a zone belong to a variant."""
    own = tested.serving.promise.warnings
    return [warning for warning in whole["warnings"] if warning not in own]


def _entry(each: Swept) -> dict[str, Any]:
    if each.tested is None:
        return {"set": each.variant.values, "impossible": each.impossible}
    found = backtest_figures(each.tested)
    rates, verdicts = found["rates"], found["verdicts"]
    kept = [rates[name]["kept"] for name in PROMISES] + [found["cost"]["kept"]]
    return {
        "set": each.variant.values,
        "T": found["model"]["T"],
        "contamination": found["model"]["contamination"],
        "reach": each.tested.serving.promise.reach,
        "cost": found["cost"]["observed"],
        "cost_at_most": found["cost"]["history_upper"],
        "without_abstaining": found["cost"]["without_abstaining"],
        "abstention_rate": rates["abstention"]["observed"],
        "abstention_at_most": rates["abstention"]["history_upper"],
        "abstain": verdicts["abstain"],
        "anomaly": verdicts["anomaly"],
        "false_positives": verdicts["false_positives"],
        "false_negatives": verdicts["false_negatives"],
        "abstained_anomalies": verdicts["abstained_anomalies"],
        "kept": None if None in kept else all(kept),
    }


def sweep_text(found: dict[str, Any]) -> str:
    """The table, and the cheapest."""
    model, history, costs = found["model"], found["history"], found["costs"]
    head = ("T", "contamination", "reach", "abstained", "false alarms", "missed", "cost")
    return "\n".join(
        [
            f"model     {model['version']}  {model['detector']}, n = {model['n']:,}",
            f"history   {history['events']:,} events judged, {history['anomalies']:,} of them "
            f"anomalies ({history['anomaly_rate']:.3%})",
            f"costs     {costs['false_positive']:g} a false alarm, {costs['false_negative']:g} a "
            f"missed anomaly, {costs['rejection']:g} an abstention, in every row",
            "",
            "".join(f"{name:>14}" for name in head) + "  promise",
            *(_row(entry) for entry in found["sweep"]),
            "",
            _cheapest(found["cheapest"]),
            *(f"WARNING   {warning}" for warning in found["warnings"]),
        ]
    )


def _row(entry: Mapping[str, Any]) -> str:
    if "impossible" in entry:
        return f"  {_set(entry)}: {entry['impossible']}"
    cells = (
        f"{entry['T']:.6g}",
        f"{entry['contamination']:.4g}",
        f"{min(entry['reach'], 1.0):.1%}",
        f"{entry['abstention_rate']:.3%}",
        f"{entry['false_positives']:,}",
        f"{entry['false_negatives']:,}",
        f"{entry['cost']:.6f}",
    )
    kept = {None: "no bound", True: "kept", False: "NOT KEPT"}[entry["kept"]]
    return "".join(f"{cell:>14}" for cell in cells) + f"  {kept}"


def _set(entry: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} = {value:g}" for key, value in entry["set"].items())


def _cheapest(entry: Mapping[str, Any] | None) -> str:
    if entry is None:
        return "cheapest  none: no row could be judged"
    return (
        f"cheapest  {_set(entry)}: {entry['cost']:.6f} an event; chosen on this history, so try it "
        "on a later one"
    )
