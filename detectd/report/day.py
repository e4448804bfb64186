"""The figures of a day of N events: alerts and reviews, and the bounds on errors."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from detectd.rejection import Costs, expected_cost, finite_history, most_inside

if TYPE_CHECKING:
    from collections.abc import Iterator

    from detectd.rejection import Zone
    from detectd.rejection.promise import Promise

COLUMNS = ("alerts", "reviews", "missed", "false_alerts")


def day_figures(promise: Promise, events: int) -> dict[str, Any]:
    """Return the figures of a day of `events`: averages, and bounds with probability 1 − δ.

    An alert is an anomaly verdict, a review an abstention. Missed anomalies and false alerts are
    those of the worst placement of a share γ of anomalies, so their averages are bounds too. All
    but the averages of alerts and reviews are null if the calibration has no law.
    """
    zone, terms = promise.rejector.zone, promise.terms
    size = zone.n + 1
    day: dict[str, Any] = {
        "events": events,
        "alerts": events * (zone.n - zone.rank_high) / size,
        "reviews": events * zone.width / size,
        "missed": None,
        "false_alerts": None,
        **{f"{name}_upper": None for name in COLUMNS},
    }
    if promise.exact is None:
        return day
    shares = terms.plausible or (terms.contamination,)
    worst = finite_history(zone, shares, events, terms.delta, terms.costs)
    return day | {
        "missed": events * _mean(zone, shares, Costs(0.0, 1.0, 0.0)),
        "false_alerts": events * _mean(zone, shares, Costs(1.0, 0.0, 0.0)),
        # Anomaly ranks are as many gaps as any others.
        "alerts_upper": most_inside(_anomaly_ranks(zone), events, terms.delta),
        "reviews_upper": most_inside(zone, events, terms.delta),
        "missed_upper": worst.false_negatives,
        "false_alerts_upper": worst.false_positives,
    }


def _anomaly_ranks(zone: Zone) -> Zone:
    return replace(zone, rank_low=zone.rank_high + 1, rank_high=zone.n)


def _mean(zone: Zone, shares: tuple[float, ...], costs: Costs) -> float:
    return sum(expected_cost(zone, share, costs) for share in shares) / len(shares)


def day_lines(found: dict[str, Any]) -> Iterator[str]:
    """Yield the days of a plan as a table; nothing if it has none."""
    if found["events_per_day"] is None:
        return
    yield (
        f"A day of {found['events_per_day']:,} events, on average / at most with probability "
        f"{1 - found['delta']:g} each:"
    )
    yield f"{'n':>8}" + "".join(f"{name:>28}" for name in HEADS)
    yield from (_row(plan) for plan in found["plans"] if "day" in plan)
    yield ""


HEADS = ("alerts", "reviews", "missed, worst case", "false alerts, worst")


def _row(plan: dict[str, Any]) -> str:
    day = plan["day"]
    cells = (f"{_count(day[name])} / {_count(day[f'{name}_upper'])}" for name in COLUMNS)
    return f"{plan['n']:>8}" + "".join(f"{cell:>28}" for cell in cells)


def _count(events: float | None) -> str:
    if events is None:
        return "-"
    return f"{events:,.1f}" if 0 < events < 10 and events != int(events) else f"{events:,.0f}"
