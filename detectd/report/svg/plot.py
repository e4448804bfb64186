"""Plots as SVG that fits any width: shapes stretch, letters and lines keep their size.

A plot has no view box, so that its text is as large on a telephone as on a screen; what is placed
by percentages moves with the width, and curves lie in inner SVGs that stretch. Every function gives
one layer of a plot; `plot` puts layers into the frame that the axes make.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from detectd.report.svg.markup import percentage, tag

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from xml.etree.ElementTree import Element

    from numpy.typing import ArrayLike, NDArray

    from detectd.report.svg.axes import Axis

# The inner coordinates of a curve, in either direction.
SIZE = 1000

# Longer labels than this, nearer to the right end than this share of the plot, end at their tick.
SHORT, NEAR_END = 4, 0.06

# Of labels with more letters than this, two for each gap, a telephone shows every second.
CROWDED = 36


class Axes(NamedTuple):
    """What a layer is drawn against."""

    x: Axis
    y: Axis


class Words(NamedTuple):
    """What the plot is called, and what it says to those who cannot see it."""

    id: str
    title: str
    description: str


def plot(
    words: Words, axes: Axes, layers: Iterable[Element | None], height: int, *, x_labels: bool
) -> Element:
    """Return the frame, its ticks, and the layers in between, `height` pixels high."""
    title, description = f"{words.id}-title", f"{words.id}-description"
    return tag(
        "svg",
        tag("title", words.title, id=title),
        tag("desc", words.description, id=description),
        *_grid(axes, x_labels=x_labels),
        *layers,
        tag("line", class_="axis", x1="0", x2="100%", y1="100%", y2="100%"),
        class_="plot",
        role="img",
        aria_labelledby=f"{title} {description}",
        style=f"--height: {height}px",
        xmlns="http://www.w3.org/2000/svg",
    )


def line(axes: Axes, x: ArrayLike, y: ArrayLike, kind: str) -> Element:
    """Return a curve through points (k,), (k,)."""
    return _stretched(tag("path", class_=f"line {kind}", d="M" + _points(axes, x, y)))


def band(axes: Axes, x: ArrayLike, low: ArrayLike, high: ArrayLike, kind: str) -> Element:
    """Return the area between two curves over the same x."""
    back = _points(axes, np.asarray(x)[::-1], np.asarray(low)[::-1])
    outline = f"M{_points(axes, x, high)}L{back}Z"
    return _stretched(tag("path", class_=f"band {kind}", d=outline))


def dots(axes: Axes, x: ArrayLike, y: ArrayLike, kind: str) -> Element:
    """Return a dot at each point: lines without length, whose ends are round."""
    d = "".join(f"M{point}h0" for point in _points(axes, x, y).split())
    return _stretched(tag("path", class_=f"dots {kind}", d=d))


def steps(axes: Axes, edges: ArrayLike, heights: ArrayLike, kind: str) -> Element:
    """Return a histogram's outline: `edges` (k+1,), `heights` (k,)."""
    x = np.repeat(np.asarray(edges, dtype=np.float64), 2)
    y = np.concatenate([[0.0], np.repeat(np.asarray(heights, dtype=np.float64), 2), [0.0]])
    return _stretched(tag("path", class_=kind, d="M" + _points(axes, x, y)))


def zone(axes: Axes, low: float, high: float) -> Element:
    """Return the zone: hatched, so that it shows in grey as well, with an edge where it has an
    end."""
    left, right = axes.x.inside(low), axes.x.inside(high)
    ends = [end for end in (left, right) if 0.0 < end < 1.0]
    return tag(
        "g",
        *(_upright("rect", left, right, kind) for kind in ("zone", "hatch")),
        *(_vertical(end, "zone-edge") for end in ends),
    )


def region(axes: Axes, low: float, high: float, kind: str) -> Element:
    """Return an upright stripe."""
    return _upright("rect", axes.x.inside(low), axes.x.inside(high), kind)


def vertical(axes: Axes, x: float, kind: str, title: str | None = None) -> Element:
    """Return a line from bottom to top."""
    return _vertical(axes.x.inside(x), kind, title)


def horizontal(axes: Axes, y: float, kind: str) -> Element:
    """Return a line from side to side."""
    level = percentage(1.0 - axes.y.inside(y))
    return tag("line", class_=kind, x1="0", x2="100%", y1=level, y2=level)


def mark(axes: Axes, x: float, y: float, kind: str, title: str) -> Element:
    """Return one point that matters."""
    cx, cy = percentage(axes.x.inside(x)), percentage(1.0 - axes.y.inside(y))
    return tag("circle", tag("title", title), class_=f"mark {kind}", cx=cx, cy=cy, r="4.5")


def hover(axes: Axes, edges: Sequence[float], titles: Sequence[str]) -> Element:
    """Unseen stripes between `edges` (k+1,) that show their `titles` (k,) under the pointer."""
    places = [axes.x.inside(edge) for edge in edges]
    stripes = zip(pairwise(places), titles, strict=True)
    return tag("g", *(_upright("rect", *ends, "hover", title) for ends, title in stripes))


def _grid(axes: Axes, *, x_labels: bool) -> list[Element]:
    lines, labels = [], []
    for tick in axes.y.ticks:
        level = percentage(1.0 - axes.y.inside(tick.value))
        lines.append(tag("line", class_="grid", x1="0", x2="100%", y1=level, y2=level))
        labels.append(
            tag("text", tick.label, class_="tick", x="0", dx="-7", y=level, dy=".34em", **_END)
        )
    crowded = sum(len(tick.label) + 2 for tick in axes.x.ticks) > CROWDED
    for i, tick in enumerate(axes.x.ticks if x_labels else ()):
        place = axes.x.inside(tick.value)
        inward = place > 1 - NEAR_END and len(tick.label) > SHORT
        anchor = "end" if inward else "middle"
        where = {"x": percentage(place), "y": "100%"}
        notch = tag("path", class_="axis", d="M0 0v4")
        lines.append(tag("svg", notch, overflow="visible", **where))
        kind = "tick spare" if crowded and i % 2 else "tick"
        labels.append(tag("text", tick.label, class_=kind, dy="18", text_anchor=anchor, **where))
    return [tag("g", *lines, *labels, aria_hidden="true")]


_END = {"text_anchor": "end"}


def _vertical(place: float, kind: str, title: str | None = None) -> Element:
    x = percentage(place)
    told = tag("title", title) if title else None
    return tag("line", told, class_=kind, x1=x, x2=x, y1="0", y2="100%")


def _upright(name: str, left: float, right: float, kind: str, title: str | None = None) -> Element:
    told = tag("title", title) if title else None
    return tag(
        name,
        told,
        class_=kind,
        x=percentage(left),
        y="0",
        width=percentage(max(0.0, right - left)),
        height="100%",
    )


def _stretched(path: Element) -> Element:
    return tag("svg", path, viewBox=f"0 0 {SIZE} {SIZE}", preserveAspectRatio="none")


def _points(axes: Axes, x: ArrayLike, y: ArrayLike) -> str:
    across: NDArray[np.float64] = SIZE * axes.x.at(x)
    down: NDArray[np.float64] = SIZE * (1.0 - axes.y.at(y))
    pairs = zip(across.tolist(), down.tolist(), strict=True)
    return " ".join(f"{_short(a)},{_short(b)}" for a, b in pairs)


def _short(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")
