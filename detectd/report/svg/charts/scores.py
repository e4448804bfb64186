"""How the scores of calibration and stream are distributed, and where the zone lies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from detectd.models.score_grid import BINS
from detectd.report.svg import plot
from detectd.report.svg.axes import Axis, linear, nice_ticks, spaced_ticks, square_root
from detectd.report.svg.charts.figure import Entry, figure, panel
from detectd.report.svg.number_format import percent, percent_label, score

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from numpy.typing import NDArray

    from detectd.models.score_grid import Grid
    from detectd.rejection import Rejector

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

HEIGHT = 350

# Bins for fewer calibration scores than this; others would be a comb.
COARSE = ((150, 4), (1500, 2))

# The least distance of named scores on an uneven axis, as a share of it.
SPACING = 0.13


def scores_figure(rejector: Rejector, grid: Grid, stream: Ints) -> Element:
    """`stream` (BINS+2,) is the histogram of the stream's scores over `grid`."""
    n, seen = rejector.zone.n, int(stream.sum())
    together = next((factor for limit, factor in COARSE if n < limit), 1)
    edges = _edges(together)
    calibration = _shares(grid.count(rejector.scores), together)
    observed = _shares(stream, together)
    highest = max(calibration.max(), observed.max())
    axes = plot.Axes(_across(grid), square_root(1.06 * float(highest), percent_label))
    places = _on_places(axes)
    low, high = rejector.score_low, rejector.score_high
    layers = [
        plot.zone(axes, low, high),
        plot.steps(places, edges, calibration, "calibration"),
        plot.steps(places, edges, observed, "line stream") if seen else None,
        plot.hover(places, edges.tolist(), _told(grid, together, calibration, observed, seen)),
    ]
    words = plot.Words(
        "scores",
        "Distribution of scores",
        f"Shares of calibration and stream scores per bin. The zone reaches from {score(low)} "
        f"to {score(high)}.",
    )
    return figure(
        "figure-scores",
        "Scores, and the zone",
        [
            Entry("area", "calibration", f"calibration, {n:,} scores"),
            *([Entry("line", "stream", f"stream, {seen:,} scores")] if seen else []),
            Entry("zone", "zone", "zone: abstains"),
        ],
        [
            panel(
                "share of scores in a bin, √ scale",
                plot.plot(words, axes, layers, HEIGHT, x_labels=True),
                "score" + (", evenly about the median, logarithmic beyond" if grid.unit else ""),
            )
        ],
        _caption(rejector, stream, seen),
    )


def _caption(rejector: Rejector, stream: Ints, seen: int) -> list[str]:
    low, high = rejector.score_low, rejector.score_high
    if rejector.zone.empty:
        where = f"The zone is empty: only a score of exactly {score(low)} is abstained from."
    else:
        where = f"The zone reaches from {score(low)} to {score(high)}."
    lines = [
        f"Below the zone an event is normal, above it an anomaly. {where} Heights are on a "
        "square-root scale, so that the tail can be seen."
    ]
    outside = int(stream[0] + stream[-1])
    if outside:
        lines.append(
            f"Of the stream's scores {percent(outside / seen)} lie beyond the plot; they are "
            "counted in the outermost bins."
        )
    if not seen:
        lines.append("No scores of the stream have been recorded yet.")
    return lines


def _across(grid: Grid) -> Axis:
    """Return the axis of the grid, with one bin more at either end for what lies beyond it."""
    ends = (grid.low, grid.high)

    def place(scores: Floats) -> Floats:
        return (grid.place(scores) * BINS + 1.0) / (BINS + 2)

    if grid.unit is None:
        return Axis(place, nice_ticks(*ends, at_most=6))
    return Axis(place, spaced_ticks(place, ends, SPACING))


def _on_places(axes: plot.Axes) -> plot.Axes:
    """Return the same axes where x is already a place, from 0 to 1."""
    return plot.Axes(linear(0.0, 1.0), axes.y)


def _edges(together: int) -> Floats:
    """Places of the edges of the bins, `together` of the grid's joined, and the outermost two."""
    inner = np.arange(1, BINS + 2, together) / (BINS + 2)
    return np.concatenate([[0.0], inner, [1.0]])


def _shares(counts: Ints, together: int) -> Floats:
    joined = counts[1:-1].reshape(-1, together).sum(axis=1)
    all_counts = np.concatenate([counts[:1], joined, counts[-1:]])
    return np.asarray(all_counts / max(1, counts.sum()))


def _told(grid: Grid, together: int, calibration: Floats, observed: Floats, seen: int) -> list[str]:
    ends = [-np.inf, *grid.edges[::together].tolist(), np.inf]
    return [
        f"{score(low)} to {score(high)}: {percent(ours)} of calibration"
        + (f", {percent(theirs)} of the stream" if seen else "")
        for low, high, ours, theirs in zip(
            ends[:-1], ends[1:], calibration.tolist(), observed.tolist(), strict=True
        )
    ]
