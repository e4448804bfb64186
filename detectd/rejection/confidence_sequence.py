"""Confidence bounds on the long-run abstention rate that hold at all times simultaneously.

A confidence sequence: with probability 1−α the interval contains the true rate at every moment of
the stream simultaneously, so it may be checked after each batch. It follows from Ville's inequality
for the mixture of binomial likelihoods over Jeffreys' Beta(½, ½) (H. Robbins, "Statistical methods
related to the law of the iterated logarithm", 1970): the interval contains each p whose likelihood
is at least α times the mixture's.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scipy import optimize, special

from detectd.rejection.exact import rate_upper, require_delta

if TYPE_CHECKING:
    from detectd.rejection.zone import Zone

PRIOR = 0.5


def rate_interval(events: int, abstained: int, alpha: float) -> tuple[float, float]:
    """Return the rates that `abstained` of `events` independent events leave plausible, [low,
    high].

    0 ≤ low ≤ abstained / events ≤ high ≤ 1; [0, 1] if there are no events.
    """
    if events == 0:
        return 0.0, 1.0
    answered = events - abstained
    mixture = special.betaln(PRIOR + abstained, PRIOR + answered) - special.betaln(PRIOR, PRIOR)

    def surplus(p: float) -> float:
        likelihood = special.xlogy(abstained, p) + special.xlog1py(answered, -p)
        return float(likelihood - mixture - math.log(alpha))

    seen = abstained / events
    # By bisection: at 0 and 1 the logarithm is infinite.
    low = optimize.bisect(surplus, 0.0, seen, xtol=1e-15) if abstained else 0.0
    high = optimize.bisect(surplus, seen, 1.0, xtol=1e-15) if answered else 1.0
    return float(low), float(high)


def promise_kept(zone: Zone, events: int, abstained: int, delta: float) -> bool:
    """Return whether `abstained` of `events` is consistent with the promise, at any time of the
    stream.

    Half of δ is the model's, half the stream's. A model's rate exceeds its upper bound at 1−δ/2
    with probability δ/2, and the interval at 1−δ/2 ever leaves out the rate with probability δ/2
    at most. So a sound model is ever found not to keep its promise with probability δ at most,
    however often and however long one looks. Raise ConfigError if delta lies outside (0, 1).
    """
    require_delta(delta)
    low, _ = rate_interval(events, abstained, delta / 2)
    return low <= rate_upper(zone.n, zone.width, delta / 2)
