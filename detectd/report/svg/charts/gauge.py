"""The promised rate and the observed one on one scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detectd.rejection import rate_interval
from detectd.report.svg import plot
from detectd.report.svg.axes import Axis, linear
from detectd.report.svg.charts.figure import Entry, swatch
from detectd.report.svg.markup import tag
from detectd.report.svg.number_format import percent, percent_label

if TYPE_CHECKING:
    from collections.abc import Mapping
    from xml.etree.ElementTree import Element

    from detectd.rejection.promise import Promise

HEIGHT = 34


def gauge(promise: Promise, observed: Mapping[str, int]) -> Element:
    """`observed` holds the count of each verdict, and of all `events`."""
    abstained, events = observed["abstain"], observed["events"]
    mean = promise.expected_rejection_rate
    bound = promise.exact.rejection_rate_upper if promise.exact else None
    upper = mean if bound is None else bound
    low, high = rate_interval(events, abstained, promise.terms.delta)
    seen = abstained / events if events else 0.0
    highest = min(1.0, max(1.35 * upper, 1.15 * seen, min(1.05 * high, 2.0 * upper), 1e-3))
    axes = plot.Axes(linear(0.0, highest, percent_label, 6), Axis(lambda values: values, []))
    layers = [plot.vertical(axes, mean, "line mean")]
    entries = [
        (Entry("line", "mean", "expected " if bound is None else "promised mean "), percent(mean))
    ]
    if bound is not None:
        layers = [
            plot.region(axes, 0.0, bound, "promised"),
            *layers,
            plot.vertical(axes, bound, "line limit"),
        ]
        entries.append((Entry("line", "limit", "promised bound "), percent(bound)))
    if events:
        layers += [
            plot.line(axes, [low, high], [0.5, 0.5], "whisker"),
            plot.mark(axes, seen, 0.5, "abstain", f"observed: {percent(seen)}"),
        ]
        entries += [
            (Entry("dot", "abstain", "observed "), percent(seen)),
            (Entry("line", "whisker", "long-run rate "), f"{percent(low)} to {percent(high)}"),
        ]
    told = ", ".join(f"{entry.meaning}{value}" for entry, value in entries)
    words = plot.Words("gauge", "Abstention rate, promised and observed", f"{told}.")
    legend = (tag("li", swatch(entry), entry.meaning, tag("b", value)) for entry, value in entries)
    return tag(
        "div",
        tag("div", plot.plot(words, axes, layers, HEIGHT, x_labels=True), class_="frame"),
        tag("ul", *legend, class_="legend"),
        class_="gauge",
    )
