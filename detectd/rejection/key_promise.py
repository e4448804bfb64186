"""The promises of the zones of single keys, compared with what the stream did.

Let zone z have w_z of the n_z + 1 gaps between its scores, and of N_z events so far A_z in it.

What was promised for these events is the mixture of the zones that answered: Σ N_z·w_z/(n_z+1) of
them on average. Masses of different keys are independent, as their calibration scores are, and
that of a zone has the variance p·(1−p)/(n_z+2) with p = w_z/(n_z+1). So with the shares s_z of the
events, mean + σ·√((1−δ)/δ) bounds the mixture's rate with probability 1−δ (Cantelli's inequality),
where σ² = Σ s_z²·p(1−p)/(n_z+2). For a single zone it is the exact quantile.

If too few scores are left for the other keys, their zone is that of all scores. Its mass depends on
those of the keys then, so the deviations are added instead of the variances; and events of the
others are not exchangeable with all scores, so they are no evidence.

Whether the promises are kept is judged by their likelihood. While the events of a key are
exchangeable with its calibration scores, they fall into the zone as the draws of a Pólya urn do:
the next one with probability (w_z + A_z)/(n_z + 1 + N_z), whatever other keys did in between, and
whenever its events come. Against it stands an urn that begins with more, by a factor in the odds:
w' of the n_z + 1. The quotient of the two is a ratio of Beta functions of the counts alone,

    B(w'+A, n+1−w'+N−A) / B(w', n+1−w')  ·  B(w, n+1−w) / B(w+A, n+1−w+N−A),

and a martingale with mean 1, as are products of it over zones, and averages of those. Half of the
evidence is the product over all zones, which sees a small excess that all keys share, and half the
average over single zones, which sees one key that goes astray. By Ville's inequality it ever
reaches 1/δ with probability δ at most, however often one looks. Events that were not counted, say
those between the last note of the counts and a crash, do no harm: the rest is exchangeable too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from detectd.rejection.exact import ExactPromise, expected_cost, rate_upper, require_delta
from detectd.rejection.promise import Mixture

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from detectd.rejection.exact import Costs
    from detectd.rejection.promise import Terms
    from detectd.rejection.zone import Zone

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

# The odds of abstention that promises are tested against, as multiples of the promised ones.
ODDS = np.array([1.05, 1.1, 1.2, 1.5, 2.0, 4.0])


@dataclass(frozen=True, slots=True, eq=False)
class KeyCounts:
    """The events of each of K zones, and how many of them were abstained from; (K,) each."""

    events: Ints
    abstained: Ints

    @classmethod
    def none(cls, zones: int) -> KeyCounts:
        """Return the counts before any event."""
        return cls(np.zeros(zones, dtype=np.int64), np.zeros(zones, dtype=np.int64))

    def plus(self, places: npt.NDArray[np.intp], abstained: npt.NDArray[np.bool_]) -> KeyCounts:
        """Return the counts with k more events, in the zones at `places` (k,)."""
        size = len(self.events)
        return KeyCounts(
            self.events + np.bincount(places, minlength=size),
            self.abstained + np.bincount(places[abstained], minlength=size),
        )


class KeyPromises:
    """The promises of K zones. With `mixed` the last is that of the scores of all of them."""

    def __init__(self, zones: Sequence[Zone], *, mixed: bool = False) -> None:
        self.n: Ints = np.array([zone.n for zone in zones], dtype=np.int64)
        self.width: Ints = np.array([zone.width for zone in zones], dtype=np.int64)
        self.above: Ints = np.array([zone.n - zone.rank_high for zone in zones], dtype=np.int64)
        self._zones = zones
        self._mixed = mixed
        self._last: tuple[KeyCounts, float, bool] | None = None  # of `kept`

    @property
    def expected(self) -> Floats:
        """Return the expected abstention rate of each zone, (K,)."""
        return np.asarray(self.width / (self.n + 1))

    def mixture(self, weights: Floats | Ints, delta: float) -> Mixture:
        """Return the rates of events that fall to the zones by `weights` (K,), not all zero.

        Raise ConfigError if delta lies outside (0, 1).
        """
        require_delta(delta)
        answering, shares, p = np.flatnonzero(weights), weights / weights.sum(), self.expected
        rate = float(shares @ p)
        if len(answering) == 1:
            upper = self.upper(int(answering[0]), delta)
        else:
            variance = self._variance(shares, p * (1.0 - p))
            upper = min(1.0, rate + _cantelli(variance, delta))
        return Mixture(rate, upper, float(shares @ (self.above / (self.n + 1))))

    def exact(self, weights: Floats, terms: Terms) -> ExactPromise:
        """Return the exact figures of such events, over all contaminations that are plausible.

        A cost is at most c_fn·γ + c_fp·A + c_r·R, which is linear in γ and the masses, so its bound
        is Cantelli's as well. With one zone alone they are those of that zone.
        """
        delta, costs, shares = terms.delta, terms.costs, weights / weights.sum()
        rates = self.mixture(weights, delta)
        a, r = self.above / (self.n + 1), self.expected
        fp, c = costs.false_positive, costs.rejection
        spread = fp**2 * a * (1 - a) + c**2 * r * (1 - r) - 2.0 * fp * c * a * r
        variance = self._variance(shares, np.maximum(spread, 0.0))
        gammas = np.array(terms.plausible or [terms.contamination])
        variance += costs.false_negative**2 * float(gammas.var())
        mean = costs.false_negative * float(gammas.mean()) + float(shares @ (fp * a + c * r))
        each = {zone: _mean_cost(zone, gammas, costs) for zone in set(self._zones)}
        expected = np.array([each[zone] for zone in self._zones])
        return ExactPromise(
            expected_rejection_rate=rates.rejection_rate,
            rejection_rate_upper=rates.rejection_rate_upper,
            delta=delta,
            expected_cost_bound=float(shares @ expected),
            cost_upper=mean + _cantelli(variance, delta),
        )

    def _variance(self, shares: Floats, spread: Floats) -> float:
        """Return the variance of a sum over the zones by `shares`, if that of zone z is
        spread/(n_z+2); an upper bound on it, if they are not independent."""
        deviations = shares * np.sqrt(spread / (self.n + 2))
        return float(deviations.sum() ** 2 if self._mixed else deviations @ deviations)

    def upper(self, place: int, delta: float) -> float:
        """Return the exact bound on the abstention rate of one zone."""
        return rate_upper(int(self.n[place]), int(self.width[place]), delta)

    def kept(self, counts: KeyCounts, delta: float) -> bool:
        """Return whether the counts are consistent with all promises, however often one looks.

        The last answer is remembered: of many keys it takes a while, and metrics ask again.
        """
        require_delta(delta)
        last = self._last
        if last is None or last[0] is not counts or last[1] != delta:
            each = self._log_evidence(counts)
            whole = special.logsumexp(each.sum(axis=0)) - math.log(each.shape[1])
            single = special.logsumexp(each) - math.log(each.size)
            sound = np.logaddexp(whole, single) - math.log(2.0) < -math.log(delta)
            last = self._last = counts, delta, bool(sound)
        return last[2]

    def kept_by(self, place: int, counts: KeyCounts, delta: float) -> bool:
        """Return whether the counts of one zone are consistent with its own promise."""
        require_delta(delta)
        each = self._log_evidence(counts)[place]
        return bool(special.logsumexp(each) - math.log(len(each)) < -math.log(delta))

    def excess(self, counts: KeyCounts) -> Floats:
        """Return by how many standard deviations the abstentions of each zone exceed their expected
        number, (K,); 0 without events.

        The variance of A_z is that of the urn: N·p·(1−p)·(n+1+N)/(n+2).
        """
        events, p = counts.events, self.expected
        variance = events * p * (1.0 - p) * (self.n + 1 + events) / (self.n + 2)
        surplus = counts.abstained - events * p
        scale = np.sqrt(variance)
        return np.divide(surplus, scale, out=np.zeros(len(events)), where=scale > 0.0)

    def worst_excess(self, counts: KeyCounts) -> float:
        """Return by how much the abstention rate of the key with the largest `excess` is above its
        expected one; 0 if there is none. The last zone is no key's."""
        excess = self.excess(counts)[:-1]
        if not len(excess) or excess.max() <= 0.0:
            return 0.0
        worst = int(excess.argmax())
        return float(counts.abstained[worst] / counts.events[worst] - self.expected[worst])

    def _log_evidence(self, counts: KeyCounts) -> Floats:
        """Return the log likelihood ratio of each zone and of each of the odds, (K, len(ODDS)).

        A zone that holds no gap, or all, is no evidence; nor is one of the scores of all.
        """
        total = (self.n + 1.0)[:, None]
        p = np.clip(self.expected, 0.5 / (self.n + 1), 1.0 - 0.5 / (self.n + 1))[:, None]
        tilted = p * ODDS / (1.0 + p * (ODDS - 1.0))
        a, n = counts.abstained[:, None], counts.events[:, None]

        def log_marginal(mean: Floats) -> Floats:
            alpha, beta = total * mean, total * (1.0 - mean)
            return np.asarray(special.betaln(alpha + a, beta + n - a) - special.betaln(alpha, beta))

        ratios = log_marginal(tilted) - log_marginal(p)
        informative = (self.width > 0) & (self.width <= self.n)
        informative[-1] &= not self._mixed
        return np.where(informative[:, None], ratios, 0.0)


def _mean_cost(zone: Zone, gammas: Floats, costs: Costs) -> float:
    """Return the expected cost of a zone over equally likely contaminations (k,)."""
    return float(np.mean([expected_cost(zone, each, costs) for each in gammas.tolist()]))


def _cantelli(variance: float, delta: float) -> float:
    """Return what a variable exceeds its mean by with probability δ at most."""
    return math.sqrt(variance * (1.0 - delta) / delta)
