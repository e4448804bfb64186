"""The share of the expected anomalies that can be called anomaly under a zone, and the T for it.

Of n+1 gaps between calibration scores, the n−b above the zone are anomaly ranks: on average a share
(n−b)/(n+1) of new scores falls there, while a share γ is expected to be anomalies. The quotient is
the reach. A zone with little reach keeps its promise but is useless: it sends nearly every anomaly
to review.

A rank c is above the zone iff log P(normal | c) < −T, and that log never rises with c. So at least
k ranks are above the zone iff T < −log P(normal | n−k+1): one tail, whatever n is.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

from detectd.rejection.stability import (
    exact_contamination,
    first_n_expecting,
    first_true,
    rank_log_tails,
    require_anomalies,
    smallest_m,
)

if TYPE_CHECKING:
    from detectd.rejection.stability import Stability
    from detectd.rejection.zone import Zone

# The T of the paper's experiments.
PAPER_T = 32.0

# The reach that a chosen T leaves, and the reach below which a warning is due.
WANTED = Fraction(3, 4)
ENOUGH = Fraction(1, 2)

# How far behind the first m that leaves enough there may be one that does not; at most two were
# seen, over contaminations of .005 to .5 and T up to 60.
DIPS = 4

LOG_2 = math.log(2.0)


def reach(zone: Zone, contamination: float) -> float:
    """Return (n − b)/(n + 1) over γ; near 1 for an empty zone, and above it by rounding at most."""
    share = Fraction(zone.n - zone.rank_high, zone.n + 1)
    return float(share / exact_contamination(contamination))


def default_T(  # noqa: N802
    n: int, contamination: float, table: Stability | None = None
) -> float:
    """Return the largest T up to 32 that leaves a reach of three quarters: of n and γ alone.

    The probabilities are those of `table`, if it is there already.

    If no T above log 2 does, it is the largest that leaves as much as can be left; with one
    expected anomaly that is often nothing, and T is 32. Raise ConfigError if γ is out of range, or
    n scores do not expect one anomaly.
    """
    m = require_anomalies(n, contamination)
    for ranks in range(_ranks(n, exact_contamination(contamination), WANTED), 0, -1):
        T = _largest_T(n, m, ranks) if table is None else _below(table.log_p_normal[n - ranks + 1])
        if T > LOG_2:
            return min(T, PAPER_T)
    return PAPER_T


def smallest_n_reaching(contamination: float, T: float | None) -> int:
    """Return an n from which on at least half of γ is in reach, at T or at the T that is chosen.

    For each m the largest n that expects m is tried, at which the reach is smallest; the answer is
    the smallest n of the first such m. Raise ConfigError if γ is out of range.
    """
    share = exact_contamination(contamination)

    def reaches(m: int) -> bool:
        n = first_n_expecting(m + 1, contamination) - 1
        return _largest_T(n, m, _ranks(n, share, ENOUGH)) > _least(T)

    m = smallest_m(reaches)
    # The ranks asked for and the m expected rise in steps that do not coincide: a dip may follow.
    while dips := [later for later in range(m + 1, m + 1 + DIPS) if not reaches(later)]:
        m = dips[-1] + 1
    return first_n_expecting(m, contamination)


def smallest_contamination_reaching(zone: Zone, T: float | None) -> float | None:
    """Return a contamination, of two digits, of which half is in reach with as many scores at T, or
    at the T that is chosen; None if none up to 0.5 is."""
    n = zone.n

    def reaches(contamination: Fraction) -> bool:
        m = math.floor(n * contamination)
        return m >= 1 and _largest_T(n, m, _ranks(n, contamination, ENOUGH)) > _least(T)

    half = n // 2
    if not reaches(Fraction(half, n)):
        return None
    first = first_true(zone.m, half, lambda m: reaches(Fraction(m, n)))
    step = Fraction(10) ** (math.floor(math.log10(first / n)) - 1)
    rounded = math.ceil(Fraction(first, n) / step) * step
    while rounded <= Fraction(1, 2):
        if reaches(rounded):
            return float(rounded)
        rounded += step
    return None


def largest_T_reaching(zone: Zone, contamination: float) -> float | None:  # noqa: N802
    """Return the largest T, of two decimals, that leaves half of γ in reach of these scores; None
    if none above log 2 does."""
    ranks = _ranks(zone.n, exact_contamination(contamination), ENOUGH)
    T = math.floor(100.0 * _largest_T(zone.n, zone.m, ranks)) / 100.0
    return T if T > LOG_2 else None


def beyond(zone: Zone) -> str:
    """Return, in words, which scores can be called anomaly."""
    above = zone.n - zone.rank_high - 1  # calibration scores that a new one need not exceed
    if above < 0:
        return "no score can be called anomaly"
    which = f"all {zone.n:,}" if above == 0 else f"all but {above:,} of the {zone.n:,}"
    return f"only a score above {which} calibration scores can be called anomaly"


def reach_warnings(zone: Zone, contamination: float, T: float | None) -> list[str]:
    """Return one line if less than half of γ can be called anomaly, with what changes it.

    `T` is that of the operator, None if it was chosen. A zone that leaves nothing at all is a
    matter of `reachability_warnings`.
    """
    share = reach(zone, contamination)
    if share >= ENOUGH or not zone.anomaly_reachable:
        return []
    cures = [f"n >= {smallest_n_reaching(contamination, T):,} calibration scores"]
    larger = smallest_contamination_reaching(zone, T)
    if larger is not None:
        cures.append(f"a detector.contamination of at least {larger:g}")
    smaller = None if T is None else largest_T_reaching(zone, contamination)
    if smaller is not None:
        cures.append(f"a rejector.T of at most {smaller:g}")
    return [
        f"with this zone {share:.1%} of the expected anomalies can be called anomaly: "
        f"{beyond(zone)}; for half of them, it takes {' or '.join(cures)}"
    ]


def _ranks(n: int, contamination: Fraction, share: Fraction) -> int:
    """Return the fewest anomaly ranks that leave this share of γ in reach."""
    return math.ceil(share * contamination * (n + 1))


def _largest_T(n: int, m: int, ranks: int) -> float:  # noqa: N802
    """Return the largest T that leaves `ranks` above the zone; log 2 at most if none does."""
    return _below(rank_log_tails(n, m, n - ranks + 1)[1])


def _below(log_p_normal: float) -> float:
    return math.nextafter(-float(log_p_normal), -math.inf)


def _least(T: float | None) -> float:
    """Return what the largest T must exceed, so that T, or any T at all, leaves enough."""
    return LOG_2 if T is None else math.nextafter(T, -math.inf)
