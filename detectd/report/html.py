"""The report as one HTML file: nothing to load, no script, fit for telephone, screen and paper."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

from detectd import __version__
from detectd.models.observations import Observations
from detectd.report import alarms, tables
from detectd.report.anomalies import remembered
from detectd.report.anomaly_cards import anomaly_section
from detectd.report.figures import figures
from detectd.report.svg.charts import (
    gauge,
    history_figure,
    scores_figure,
    stability_figure,
    thresholds_figure,
)
from detectd.report.svg.markup import render, tag
from detectd.report.svg.number_format import percent
from detectd.report.threshold_curves import what_if
from detectd.report.wording import since

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from xml.etree.ElementTree import Element

    from detectd.models.serving import Serving
    from detectd.rejection.promise import Promise


def page(serving: Serving, observed: Mapping[str, Any], written: datetime) -> str:
    """Return the whole document.

    `observed` is what the store keeps under the model's version: `Observations.as_dict`, or counts
    alone; under "alarms" a list of alarms as dicts, see `detectd.report.alarms`; and under
    "anomalies" what `RecentAnomalies.as_dict` gave.
    """
    seen = Observations(serving.pooled.scores)
    seen.resume(observed)
    raised = alarms.believed(observed.get("alarms"))
    told = {name: observed.get(name) for name in ("since", "by_key")}
    report = figures(serving, {**seen.counts, **told})
    promise = serving.promise
    shared = promise.shared or promise
    drawn = [
        scores_figure(serving.pooled, seen.grid, seen.histogram),
        history_figure(seen.history, promise, raised[-alarms.SHOWN :]),
        stability_figure(promise.rejector),
        thresholds_figure(shared, what_if(shared)),
    ]
    body = tag(
        "body",
        _patterns(),
        tag(
            "main",
            _opening(report, promise, len(raised)),
            tag("section", *drawn, class_="figures"),
            tag(
                "section",
                _card("What is promised", tables.promise_table(report)),
                _card("What was observed", tables.verdict_table(serving, report["observed"])),
                class_="pair",
            ),
            *_keys(report["by_key"]),
            _card("Anomalies", anomaly_section(remembered(observed.get("anomalies")))),
            _card("Alarms", alarms.alarm_list(raised)),
            _card("The model", tables.particulars(serving)),
            _reading(),
        ),
        tag(
            "footer",
            f"detectd {__version__}, written {written:%Y-%m-%d %H:%M} UTC. This file loads "
            "nothing from elsewhere.",
        ),
    )
    return render(tag("html", _head(serving.model.version), body, lang="en"))


def _head(version: str) -> Element:
    style = files("detectd.report").joinpath("page.css").read_text(encoding="utf-8")
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"detectd: the promise of {version}"),
        tag("style", style),
    )


def _opening(report: Mapping[str, Any], promise: Promise, raised: int) -> Element:
    """Return the promise in one sentence, and what became of it."""
    model, standing = report["model"], _standing(report["observed"], promise, raised)
    warnings = report["warnings"]
    return tag(
        "header",
        tag(
            "div",
            tag(
                "p",
                tag("b", "detectd"),
                f" report on model {model['version']}, {model['detector']}",
                class_="eyebrow",
            ),
            tag("h1", *_sentence(promise)),
        ),
        tag(
            "div",
            tag(
                "p",
                tag("span", standing.sign, class_="sign", aria_hidden="true"),
                tag("span", tag("b", standing.word), standing.why),
                class_=f"standing {standing.kind}",
            ),
            gauge(promise, report["observed"]),
        ),
        tag("div", *map(_warning, warnings), class_="warnings") if warnings else None,
    )


def _warning(text: str) -> Element:
    return tag("p", tag("b", "Warning: "), text, class_="warning")


def _sentence(promise: Promise) -> list[Element | str]:
    """Return the promise in a sentence, without a probability beside what is not a bound."""
    exact, expected = promise.exact, tag("em", percent(promise.expected_rejection_rate))
    opening: list[Element | str]
    if exact is None:
        return ["It abstains from about ", expected, " of events. No bound holds: see the warning."]
    upper, cost = tag("em", percent(exact.rejection_rate_upper)), f"{exact.cost_upper:.4g}"
    opening = ["It abstains from ", expected, " of events on average, from at most ", upper]
    if not promise.rate_bounded:
        return [*opening, ", were scores not tied: see the warning."]
    bound = f" with probability\N{NO-BREAK SPACE}{1 - exact.delta:g}. "
    if promise.cost_bounded:
        costs = "With the same probability an event costs at most "
    else:
        costs = "If the contamination is as estimated, an event costs at most "
    return [*opening, bound, costs, tag("em", cost), "."]


class _Standing(NamedTuple):
    kind: str
    sign: str
    word: str
    why: str


def _standing(observed: Mapping[str, Any], promise: Promise, raised: int) -> _Standing:
    exact = promise.exact
    if not observed["events"]:
        return _Standing(
            "open", "○", "Nothing observed yet. ", "The promise is stated before the first event."
        )
    rate = percent(observed["rejection_rate"])
    events = f"{observed['events']:,} events{since(observed)}"
    seen = f"{observed['abstain']:,} of {events} were abstained from, {rate}."
    if exact is None:
        return _Standing("open", "○", "Nothing promised. ", seen)
    if observed["inside_promise"] is None:
        return _Standing("open", "○", "Not judged yet. ", seen)
    if not observed["inside_promise"]:
        over = f" That is more than {percent(exact.rejection_rate_upper)} allows."
        return _Standing("broken", "✕", "Not kept. ", seen + over)
    if raised:
        doubt = " But events no longer arrive as in calibration: see the alarms."
        return _Standing("doubted", "!", "Kept, with alarms. ", seen + doubt)
    return _Standing("kept", "✓", "Kept so far. ", seen)


def _keys(by_key: Mapping[str, Any] | None) -> list[Element]:
    """Return what is known of keys with zones of their own, if they may have any."""
    return [] if by_key is None else [_card("Promises of single keys", tables.key_table(by_key))]


def _card(heading: str, inside: Element) -> Element:
    return tag("section", tag("h2", heading), inside, class_="card")


def _reading() -> Element:
    notes = {
        "exact": "holds for events that are exchangeable with the calibration rows, and for scores "
        "without ties, whatever their distribution; it is stated before the first event is seen.",
        "paper": "are the figures of Perini and Davis, Unsupervised Anomaly Detection with "
        "Rejection (NeurIPS 2023), derived from inequalities: looser, and not always bounds.",
        "What breaks the promise": "a stream that drifts away from its training data, strong "
        "dependence between neighbouring events, and scores tied at an edge of the zone. "
        "Calibration by cross or in_sample has no exact law, so no promise is made.",
        "An alarm": "is evidence that ranks no longer fall as they did in calibration. Dependence "
        "between neighbouring events can raise one too.",
    }
    return tag(
        "section",
        tag("h2", "How to read this"),
        *(tag("p", tag("b", name), f" {text}") for name, text in notes.items()),
        class_="reading",
    )


def _patterns() -> Element:
    """Return the hatching, defined once for all plots."""
    hatching = tag(
        "pattern",
        tag("path", d="M-2 2l4-4M0 8l8-8M6 10l4-4", class_="hatching"),
        id="hatching",
        width="8",
        height="8",
        patternUnits="userSpaceOnUse",
    )
    return tag(
        "svg", tag("defs", hatching), width="0", height="0", class_="patterns", aria_hidden="true"
    )
