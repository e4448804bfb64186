"""Warn if the costs make the decision trivial.

Two policies need no data. *Never decide* abstains from every event, at c_r per event. *One verdict
for all* costs γ·c_fn per event (normal) or (1−γ)·c_fp (anomaly). The worst cost of a model,
c_fn·min(γ, N) + c_fp·min(A, 1−γ) + c_r·R, is concave in its masses (N, R, A), so no model's bound
is below the cheapest of the three: if that is c_r, never deciding has the best bound.

An event that is an anomaly with probability p costs p·c_fn if called normal and (1−p)·c_fp if
called anomaly. The smaller of the two is largest at p = c_fp/(c_fp+c_fn), where both are
c_fp·c_fn/(c_fp+c_fn). If c_r is above that, a verdict is the cheaper choice however uncertain the
event (C. K. Chow, "On optimum recognition error and reject tradeoff", 1970).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from detectd.rejection.exact import Costs


def cost_warnings(contamination: float, costs: Costs) -> list[str]:
    """Return one line if never deciding has the lowest bound, or if abstaining never pays."""
    false, missed, rejection = costs.false_positive, costs.false_negative, costs.rejection
    blind = min(contamination * missed, (1.0 - contamination) * false)
    doubtful = false * missed / (false + missed) if false + missed else 0.0
    sensible = (
        "set rejector.cost_rejection to the cost of a review relative to a false alarm and a "
        f"missed anomaly; deciding and abstaining both make sense between {blind:g} and "
        f"{doubtful:g}"
    )
    if rejection < blind:
        return [
            "at these costs nothing guarantees that deciding pays: abstaining from every event "
            f"costs {rejection:g} an event, and no bound for a model that decides is lower, "
            f"because even the cheaper verdict for all events costs {blind:g}; "
            f"{sensible}"
        ]
    if rejection > doubtful and false + missed:
        return [
            f"at these costs abstaining never pays: an abstention costs {rejection:g}, and the "
            f"cheaper verdict on an event costs at most {doubtful:g} on average, however "
            f"uncertain the event; {sensible}"
        ]
    return []
