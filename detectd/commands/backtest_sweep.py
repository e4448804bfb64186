"""`detectd backtest --sweep`: one model and one history under several thresholds.

A zone consists of ranks among the calibration scores, and contamination and T affect nothing else.
So the history is scored once, and each variant only judges the scores.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from detectd import derive
from detectd.errors import ConfigError, UsageError
from detectd.models.serving import promises
from detectd.nearest import nearest
from detectd.report.backtest import backtest_figures

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from detectd.rejection import Costs
    from detectd.report.backtest_data import Backtest
    from detectd.settings import Settings

# The keys that need no new scores, and their sections.
SECTIONS = {"T": "rejector", "contamination": "detector", "max_abstain_rate": "rejector"}

# The most variants that fit in a readable table.
MOST_VARIANTS = 200

# T and a budget imply each other, so the swept one replaces the other.
EXCLUDED = {"T": "max_abstain_rate", "max_abstain_rate": "T"}

# The columns of a row, beside its cost.
PROMISES = ("abstention", "false_positive", "false_negative")


@dataclass(frozen=True)
class Variant:
    """The swept values, by key, and the settings with them."""

    values: dict[str, float]
    settings: Settings


@dataclass(frozen=True)
class Swept:
    """A variant with its backtest, or the reason why there is none."""

    variant: Variant
    tested: Backtest | None
    impossible: str | None = None


def variants(asked: Sequence[str], settings: Settings) -> list[Variant]:
    """Return all combinations of lists like `T=3,8,32`, in order.

    Raise UsageError if a key cannot be swept or is given twice, a list is empty, or a value is
    no number or out of range.
    """
    lists = dict(_lists(asked))
    if EXCLUDED.keys() <= lists.keys():
        raise UsageError("--sweep: T and max_abstain_rate determine each other; sweep one of them")
    combinations = list(itertools.product(*lists.values()))
    if len(combinations) > MOST_VARIANTS:
        raise UsageError(
            f"--sweep: {len(combinations):,} combinations; give at most {MOST_VARIANTS}"
        )
    return [_variant(dict(zip(lists, each, strict=True)), settings) for each in combinations]


def _lists(asked: Sequence[str]) -> Iterator[tuple[str, list[float]]]:
    seen: set[str] = set()
    for each in asked:
        key, _, values = each.partition("=")
        key = key.strip().removeprefix(f"{SECTIONS.get(key.strip().rpartition('.')[2])}.")
        if key not in SECTIONS:
            close = nearest(key, SECTIONS)
            meant = f"did you mean {close}?" if close else f"use one of {', '.join(SECTIONS)}"
            raise UsageError(f"--sweep {each}: {key!r} cannot be swept; {meant}")
        if key in seen:
            raise UsageError(f"--sweep {each}: {key} is given twice; put its values in one list")
        seen.add(key)
        yield key, list(dict.fromkeys(_number(each, value) for value in values.split(",")))


def _number(asked: str, text: str) -> float:
    if not text.strip():
        raise UsageError(f"--sweep {asked}: a value is missing; write KEY=X,Y, as in T=3,8,32")
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"--sweep {asked}: {text.strip()!r} is not a number") from None


def _variant(values: dict[str, float], settings: Settings) -> Variant:
    changed: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        section = SECTIONS[key]
        kept = changed.get(section, getattr(settings, section).model_dump(exclude_unset=True))
        changed[section] = {k: v for k, v in kept.items() if k != EXCLUDED.get(key)} | {key: value}
    try:
        sections = {
            name: type(getattr(settings, name)).model_validate(table)
            for name, table in changed.items()
        }
    except ValidationError as wrong:
        error = wrong.errors()[0]
        key = str(error["loc"][0])
        said = error["msg"].removeprefix("Value error, ")
        raise UsageError(f"--sweep {key}={error['input']}: {said}") from None
    return Variant(values, settings.model_copy(update=sections))


def sweep(tested: Backtest, swept: Sequence[Variant], settings: Settings) -> list[Swept]:
    """Judge the history under each variant, with the costs of `settings`.

    By default an abstention costs γ; here it costs the configured γ in all variants, so that costs
    are comparable.
    """
    costs = derive.terms(settings, tested.serving.model).costs
    return [_under(variant, tested, costs) for variant in swept]


def _under(variant: Variant, tested: Backtest, costs: Costs) -> Swept:
    serving = tested.serving
    terms = replace(derive.terms(variant.settings, serving.model), costs=costs)
    try:
        by_key = variant.settings.calibration.by_key
        promised, keys = promises(serving.model, terms, by_key=by_key)
    except ConfigError as impossible:
        return Swept(variant, None, str(impossible))
    judge = replace(serving.judge, rejector=promised.rejector, keys=keys)
    under = replace(serving, promise=promised, judge=judge)
    answered = tested.answered.judged_by(judge)
    return Swept(variant, replace(tested, serving=under, answered=answered))


def sweep_figures(tested: Backtest, swept: Sequence[Swept]) -> dict[str, Any]:
    """Return one entry for each variant, in order; `cheapest` is a copy of the first with the
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
    """Return the warnings on the history; those on a zone belong to a variant."""
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
    """Return the table and the cheapest variant."""
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
        f"cheapest  {_set(entry)}: {entry['cost']:.6f} an event; chosen on this history, so "
        "verify it on a later one"
    )
