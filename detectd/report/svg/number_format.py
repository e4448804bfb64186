"""Numbers as people read them."""

from __future__ import annotations

import math
from datetime import UTC, datetime


def percent(share: float) -> str:
    """Three digits or so: 14.5%, 2.15%, 0.211%."""
    hundredfold = 100 * share
    if hundredfold == 0 or hundredfold >= 99.95:
        return f"{hundredfold:.0f}%"
    decimals = max(1, 2 - math.floor(math.log10(hundredfold))) if hundredfold < 10 else 1
    return f"{hundredfold:.{decimals}f}%" if decimals < 9 else f"{hundredfold:.0e}%"


def score(value: float) -> str:
    """Return a detector's score, with a minus sign and not a hyphen."""
    if math.isinf(value):
        return "−∞" if value < 0 else "∞"
    return signed(f"{value:.4g}")


def signed(digits: str) -> str:
    """Return a true minus sign in the place of the hyphen."""
    return digits.replace("-", "−")


def decimal_label(value: float, decimals: int) -> str:
    """Return a tick of an axis whose step has that many decimals."""
    if decimals > 5 or abs(value) >= 1e6:
        return signed(f"{value:.3g}").replace("e+", "e")
    return signed(f"{value:,.{max(0, decimals)}f}")


def percent_label(value: float, decimals: int) -> str:
    """Return a tick of an axis of shares."""
    return f"{100 * value:.{max(0, decimals - 2)}f}%"


def count_label(value: float, decimals: int) -> str:
    """Return a tick of an axis of counts: 5,000; from steps of ten thousand on 50k, 200k, 3M."""
    for least, power, letter in ((9, 9, "G"), (6, 6, "M"), (4, 3, "k")):
        if value and -decimals >= least:
            return f"{value / 10.0**power:,.0f}{letter}"
    return decimal_label(value, decimals)


def moment(seconds: float) -> str:
    """Unix time, to the minute."""
    return f"{datetime.fromtimestamp(seconds, UTC):%F %R} UTC"


def stretch(first: float, last: float) -> str:
    """Return a span from one Unix time to another, to the minute, saying nothing twice."""
    begin, end = (datetime.fromtimestamp(seconds, UTC) for seconds in (first, last))
    if f"{begin:%F %R}" == f"{end:%F %R}":
        return moment(last)
    day = "" if begin.date() == end.date() else f"{end:%F} "
    return f"{begin:%F %R} to {day}{end:%R} UTC"
