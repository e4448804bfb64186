"""Why the zone is where it is: what another training sample would say, rank by rank."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from detectd.report import plot
from detectd.report.axes import linear
from detectd.report.charts.figure import Entry, figure, panel
from detectd.report.numerals import count_label

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from detectd.rejection import Rejector
    from detectd.rejection.zone import Zone

HEIGHT = 180

# Ranks at which the curves are drawn.
POINTS = 200


def stability_figure(rejector: Rejector) -> Element:
    """Both probabilities around the zone, as they are and as logarithms."""
    zone, T = rejector.zone, rejector.zone.T
    first, last = _window(zone)
    ranks = np.unique(np.linspace(first, last, POINTS).round().astype(np.int64))
    anomaly, normal = (
        table[ranks]
        for table in (rejector.stability.log_p_anomaly, rejector.stability.log_p_normal)
    )
    across = linear(first, max(last, first + 1), count_label, 5)
    plain = plot.Axes(across, linear(-0.02, 1.02, at_most=3))
    logs = plot.Axes(across, linear(-1.6 * T, 0.04 * T, at_most=5))
    shaded = (zone.rank_low - 0.5, zone.rank_high + 0.5)
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
            panel(
                "probability",
                plot.plot(
                    _words(zone, "stability", "Probability of each verdict"),
                    plain,
                    [
                        plot.zone(plain, *shaded),
                        plot.line(plain, ranks, np.exp(normal), "normal"),
                        plot.line(plain, ranks, np.exp(anomaly), "anomaly dashed"),
                    ],
                    HEIGHT,
                    x_labels=False,
                ),
            ),
            panel(
                "its natural logarithm",
                plot.plot(
                    _words(zone, "log-stability", "Natural logarithm of both probabilities"),
                    logs,
                    [
                        plot.zone(logs, *shaded),
                        plot.horizontal(logs, -T, "line limit"),
                        plot.line(logs, ranks, normal, "normal"),
                        plot.line(logs, ranks, anomaly, "anomaly dashed"),
                    ],
                    HEIGHT,
                    x_labels=True,
                ),
                f"rank among {zone.n:,} calibration scores",
            ),
        ],
        _caption(zone),
    )


def _window(zone: Zone) -> tuple[int, int]:
    """The zone and as much again on either side, or a few deviations of a rank."""
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


def _caption(zone: Zone) -> list[str]:
    return [
        f"How likely another training sample of the same size would say so. {_where(zone)} "
        "detectd abstains where neither logarithm lies below −T."
    ]
