"""The report's figures, each from plain numbers to one `figure` element."""

from detectd.report.svg.charts.gauge import gauge
from detectd.report.svg.charts.history import history_figure
from detectd.report.svg.charts.scores import scores_figure
from detectd.report.svg.charts.stability import stability_figure
from detectd.report.svg.charts.thresholds import thresholds_figure

__all__ = [
    "gauge",
    "history_figure",
    "scores_figure",
    "stability_figure",
    "thresholds_figure",
]
