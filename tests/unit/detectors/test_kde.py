"""KDE and OCSVM: sums of Gaussians, and scikit-learn's roundings where they are all there is."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp

from detectd.detectors import choose
from detectd.detectors.kernels import Unsupported, compiled
from detectd.detectors.kernels._exponentials import LOWEST, exponential
from detectd.detectors.scorer import BatchScorer, RowScorer
from tests.parity.rows import adversarial, fresh, generated
from tests.support.against_pyod import check, fitted, kept


@settings(deadline=None)
@given(st.floats(LOWEST, 0.0))
def test_exponentials_are_exact_to_two_units(x):
    with mp.workdps(40):
        exact = mp.exp(mp.mpf(x))
        assert abs(exponential(x) - exact) <= 2 * math.ulp(float(exact))


def test_exponentials_of_what_is_too_small():
    small = [0.0, -0.0, -5e-324, -1.0, LOWEST, -1e4, -1e308, -np.inf]
    numbers = np.array([exponential(number) for number in small])
    assert np.array_equal(numbers[:3], [1, 1, 1])
    assert numbers[3] == pytest.approx(math.exp(-1), rel=4e-16)
    assert (numbers[4:] == numbers[4]).all()
    assert 0 < numbers[4] < 1e-307


@pytest.mark.slow
@pytest.mark.parametrize("bandwidth", [0.05, 1.0, 7.0, "scott", "silverman"])
@pytest.mark.parametrize("width", [1, 4, 18])
def test_kde_scores_as_pyod_does_with(width, bandwidth):
    rows = generated("plain", 300, width)
    check(
        fitted("KDE", rows, bandwidth=bandwidth),
        np.vstack([fresh(rows, 60), 3 * rows[:9]]),
        atol=1e-11,
    )


@pytest.mark.slow
@pytest.mark.parametrize("leaf_size", [1, 7, 1000])
def test_kde_over_trees_of_any_depth(leaf_size):
    rows = generated("tied", 300)
    check(fitted("KDE", rows, leaf_size=leaf_size), fresh(rows, 60), atol=1e-11)


def test_kde_is_minus_the_logarithm_of_the_density():
    rows = generated("plain", 200, 3)
    detector = fitted("KDE", rows, bandwidth=0.8)
    probes = fresh(rows, 20)
    scores = kept(detector, probes)
    assert np.isfinite(scores).all()
    with mp.workdps(40):
        width = mp.mpf(0.8)
        for row, score in zip(probes, scores, strict=True):
            steps = [[mp.mpf(step) for step in row - other] for other in rows]
            total = mp.fsum(mp.exp(-mp.fdot(step, step) / (2 * width**2)) for step in steps)
            density = total / (len(rows) * (2 * mp.pi * width**2) ** mp.mpf(1.5))
            assert score == pytest.approx(float(-mp.log(density)), rel=1e-12)


@pytest.mark.parametrize("kind", ["plain", "tied", "spread"])
def test_kde_leaves_to_pyod_the_rows_on_which_its_roundings_count(kind):
    """Beside each, what PyOD returns is not the density: at times by more than the score itself."""
    rows = generated(kind, 300, 3)
    detector = fitted("KDE", rows)
    outside = np.vstack([rows[:40] * scale for scale in (3, 10, 100, 1e6)])
    scores, theirs = kept(detector, outside), RowScorer(detector).score(outside)
    kernel = compiled(detector)
    true = kernel.reference(outside, *kernel.parts)
    off = ~np.isclose(theirs, true, rtol=1e-9)
    assert off.any() or kind == "spread"
    assert np.isnan(scores[off]).all()
    assert kernel.score(outside).tobytes() == np.where(np.isnan(scores), theirs, scores).tobytes()


def test_kde_keeps_the_rows_among_those_of_training():
    rows = np.random.default_rng(0).normal(size=(2_000, 5))
    probes = np.random.default_rng(1).normal(size=(1_000, 5))
    assert np.isfinite(kept(fitted("KDE", rows), probes)).mean() > 0.99


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"metric": "manhattan"}, "metric 'manhattan'"),
        ({"metric": "minkowski", "metric_params": {"p": 1}}, "metric 'minkowski'"),
        ({"algorithm": "ball_tree"}, "kind of tree"),
    ],
)
def test_kde_is_left_to_pyod_with(params, words):
    rows = generated("plain", 100, 3)
    detector = fitted("KDE", rows, **params)
    with pytest.raises(Unsupported, match=words):
        compiled(detector)
    scorer = choose(detector, rows)
    assert isinstance(scorer, BatchScorer)
    assert scorer.doubt is None


@pytest.mark.parametrize("attribute", [{"kernel": "tophat"}, {"rtol": 1e-4}, {"atol": 1e-4}])
def test_kde_is_left_to_pyod_where_its_estimate_is_another(attribute):
    detector = fitted("KDE", generated("plain", 100, 3))
    vars(detector.kde_).update(attribute)
    with pytest.raises(Unsupported, match="tolerance"):
        compiled(detector)


@pytest.mark.slow
@pytest.mark.parametrize(
    "params", [{}, {"gamma": "scale"}, {"gamma": 20.0}, {"nu": 0.05}, {"nu": 0.9}]
)
@pytest.mark.parametrize("width", [1, 6, 33])
def test_ocsvm_scores_as_pyod_does_with(width, params):
    rows = generated("plain", 300, width)
    check(
        fitted("OCSVM", rows, **params),
        np.vstack([fresh(rows, 60), adversarial(rows, each=1)]),
        atol=1e-11,
    )


@pytest.mark.parametrize("kernel", ["linear", "poly", "sigmoid"])
def test_ocsvm_is_left_to_pyod_with_the_kernel(kernel):
    rows = generated("plain", 100, 3)
    detector = fitted("OCSVM", rows, kernel=kernel)
    with pytest.raises(Unsupported, match=kernel):
        compiled(detector)
    assert choose(detector, rows).doubt is None


def test_weights_that_do_not_fit_the_support_vectors_are_refused():
    detector = fitted("OCSVM", generated("plain", 100, 3))
    detector.detector_.support_vectors_ = detector.detector_.support_vectors_[:-1]
    with pytest.raises(ValueError, match="one weight for each"):
        compiled(detector)
