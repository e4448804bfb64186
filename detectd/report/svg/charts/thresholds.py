"""What other thresholds would promise."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from detectd.report.svg import plot
from detectd.report.svg.axes import Axis, linear
from detectd.report.svg.charts.figure import Entry, figure, panel
from detectd.report.svg.number_format import percent, percent_label

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from detectd.rejection.promise import Promise
    from detectd.report.threshold_curves import WhatIf

HEIGHT = 170


def thresholds_figure(promise: Promise, curves: WhatIf) -> Element:
    """Abstention and cost over T, the paper's figures beside the exact ones."""
    across = linear(0.0, float(curves.T[-1]))
    T = promise.rejector.zone.T
    beyond = curves.reachable < curves.T[-1]
    return figure(
        "figure-thresholds",
        "Other thresholds",
        [
            *([Entry("line", "exact", "exact, upper bound")] if promise.exact else []),
            Entry("line", "exact thin", "exact, on average" if promise.exact else "share of ranks"),
            Entry("line", "paper", "paper"),
            *([] if curves.valid.all() else [Entry("line", "paper unsound", "not a bound")]),
            Entry("line", "chosen", f"T = {T:.4g}"),
            *([Entry("area", "unreachable", "a verdict is never given")] if beyond else []),
        ],
        [
            panel("abstained", _rates(promise, curves, across)),
            panel("cost of an event", _costs(promise, curves, across), "threshold T"),
        ],
        [_caption(promise)],
    )


def _rates(promise: Promise, curves: WhatIf, across: Axis) -> Element:
    exact, T = promise.exact, promise.rejector.zone.T
    ours = curves.expected if curves.upper is None else curves.upper
    highest = max(ours.max(), np.quantile(curves.paper_upper, 0.9), 1e-4)
    axes = plot.Axes(across, linear(0.0, min(1.0, 1.1 * float(highest)), percent_label, 5))
    layers = [
        _unreachable(axes, curves),
        plot.vertical(axes, T, "line chosen"),
        plot.line(axes, curves.T, curves.paper_expected, "paper thin"),
        *_paper_upper(axes, curves),
        plot.line(axes, curves.T, curves.expected, "exact thin"),
    ]
    bound = ""
    if exact is not None and curves.upper is not None:
        upper = exact.rejection_rate_upper
        bound = f", at most {percent(upper)}"
        layers += [
            plot.line(axes, curves.T, curves.upper, "exact"),
            plot.mark(axes, T, upper, "exact", f"T = {T:.6g}: at most {percent(upper)}"),
        ]
    words = plot.Words(
        "what-if-rate",
        "Abstention rate promised, by threshold T",
        f"At T = {T:.4g}: {percent(promise.expected_rejection_rate)} on average{bound}. "
        "It grows with T.",
    )
    return plot.plot(words, axes, layers, HEIGHT, x_labels=False)


def _costs(promise: Promise, curves: WhatIf, across: Axis) -> Element:
    exact, T = promise.exact, promise.rejector.zone.T
    ours = curves.paper_cost if curves.cost_upper is None else curves.cost_upper
    highest = max(ours.max(), curves.paper_cost.max(), 1e-9)
    axes = plot.Axes(across, linear(0.0, 1.1 * float(highest), at_most=4))
    layers = [
        _unreachable(axes, curves),
        plot.vertical(axes, T, "line chosen"),
        plot.line(axes, curves.cost_thresholds, curves.paper_cost, "paper"),
    ]
    said = "No exact bound: the calibration has no exact law."
    if exact is not None and curves.cost_upper is not None and curves.expected_cost is not None:
        said = f"At T = {T:.4g}: at most {exact.cost_upper:.4g}."
        title = f"T = {T:.6g}: at most {exact.cost_upper:.4g}"
        layers += [
            plot.line(axes, curves.cost_thresholds, curves.expected_cost, "exact thin"),
            plot.line(axes, curves.cost_thresholds, curves.cost_upper, "exact"),
            plot.mark(axes, T, exact.cost_upper, "exact", title),
        ]
    words = plot.Words("what-if-cost", "Bound on the cost of an event, by threshold T", said)
    return plot.plot(words, axes, layers, HEIGHT, x_labels=True)


def _unreachable(axes: plot.Axes, curves: WhatIf) -> Element | None:
    last = float(curves.T[-1])
    return (
        plot.region(axes, curves.reachable, last, "unreachable")
        if curves.reachable < last
        else None
    )


def _paper_upper(axes: plot.Axes, curves: WhatIf) -> list[Element]:
    """Return the curve in pieces that are a bound and pieces that are none, each joined to the
    next."""
    turns = np.flatnonzero(np.diff(curves.valid)) + 1
    cuts = [0, *turns.tolist(), len(curves.T) - 1]
    return [
        plot.line(
            axes,
            curves.T[first : last + 1],
            curves.paper_upper[first : last + 1],
            "paper" if curves.valid[first] else "paper unsound",
        )
        for first, last in pairwise(cuts)
    ]


def _caption(promise: Promise) -> str:
    costs = promise.terms.costs
    return (
        "What the same calibration scores would promise: the higher T, the fewer verdicts would "
        "flip under another training sample, and the more events are abstained from. Set "
        "rejector.T, or rejector.max_abstain_rate for the largest T that keeps within a rate. A "
        "false "
        f"alarm costs {costs.false_positive:g}, a missed anomaly {costs.false_negative:g}, an "
        f"abstention {costs.rejection:g}."
    )
