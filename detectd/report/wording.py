"""The promise in words, from the figures of `report.figures`, for all output.

A probability is printed only beside a bound that has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

NO_LAW = "no bound holds: its calibration has no exact law"
TIED = "which tied scores at an edge of the zone can break"


def abstention_sentence(exact: Mapping[str, Any]) -> str:
    """Return how often it abstains, and the bound on that as far as there is one."""
    expected = f"{exact['expected_rejection_rate']:.3%}"
    upper = exact["rejection_rate_upper"]
    if upper is None:
        return f"abstains from about {expected} of events; {NO_LAW}"
    if not exact.get("valid", True):
        return f"abstains from {expected} of events on average, at most {upper:.3%}, {TIED}"
    return (
        f"abstains from {expected} of events on average, at most {upper:.3%} with probability "
        f"{1 - exact['delta']:g}"
    )


def reach_sentence(reach: float) -> str:
    """Return the share of the expected anomalies that the zone leaves. By rounding, `reach` may
    exceed 1."""
    return f"lets {min(reach, 1.0):.1%} of the expected anomalies be called anomaly"


def rate_doubt(exact: Mapping[str, Any]) -> str:
    """Return why the bound on the abstention rate is invalid; empty if it is valid."""
    if exact["rejection_rate_upper"] is None:
        return "no exact law"
    return "" if exact.get("valid", True) else "not a bound: ties"


def cost_doubt(exact: Mapping[str, Any]) -> str:
    """Return why the bound on the cost is invalid; empty if it is valid."""
    doubt = rate_doubt(exact)
    return doubt or ("" if exact.get("cost_valid", True) else "estimated contamination")


def standing(inside: bool | None) -> str:
    """Return whether the promise holds, for the end of a sentence."""
    if inside is None:
        return "nothing was promised"
    return "inside the promise" if inside else "OUTSIDE the promise"


def since(observed: Mapping[str, Any]) -> str:
    """Return when the events began to be counted, to follow their number; empty if that is not
    known."""
    moment: str | None = observed.get("since")  # older services say none
    return f" since {moment[:19].replace('T', ' ')} UTC" if moment else ""


def figure(value: float | None) -> str:
    """Return a figure in a column of 14, or a dash."""
    return f"{'-':>14}" if value is None else f"{value:14.6f}"
