"""PCA and MCD with all their parameters, and where matrices are almost singular."""

import numpy as np
import pytest

from detectd.detectors import choose
from detectd.detectors.kernels import Unsupported, compiled
from detectd.detectors.scorer import RowScorer
from tests.support.against_pyod import fitted


def sample(width, n=300):
    rng = np.random.default_rng(1)
    return rng.normal(size=(n, width)) @ rng.normal(size=(width, width)) + 5


def around(rows):
    rng = np.random.default_rng(2)
    signs = np.sign(rng.normal(size=(9, rows.shape[1])))
    far = [scale * signs for scale in (1e6, 1e154, 1e308, 5e-324)]
    return np.vstack([rows, rows[:50] + rng.normal(size=(50, rows.shape[1])), *far])


def check(detector, rows):
    np.testing.assert_allclose(
        compiled(detector).score(rows), RowScorer(detector).score(rows), rtol=1e-9
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"weighted": False},
        {"standardization": False},
        {"whiten": True},
        {"n_components": 4},
        {"n_components": 0.7, "svd_solver": "full"},
        {"n_selected_components": 2},
        {"n_components": 5, "n_selected_components": 2, "weighted": False},
    ],
)
def test_pca_scores_as_pyod_does_with(params):
    rows = sample(8)
    check(fitted("PCA", rows, **params), around(rows))


@pytest.mark.slow
@pytest.mark.parametrize("params", [{}, {"store_precision": False}, {"assume_centered": True}])
def test_mcd_scores_as_pyod_does_with(params):
    rows = sample(8)
    check(fitted("MCD", rows, **params), around(rows))


@pytest.mark.slow
@pytest.mark.parametrize("width", [1, 2, 7, 16, 130])
@pytest.mark.parametrize("name", ["PCA", "MCD"])
def test_any_number_of_features(name, width):
    rows = sample(width)
    check(fitted(name, rows), around(rows))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["PCA", "MCD"])
def test_features_that_are_almost_the_same(name):
    rows = sample(5)
    rows[:, 0] = rows[:, 1] + 1e-4 * np.random.default_rng(3).normal(size=len(rows))
    check(fitted(name, rows), around(rows))


def test_mcd_is_the_squared_distance_under_its_own_covariance():
    rows = sample(4)
    detector = fitted("MCD", rows)
    steps = rows - detector.location_
    squared = np.einsum("ij,ji->i", steps, np.linalg.solve(detector.covariance_, steps.T))
    np.testing.assert_allclose(compiled(detector).score(rows), squared, rtol=1e-9)


def test_pca_leaves_a_component_without_variance_to_pyod():
    rows = sample(3)
    detector = fitted("PCA", rows)
    detector.selected_w_components_[-1] = 0
    with pytest.raises(Unsupported, match="no variance"):
        compiled(detector)
    scorer = choose(detector, rows)
    assert (scorer.how, scorer.doubt) == ("PyOD, a batch a call", None)


@pytest.mark.parametrize("name", ["PCA", "MCD"])
def test_matrices_that_do_not_fit_are_refused(name):
    detector = fitted(name, sample(3))
    if name == "PCA":
        detector.selected_w_components_ = np.ones(2)
    else:
        detector.detector_.location_ = np.zeros(2)
    with pytest.raises(ValueError, match="do"):
        compiled(detector)
