"""The report's tables: figures side by side, verdicts, the model's particulars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from detectd.report.by_key import own_sentence
from detectd.report.figures import set_by
from detectd.report.svg.markup import tag
from detectd.report.svg.number_format import percent, score
from detectd.report.wording import cost_doubt, rate_doubt, standing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from xml.etree.ElementTree import Element

    from detectd.models.serving import Serving
    from detectd.report.svg.markup import Inside

# Names of features that are shown; with more of them, a person knows where they are configured.
FEATURES_SHOWN = 60

SIDES = ("normal", "abstain", "anomaly")


def promise_table(report: Mapping[str, Any]) -> Element:
    """Return the exact figures beside the paper's, as `detectd report` has them."""
    exact, paper = report["exact"], report["paper"]
    theirs = "" if paper["valid"] else "not a bound here"
    rate, cost = rate_doubt(exact), cost_doubt(exact)
    rows: list[tuple[str, str, str, str | None]] = [
        ("abstention rate, expected", "expected_rejection_rate", "", theirs),
        ("abstention rate, upper bound", "rejection_rate_upper", rate, theirs),
        ("cost of an event, upper bound", "cost_upper", cost, ""),
        ("cost of an event, expected bound", "expected_cost_bound", cost, None),
        ("share of calibration scores in the zone", "plug_in_rejection_rate", "", None),
    ]
    return _table(
        ["", "exact", "paper"],
        [
            [
                name,
                _doubted("–" if exact[key] is None else f"{exact[key]:.6f}", ours),
                "" if doubt is None else _doubted(f"{paper[key]:.6f}", doubt),
            ]
            for name, key, ours, doubt in rows
        ],
        f"Upper bounds hold with probability {1 - exact['delta']:g}, unless noted beside them."
        if exact["valid"]
        else "No figure here is a bound with a stated probability.",
    )


def verdict_table(serving: Serving, observed: Mapping[str, int]) -> Element:
    """Return what share of events each verdict was expected to have, and has."""
    promise, events = serving.promise, observed["events"]
    abstain, anomaly = promise.expected_rejection_rate, promise.expected_anomaly_rate
    expected = {"normal": 1.0 - abstain - anomaly, "abstain": abstain, "anomaly": anomaly}
    return _table(
        ["verdict", "expected", "observed", "events"],
        [
            [
                tag("span", side, class_=f"verdict {side}"),
                percent(expected[side]),
                percent(observed[side] / events) if events else "–",
                f"{observed[side]:,}",
            ]
            for side in SIDES
        ],
        f"{events:,} events judged under this model.",
    )


def key_table(by_key: Mapping[str, Any]) -> Element:
    """Return the keys that keep their own promise least, and how many have one."""
    return _table(
        ["key", "abstained", "promised", "at most", "events", ""],
        [
            [
                tag("bdi", key["key"]),
                percent(key["rejection_rate"]),
                percent(key["expected_rejection_rate"]),
                "–"
                if key["rejection_rate_upper"] is None
                else percent(key["rejection_rate_upper"]),
                f"{key['events']:,}",
                standing(key["inside_promise"]),
            ]
            for key in by_key["worst"]
        ],
        f"{own_sentence(by_key)}. Listed are those farthest above their own promise. Of the "
        "figures, that of scores has the zone of all keys together, the last two the shared zone.",
    )


def particulars(serving: Serving) -> Element:
    """Return all that makes the model what it is."""
    model, promise = serving.model, serving.promise
    zone, terms, recipe = promise.rejector.zone, promise.terms, model.recipe
    whole = serving.pooled.zone
    ranks = "none" if zone.empty else f"{zone.rank_low:,} to {zone.rank_high:,} of {zone.n:,}"
    low, high = promise.rejector.score_low, promise.rejector.score_high
    how = serving.judge.scorer.how
    costs = terms.costs
    given = {
        "version": model.version,
        "fitted": model.created,
        "detector": recipe.detector,
        "parameters": ", ".join(f"{k} = {v!r}" for k, v in recipe.params.items()) or "defaults",
        "scale": recipe.scale,
        "scored by": "detectd's own kernel" if how == "compiled" else how,
        "training rows": f"{len(model.rows):,}",
        "calibration scores n": f"{whole.n:,} ({recipe.method})",
        "contamination γ": f"{terms.contamination:g}",
        "expected anomalies m": f"{whole.m:,}",
        "threshold T": f"{whole.T:.6g}{' by default' if set_by(terms) == 'default' else ''}",
        "zone, ranks": ranks,
        "zone, scores": f"{score(low)} to {score(high)}",
        "expected anomalies in reach": f"{percent(min(promise.reach, 1.0))} can be called anomaly",
        "δ": f"{terms.delta:g}",
        "costs": f"{costs.false_positive:g} a false alarm, {costs.false_negative:g} a missed "
        f"anomaly, {costs.rejection:g} an abstention",
        "libraries": ", ".join(f"{name} {number}" for name, number in model.libraries.items()),
    }
    return tag(
        "dl",
        *(
            tag("div", tag("dt", name), tag("dd", value), class_="particular")
            for name, value in given.items()
        ),
        tag("div", tag("dt", "features"), _features(model.features), class_="particular wide"),
        class_="particulars",
    )


def _features(names: Sequence[str]) -> Element:
    """Return each set apart, as a name may hold anything, letters that turn the line around
    included."""
    hidden = len(names) - FEATURES_SHOWN
    return tag(
        "dd",
        *(tag("bdi", name, class_="chip") for name in names[:FEATURES_SHOWN]),
        f" and {hidden:,} more" if hidden > 0 else None,
    )


def _doubted(figure: str, why: str) -> Inside:
    return tag("span", figure, tag("small", why)) if why else figure


def _table(head: Sequence[str], rows: Iterable[Sequence[Inside]], note: str) -> Element:
    return tag(
        "div",
        tag(
            "table",
            tag("thead", tag("tr", *(tag("th", name, scope="col") for name in head))),
            tag(
                "tbody",
                *(
                    tag(
                        "tr",
                        tag("th", row[0], scope="row"),
                        *(tag("td", cell) for cell in row[1:]),
                    )
                    for row in rows
                ),
            ),
        ),
        tag("p", note, class_="note"),
        class_="table",
    )
