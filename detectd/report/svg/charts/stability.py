"""Why the zone is where it is: what another training sample would say, rank by rank."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from detectd.report.svg import plot
from detectd.report.svg.axes import linear
from detectd.report.svg.charts.figure import Entry, figure, panel
from detectd.report.svg.number_format import count_label

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from numpy.typing import NDArray

    from detectd.rejection import Rejector
    from detectd.rejection.zone import Zone
    from detectd.report.svg.axes import Axis

HEIGHT = 180

# Ranks at which the curves are drawn.
POINTS = 200


def stability_figure(rejector: Rejector) -> Element:
    """Return both probabilities around the zone, as they are and as logarithms."""
    zone, T = rejector.zone, rejector.zone.T
    first, last = _window(zone)
    ranks = np.unique(np.linspace(first, last, POINTS).round().astype(np.int64))
    tables = rejector.stability
    curves = _Curves(ranks, tables.log_p_normal[ranks], tables.log_p_anomaly[ranks])
    across = linear(first, max(last, first + 1), count_label, 5)
    return figure(
        "figure-stability",
        "Stability of a verdict",
        [
            Entry("line", "normal", "P(normal)"),
            Entry("line", "anomaly dashed", "P(anomaly)"),
            Entry("zone", "zone", "zone"),
            Entry("line", "limit", f"−T = −{T:.4g}"),
        ],
        [
            panel("probability", _probabilities(zone, curves, across)),
            panel(
                "its natural logarithm",
                _logarithms(zone, curves, across),
                f"rank among {zone.n:,} calibration scores",
            ),
        ],
        [
            "How likely another training sample of the same size would give the same verdict. "
            f"{_where(zone)} detectd abstains if neither logarithm is below −T."
        ],
    )


class _Curves(NamedTuple):
    """At some `ranks` (k,) the logs of both probabilities, (k,)."""

    ranks: NDArray[np.int64]
    normal: NDArray[np.float64]
    anomaly: NDArray[np.float64]


def _probabilities(zone: Zone, curves: _Curves, across: Axis) -> Element:
    axes = plot.Axes(across, linear(-0.02, 1.02, at_most=3))
    layers = [
        _shade(axes, zone),
        plot.line(axes, curves.ranks, np.exp(curves.normal), "normal"),
        plot.line(axes, curves.ranks, np.exp(curves.anomaly), "anomaly dashed"),
    ]
    words = _words(zone, "stability", "Probability of each verdict")
    return plot.plot(words, axes, layers, HEIGHT, x_labels=False)


def _logarithms(zone: Zone, curves: _Curves, across: Axis) -> Element:
    axes = plot.Axes(across, linear(-1.6 * zone.T, 0.04 * zone.T, at_most=5))
    layers = [
        _shade(axes, zone),
        plot.horizontal(axes, -zone.T, "line limit"),
        plot.line(axes, curves.ranks, curves.normal, "normal"),
        plot.line(axes, curves.ranks, curves.anomaly, "anomaly dashed"),
    ]
    words = _words(zone, "log-stability", "Natural logarithm of both probabilities")
    return plot.plot(words, axes, layers, HEIGHT, x_labels=True)


def _shade(axes: plot.Axes, zone: Zone) -> Element:
    return plot.zone(axes, zone.rank_low - 0.5, zone.rank_high + 0.5)


def _window(zone: Zone) -> tuple[int, int]:
    """Return the zone and as much again on either side, or a few deviations of a rank."""
    deviation = math.sqrt(zone.m * (zone.n - zone.m) / zone.n)
    room = round(max(zone.width / 2, deviation, 2.0))
    return max(0, zone.rank_low - room), min(zone.n, zone.rank_high + room)


def _words(zone: Zone, name: str, title: str) -> plot.Words:
    return plot.Words(
        name,
        f"{title}, by rank",
        f"P(normal) falls and P(anomaly) rises with the rank. {_where(zone)}",
    )


def _where(zone: Zone) -> str:
    if zone.empty:
        return f"The zone is empty: ranks from {zone.rank_low:,} on are anomalies."
    return f"The zone holds ranks {zone.rank_low:,} to {zone.rank_high:,}."
