"""Estimate the share of anomalies when it is not known: γGMM.

L. Perini, P.-C. Bürkner and A. Klami, "Estimating the Contamination Factor's Distribution in
Unsupervised Anomaly Detection", ICML 2023:

    scores    a panel of detectors scores the rows; logarithms, standardised
    mixture   a Dirichlet process mixture of Gaussians over these
    order     its components, by how far out and how narrow they are: r = mean of μ / (1 + σ)
    joint     the probability that the first k of them are the anomalies, by a sigmoid in r whose
              two parameters say what one believes beforehand: no anomalies at all with probability
              `NONE`, and more than `MANY` with probability `TOO_MANY`
    share     for each k, the mass of the first k components is a Beta variable

The paper samples from the posterior. Here only a component's parameters are sampled; the rest is
the mixture of Betas itself, so its mean and quantiles are exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import optimize, special

from detectd.detectors import build, fit, training_scores
from detectd.errors import DetectdError
from detectd.models.model import Contamination
from detectd.quiet import quiet

if TYPE_CHECKING:
    import numpy.typing as npt
    from sklearn.mixture import BayesianGaussianMixture

    Array = npt.NDArray[np.float64]

PANEL = ("KNN", "IForest", "LOF", "HBOS", "PCA", "COPOD", "OCSVM", "LODA", "GMM")
# Fewer detectors than this are not enough, and fewer rows have no components.
FEWEST_DETECTORS, FEWEST_ROWS = 3, 50
# A mixture of this many rows takes seconds; of more, minutes for little gain.
MOST_ROWS = 1000

# Logarithms nearer to each other than this differ by rounding.
NO_SPREAD = 1e-9

NONE, MANY, TOO_MANY = 0.01, 0.15, 0.01
COMPONENTS, CONCENTRATION, ITERATIONS = 50, 0.01, 500
STEEPEST = 50.0
DRAWS = 1000
TRIES = 4
# A component needs at least this many rows.
SMALLEST = 2.0

LARGEST = 0.5
POINTS = 50


def estimate(rows: Array, seed: int) -> Contamination:
    """Return the contamination of rows (N, d) without missing features; of more than 1,000, a
    sample.

    Raise DetectdError if they are too few, or too few detectors can be fitted to them.
    """
    require_rows(len(rows))
    rng = np.random.default_rng(seed)
    return from_scores(panel_scores(rng.permutation(rows)[:MOST_ROWS], seed), seed)


def require_rows(total: int) -> None:
    """Raise DetectdError if there are too few rows for an estimate."""
    if total < FEWEST_ROWS:
        raise DetectdError(
            f"training: {total} rows are too few to estimate the contamination; give at least "
            f"{FEWEST_ROWS}, or set detector.contamination to a number"
        )


def panel_scores(rows: Array, seed: int) -> Array:
    """Return the scores (N, M) of the panel's detectors, without those that fail or give equal
    scores."""
    columns = []
    for name in PANEL:
        detector = build(name, 0.1, seed, {})
        try:
            fit(detector, rows)
        except DetectdError:
            continue
        scores = training_scores(detector)
        if _tells_apart(scores):
            columns.append(scores)
    if len(columns) < FEWEST_DETECTORS:
        raise DetectdError(
            f"training: only {len(columns)} of {len(PANEL)} detectors can be fitted to the rows, "
            "too few to estimate the contamination; set detector.contamination to a number"
        )
    return np.column_stack(columns)


def _tells_apart(scores: Array) -> bool:
    """Return whether scores (N,) are finite, and still differ once the logarithm is taken."""
    if not np.isfinite(scores).all():
        return False
    with np.errstate(over="ignore"):
        logs = _logs(scores)
    return bool(np.isfinite(logs).all() and np.ptp(logs) > NO_SPREAD)


def _logs(scores: Array) -> Array:
    result: Array = np.log(scores - scores.min(axis=0) + 0.01)
    return result


def from_scores(scores: Array, seed: int) -> Contamination:
    """Return the contamination of rows with these scores (N, M), whose logarithms all differ."""
    logs = _logs(scores)
    standard = (logs - logs.mean(axis=0)) / logs.std(axis=0)
    # Several mixtures fit; take the first that is consistent with the prior.
    for attempt in range(TRIES):
        shares = _shares(_mixture(standard, seed + attempt), np.random.default_rng(seed))
        if shares.as_believed:
            break
    return _settled(shares)


@dataclass(frozen=True, slots=True, eq=False)
class Shares:
    """The distribution of the share of anomalies: 0 with probability `NONE`, else a mixture of
    Betas.

    `weights` (K,) sum to 1 − `NONE`, `alpha` and `beta` (K,) are the Betas' parameters; the last of
    them is the point 1. `as_believed` is false if too many anomalies are more likely than the
    prior, however steep the sigmoid: the outermost component is then a large one.
    """

    weights: Array
    alpha: Array
    beta: Array
    as_believed: bool

    def up_to(self, share: float) -> float:
        """Return the probability that the share is at most `share`, in [0, 1)."""
        return NONE + float(self.weights @ special.betainc(self.alpha, self.beta, share))


def _mixture(standard: Array, seed: int) -> BayesianGaussianMixture:
    from sklearn.mixture import BayesianGaussianMixture
    from threadpoolctl import threadpool_limits

    mixture = BayesianGaussianMixture(
        n_components=min(COMPONENTS, len(standard) - 1),
        weight_concentration_prior_type="dirichlet_process",
        weight_concentration_prior=CONCENTRATION,
        max_iter=ITERATIONS,
        random_state=seed,
    )
    # One thread: the matrices are small, and the centres are summed in the same order each time.
    with quiet(), threadpool_limits(1):
        return mixture.fit(standard)


def _shares(mixture: BayesianGaussianMixture, rng: np.random.Generator) -> Shares:
    """Return the posterior of a fitted mixture, of components of at least two rows."""
    rows = mixture.weight_concentration_[0]
    kept = np.flatnonzero(rows >= SMALLEST)
    outwardness = np.stack([_outwardness(mixture, k, rng) for k in kept.tolist()])
    order = np.argsort(-outwardness.mean(axis=1))
    outwardness = outwardness[order]
    # The weight of excluded components is distributed over the others.
    masses = rows[kept][order] + (rows.sum() - rows[kept].sum()) / len(kept)
    alpha = np.cumsum(masses)
    beta = np.maximum(alpha[-1] - alpha, np.finfo(float).tiny)
    many = special.betaincc(alpha, beta, MANY)
    means = outwardness.mean(axis=1, keepdims=True)

    def too_many(steepness: float) -> float:
        return float(many @ _joint(steepness, means, means[0])[:, 0]) - TOO_MANY

    as_believed = too_many(STEEPEST) <= 0.0
    steepness = STEEPEST
    if as_believed and too_many(0.0) > 0.0:
        steepness = optimize.brentq(too_many, 0.0, STEEPEST)
    weights = _joint(steepness, outwardness, means[0]).mean(axis=1)
    return Shares(weights * (1.0 - NONE) / weights.sum(), alpha, beta, as_believed)


def _outwardness(mixture: BayesianGaussianMixture, k: int, rng: np.random.Generator) -> Array:
    """Return draws (DRAWS,) of r from the component's normal-inverse-Wishart posterior."""
    from scipy import stats

    degrees, width = mixture.degrees_of_freedom_[k], mixture.means_.shape[1]
    scale = mixture.covariances_[k] * degrees
    covariances = stats.invwishart.rvs(degrees, scale, size=DRAWS, random_state=rng)
    covariances = covariances.reshape(DRAWS, width, width)
    spreads = np.linalg.cholesky(covariances / mixture.mean_precision_[k])
    shifts = (spreads @ rng.normal(size=(DRAWS, width, 1)))[:, :, 0]
    deviations = np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
    result: Array = ((mixture.means_[k] + shifts) / (1.0 + deviations)).mean(axis=1)
    return result


def _joint(steepness: float, outwardness: Array, outermost: Array) -> Array:
    """Return the probability (K, draws) that exactly the first k components are anomalous.

    Each is, given that those before it are, with a probability that is 1 − `NONE` at `outermost`
    and falls with the distance to it.
    """
    odds = special.logit(1.0 - NONE) - steepness * (outermost - outwardness)
    anomalous = special.expit(odds)
    ends = np.vstack([1.0 - anomalous[1:], np.ones_like(anomalous[:1])])
    joint: Array = np.cumprod(anomalous, axis=0) * ends
    return joint


def _settled(shares: Shares) -> Contamination:
    """Return equally likely shares, up to the largest possible contamination."""
    within = shares.up_to(LARGEST)

    def share(probability: float) -> float:
        if shares.up_to(0.0) >= probability * within:
            return 0.0
        return float(
            optimize.brentq(lambda g: shares.up_to(g) - probability * within, 0.0, LARGEST)
        )

    points = tuple(share((i + 0.5) / POINTS) for i in range(POINTS))
    return Contamination(float(np.mean(points)), points)
