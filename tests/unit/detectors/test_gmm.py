"""GMM with each shape of its covariances, and where its numbers cancel or overflow."""

import numpy as np
import pytest

from detectd.detectors import build, choose, fit
from detectd.detectors.kernels import Unsupported, compiled
from detectd.detectors.scorer import RowScorer

SHAPES = ["full", "tied", "diag", "spherical"]


def fitted(rows, shape, components=1):
    params = {"covariance_type": shape, "n_components": components}
    detector = build("GMM", 0.1, 0, params)
    fit(detector, rows)
    return detector


def sample(width, n=300):
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(n, width)) @ rng.normal(size=(width, width))
    rows[: n // 3] += 9
    return rows


def check(detector, rows):
    np.testing.assert_allclose(
        compiled(detector).score(rows), RowScorer(detector).score(rows), rtol=1e-9, atol=1e-12
    )


@pytest.mark.slow
@pytest.mark.parametrize("width", [1, 3, 8, 17])
@pytest.mark.parametrize("components", [1, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_mixture_scores_as_pyod_does(shape, components, width):
    rows = sample(width)
    detector = fitted(rows, shape, components)
    far = 1e6 * np.random.default_rng(2).normal(size=(9, width))
    check(detector, np.vstack([rows[::5], rows[:20] + 1, far, np.full(width, 5e-324)]))


@pytest.mark.slow
@pytest.mark.parametrize("components", [1, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_rows_that_overflow_get_the_infinity_or_nan_that_pyod_gives(shape, components):
    rows = sample(9)
    signs = np.sign(np.random.default_rng(3).normal(size=(40, 9)))
    probes = np.vstack([scale * signs for scale in (1e150, 1e154, 1e300, 1e308)])
    detector = fitted(rows, shape, components)
    check(detector, probes)
    assert not np.isfinite(compiled(detector).score(probes)).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_densities_are_those_of_the_normal_distribution(shape):
    from scipy.special import logsumexp
    from scipy.stats import multivariate_normal

    rows = sample(3)
    detector = fitted(rows, shape, 2)
    covariances = detector.covariances_
    if shape == "tied":
        covariances = [covariances] * 2
    logs = [
        np.log(weight) + multivariate_normal(mean, covariance).logpdf(rows)
        for weight, mean, covariance in zip(
            detector.weights_, detector.means_, covariances, strict=True
        )
    ]
    np.testing.assert_allclose(compiled(detector).score(rows), -logsumexp(logs, axis=0), rtol=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_plain_form_agrees(shape):
    rows = sample(5)
    kernel = compiled(fitted(rows, shape, 3))
    np.testing.assert_allclose(kernel.score(rows), kernel.reference(rows, *kernel.parts), rtol=1e-9)


@pytest.mark.parametrize("shape", ["full", "tied"])
def test_features_far_from_zero(shape):
    rows = sample(8) + 1e5
    check(fitted(rows, shape, 2), rows)


@pytest.mark.parametrize("shape", ["diag", "spherical"])
def test_sums_that_cancel_are_left_to_pyod(shape):
    rows = sample(8) + 1e5
    detector = fitted(rows, shape, 2)
    with pytest.raises(Unsupported, match="cancel"):
        compiled(detector)
    scorer = choose(detector, rows)
    assert (scorer.how, scorer.doubt) == ("PyOD, a row a call", None)


def test_arrays_of_another_shape_are_refused():
    detector = fitted(sample(3), "full", 2)
    detector.detector_.covariance_type = "diag"
    with pytest.raises(ValueError, match="do not fit"):
        compiled(detector)
