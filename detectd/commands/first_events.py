"""Warn that the default threshold may abstain from the first events of a fault."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from detectd.rejection.promise import Terms
    from detectd.settings import Settings

# Give a hint below this reach; this T hardly abstains.
WANTED, LOW = 0.9, 1.0


def first_events_hint(settings: Settings, n: int, terms: Terms) -> str | None:
    """Return the share of the expected anomalies in the zone of n calibration scores under the
    default T, and under a low one; None if T was chosen, the detector does not sum up surprises, or
    the share is small."""
    chosen = terms.T is not None or terms.max_abstain_rate is not None
    if chosen or settings.detector.name != "TailSum":
        return None
    from detectd.rejection import reach
    from detectd.rejection.promise import planned_zone

    taken, left = (
        min(1.0, reach(planned_zone(n, each), terms.contamination))
        for each in (terms, replace(terms, T=LOW))
    )
    if taken >= WANTED or left <= taken:
        return None
    return (
        f"rejector.T is not set: the zone takes {1 - taken:.0%} of the expected anomalies, the "
        "weakest ones; in metrics over time those are the first events of a fault, and T = "
        f"{LOW:.0f} takes {1 - left:.0%}"
    )
