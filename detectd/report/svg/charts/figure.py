"""What all figures have around their plots: a heading, a legend, names of axes, a caption."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from detectd.report.svg.markup import tag

if TYPE_CHECKING:
    from collections.abc import Iterable
    from xml.etree.ElementTree import Element

SWATCH_WIDTH, SWATCH_HEIGHT = 24, 12


class Entry(NamedTuple):
    """A line of the legend: what it looks like in the plot, and what that is."""

    shape: Literal["line", "area", "dot", "zone"]
    kind: str
    meaning: str


def figure(
    name: str,
    heading: str,
    legend: Iterable[Entry],
    panels: Iterable[Element],
    caption: Iterable[str],
) -> Element:
    """Return the whole of it; `name` is what links go to, each of `caption` a paragraph."""
    return tag(
        "figure",
        tag("h2", heading),
        tag("ul", *map(_legend_line, legend), class_="legend"),
        *panels,
        tag("figcaption", *(tag("p", text) for text in caption)),
        id=name,
        class_="card",
    )


def panel(y_name: str, plot: Element, x_name: str | None = None) -> Element:
    """Return a plot between the names of its axes."""
    return tag(
        "div",
        tag("p", y_name, class_="axis-name"),
        tag("div", plot, class_="frame"),
        tag("p", x_name, class_="axis-name below") if x_name else None,
        class_="panel",
    )


def _legend_line(entry: Entry) -> Element:
    return tag("li", swatch(entry), entry.meaning)


def swatch(entry: Entry) -> Element:
    """Return a small sample of what the plot shows."""
    kind, middle = entry.kind, SWATCH_HEIGHT / 2
    whole = {"width": "100%", "height": "100%"}
    shapes = {
        "line": [tag("path", class_=f"line {kind}", d=f"M0 {middle:g}h{SWATCH_WIDTH}")],
        "area": [tag("rect", class_=kind, **whole)],
        "dot": [tag("circle", class_=f"mark {kind}", cx="50%", cy="50%", r="4")],
        "zone": [tag("rect", class_="zone", **whole), tag("rect", class_="hatch", **whole)],
    }
    return tag(
        "svg",
        *shapes[entry.shape],
        class_="swatch",
        width=float(SWATCH_WIDTH),
        height=float(SWATCH_HEIGHT),
        aria_hidden="true",
    )
