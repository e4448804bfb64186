"""How often it abstains in the long run, as far as the stream tells, at any time.

A confidence sequence: with probability 1−α the true rate lies in the interval at every moment of
the stream at once, so that one may look after each batch. By Ville's inequality for the mixture of
binomial likelihoods over Jeffreys' Beta(½, ½) (H. Robbins, "Statistical methods related to the law
of the iterated logarithm", 1970): the interval holds each p whose likelihood is at least α times
the mixture's.
"""

from __future__ import annotations

import math

from scipy import optimize, special

PRIOR = 0.5


def rate_interval(events: int, abstained: int, alpha: float) -> tuple[float, float]:
    """The rates that `abstained` of `events` independent events leave plausible, [low, high].

    0 ≤ low ≤ abstained / events ≤ high ≤ 1; [0, 1] where there are no events.
    """
    if events == 0:
        return 0.0, 1.0
    answered = events - abstained
    mixture = special.betaln(PRIOR + abstained, PRIOR + answered) - special.betaln(PRIOR, PRIOR)

    def surplus(p: float) -> float:
        likelihood = special.xlogy(abstained, p) + special.xlog1py(answered, -p)
        return float(likelihood - mixture - math.log(alpha))

    seen = abstained / events
    # By halving: at 0 and 1 the logarithm is infinite.
    low = optimize.bisect(surplus, 0.0, seen, xtol=1e-15) if abstained else 0.0
    high = optimize.bisect(surplus, seen, 1.0, xtol=1e-15) if answered else 1.0
    return float(low), float(high)
