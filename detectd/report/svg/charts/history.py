"""The abstention rate over the stream, compared with the promise."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from detectd.rejection import rate_interval
from detectd.report.svg import plot
from detectd.report.svg.axes import Axis, linear
from detectd.report.svg.charts.figure import Entry, figure, panel
from detectd.report.svg.number_format import count_label, moment, percent, percent_label, stretch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from xml.etree.ElementTree import Element

    from numpy.typing import NDArray

    from detectd.models.observations import Period
    from detectd.rejection.promise import Promise
    from detectd.report.alarms import AlarmRecord

    Floats = NDArray[np.float64]

HEIGHT = 220
SMALL_HEIGHT = 110

# Stripes under the pointer; periods are joined until there are no more.
STRIPES = 60


@dataclass(frozen=True)
class _Course:
    """Events until the `ends` (k,) of periods; `rates` (k,) of each, and of all `so_far` (k,)."""

    ends: Floats
    rates: Floats
    so_far: Floats


def history_figure(
    history: Sequence[Period], promise: Promise, alarms: Sequence[AlarmRecord]
) -> Element:
    """Return both rates over the periods of the stream, and where alarms were raised."""
    name, heading = "figure-history", "Abstention in the stream"
    if not history:
        return figure(name, heading, [], [], ["No events so far: nothing to show."])
    abstained = _course(history, [p.abstained for p in history])
    across = linear(0.0, float(abstained.ends[-1]), count_label, 5)
    raised = [float(alarm.event) for alarm in alarms]
    size = round(float(np.median([p.events for p in history])))
    return figure(
        name,
        heading,
        [
            Entry("dot", "period", f"a period, about {size:,} events"),
            Entry("line", "abstain", "rate so far"),
            Entry("area", "confidence", f"long-run rate, confidence {1 - promise.terms.delta:g}"),
            Entry("line", "mean", "promised mean" if promise.exact else "share of ranks"),
            *([Entry("line", "limit", "promised bound")] if promise.exact else []),
            *([Entry("line", "alarm", "alarm")] if raised else []),
        ],
        [
            panel("abstained", _abstention(history, abstained, across, promise, raised)),
            panel(
                "anomalies",
                _anomalies(history, across, promise, raised),
                "events judged" + _between(history),
            ),
        ],
        [
            "The band contains the long-run rate at all moments at once, provided that events are "
            f"independent of each other. {_judged(promise)}"
        ],
    )


def _judged(promise: Promise) -> str:
    if promise.exact is None:
        return "There is no bound to compare it with: the calibration has no exact law."
    half = 1 - promise.terms.delta / 2
    return (
        f"The promise counts as broken when both are taken at {half:g} and the band lies above "
        "the bound; with a sound model this ever happens with probability "
        f"{promise.terms.delta:g} at most."
    )


def _abstention(
    history: Sequence[Period],
    course: _Course,
    across: Axis,
    promise: Promise,
    raised: Sequence[float],
) -> Element:
    exact = promise.exact
    mean = promise.expected_rejection_rate
    low, high = _long_run(history, promise.terms.delta)
    promised = exact.rejection_rate_upper if exact else mean
    room = min(float(high[-1]), max(3.0 * promised, 1e-3))
    axes = plot.Axes(across, _shares(course, max(promised, room)))
    known = ([0.0, *course.ends], [0.0, *low], [1.0, *high])  # Nothing is, before the first event.
    layers = [
        *(plot.vertical(axes, event, "line alarm") for event in raised),
        plot.band(axes, *known, "confidence"),
        plot.horizontal(axes, mean, "line mean"),
        plot.horizontal(axes, promised, "line limit") if exact else None,
        plot.dots(axes, course.ends, course.rates, "period"),
        plot.line(axes, course.ends, course.so_far, "abstain"),
        _latest(axes, course, "abstain"),
        plot.hover(axes, *_told(history)),
    ]
    words = plot.Words(
        "history",
        "Abstention rate over the stream",
        f"After {course.ends[-1]:,.0f} events the rate is {percent(course.so_far[-1])}; the "
        f"long-run rate lies between {percent(low[-1])} and {percent(high[-1])}. Promised: "
        + (f"{percent(mean)} on average, at most {percent(promised)}." if exact else "nothing."),
    )
    return plot.plot(words, axes, layers, HEIGHT, x_labels=False)


def _anomalies(
    history: Sequence[Period], across: Axis, promise: Promise, raised: Sequence[float]
) -> Element:
    expected = promise.expected_anomaly_rate
    course = _course(history, [p.anomalies for p in history])
    axes = plot.Axes(across, _shares(course, expected, at_most=3))
    layers = [
        *(plot.vertical(axes, event, "line alarm") for event in raised),
        plot.horizontal(axes, expected, "line mean"),
        plot.dots(axes, course.ends, course.rates, "period"),
        plot.line(axes, course.ends, course.so_far, "anomaly"),
        _latest(axes, course, "anomaly"),
    ]
    words = plot.Words(
        "anomalies",
        "Rate of anomalies over the stream",
        f"After {course.ends[-1]:,.0f} events the rate is {percent(course.so_far[-1])}; "
        f"{percent(expected)} were expected.",
    )
    return plot.plot(words, axes, layers, SMALL_HEIGHT, x_labels=True)


def _long_run(history: Sequence[Period], alpha: float) -> tuple[Floats, Floats]:
    """Return between which ends the long-run rate lies, as known after each period."""
    events = accumulate(p.events for p in history)
    abstained = accumulate(p.abstained for p in history)
    ends = [rate_interval(n, k, alpha) for n, k in zip(events, abstained, strict=True)]
    low, high = np.array(ends).T
    return low, high


def _course(history: Sequence[Period], hits: Sequence[int]) -> _Course:
    events, counted = np.array([p.events for p in history]), np.array(hits)
    return _Course(
        ends=np.cumsum(events).astype(np.float64),
        rates=counted / events,
        so_far=np.cumsum(counted) / np.cumsum(events),
    )


def _shares(course: _Course, promised: float, at_most: int = 5) -> Axis:
    """Return the axis from nothing to what matters; a few wild periods may lie beyond."""
    settled = course.so_far[len(course.so_far) // 10 :]
    usual = float(np.quantile(course.rates, 0.98))
    highest = max(1.2 * promised, 1.1 * float(settled.max()), 1.1 * usual)
    return linear(0.0, min(1.0, highest or 0.01), percent_label, at_most)


def _latest(axes: plot.Axes, course: _Course, kind: str) -> Element:
    rate = float(course.so_far[-1])
    return plot.mark(axes, float(course.ends[-1]), rate, kind, f"so far: {percent(rate)}")


def _between(history: Sequence[Period]) -> str:
    times = [p.until for p in history if p.until is not None]
    return f", {stretch(times[0], times[-1])}" if times else ""


def _told(history: Sequence[Period]) -> tuple[list[float], list[str]]:
    """Return the edges of the stripes, and what each says."""
    together = -(-len(history) // STRIPES)
    edges, titles = [0.0], []
    for start in range(0, len(history), together):
        periods = history[start : start + together]
        events = sum(p.events for p in periods)
        abstained = sum(p.abstained for p in periods)
        anomalies = sum(p.anomalies for p in periods)
        until = periods[-1].until
        titles.append(
            f"events {edges[-1] + 1:,.0f} to {edges[-1] + events:,.0f}"
            + (f", until {moment(until)}" if until is not None else "")
            + f": {abstained:,} abstained ({percent(abstained / events)}), {anomalies:,} anomalies"
        )
        edges.append(edges[-1] + events)
    return edges, titles
