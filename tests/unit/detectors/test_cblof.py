"""CBLOF and INNE: on which side of a boundary PyOD's product of matrices puts a row."""

import numpy as np
import pytest
from sklearn.cluster import BisectingKMeans, KMeans

from detectd.detectors import choose
from detectd.detectors.kernels import Unsupported, compiled
from tests.parity.rows import adversarial, fresh, generated
from tests.support.against_pyod import check, fitted, kept, one_thread  # noqa: F401 - a fixture

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.slow
@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize(("clusters", "alpha"), [(2, 0.9), (8, 0.9), (8, 0.6)])
@pytest.mark.parametrize("width", [1, 6, 20])
def test_cblof_scores_as_pyod_does_with(width, clusters, alpha, weights):
    rows = generated("plain", 300, width)
    detector = fitted("CBLOF", rows, n_clusters=clusters, alpha=alpha, use_weights=weights)
    check(detector, np.vstack([fresh(rows, 40), adversarial(rows, each=1)]))


def between(offset):
    """A CBLOF with centres at -1, 1 (large) and 5, and rows midway, far from zero if so told."""
    rng = np.random.default_rng(0)
    rows = 0.1 * rng.normal(size=(300, 3))
    rows[:, 0] += np.repeat([-1.0, 1.0, 5.0], (140, 140, 20))
    rows += offset
    detector = fitted("CBLOF", rows, n_clusters=3)
    centres = np.array([[-1.0, 0, 0], [1.0, 0, 0], [5.0, 0, 0]]) + offset
    order = np.argsort(detector.cluster_centers_[:, 0])
    detector.cluster_centers_[order] = centres
    midway = np.array([[0.0, 0, 0], [0.0, 3, 1], [1e-12, 1, 1], [3.0, 0, 1], [0.1, 0, 0]]) + offset
    return detector, midway


@pytest.mark.slow
def test_a_row_midway_between_large_clusters_has_one_distance_to_both():
    detector, midway = between(0.0)
    assert np.isfinite(kept(detector, midway)).all()
    check(detector, midway)


@pytest.mark.slow
def test_far_from_zero_a_row_midway_belongs_where_a_rounding_puts_it():
    detector, midway = between(1e7)
    assert np.isnan(kept(detector, midway)).any()
    check(detector, midway)


def test_weights_make_a_row_midway_one_that_pyod_decides():
    detector, midway = between(0.0)
    detector.use_weights = True
    detector.cluster_sizes_ = detector.cluster_sizes_ + np.arange(3)
    assert np.isnan(kept(detector, midway)).any()
    check(detector, midway)


@pytest.mark.parametrize("estimator", [BisectingKMeans(3, random_state=0)])
def test_clusters_of_another_kind_are_left_to_pyod(estimator):
    rows = generated("plain", 200, 3)
    detector = fitted("CBLOF", rows, clustering_estimator=estimator)
    with pytest.raises(Unsupported, match="BisectingKMeans"):
        compiled(detector)


def test_a_kmeans_of_ones_own_has_a_kernel():
    rows = generated("plain", 200, 3)
    own = KMeans(2, random_state=1, n_init=1)
    check(fitted("CBLOF", rows, clustering_estimator=own), fresh(rows, 40))


def test_clusters_that_do_not_fit_are_refused():
    detector = fitted("CBLOF", generated("plain", 200, 3), n_clusters=2)
    detector.cluster_sizes_ = detector.cluster_sizes_[:1]
    with pytest.raises(ValueError, match="one size for each cluster"):
        compiled(detector)


@pytest.mark.slow
@pytest.mark.parametrize("samples", ["auto", 2, 21, 0.2])
@pytest.mark.parametrize("width", [1, 6, 20])
def test_inne_scores_as_pyod_does_with(width, samples):
    rows = generated("plain", 300, width)
    detector = fitted("INNE", rows, n_estimators=5, max_samples=samples)
    check(detector, np.vstack([rows[:40], adversarial(rows, each=1)]))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "tied", "offset"])
def test_sampled_rows_lie_on_spheres_where_a_rounding_decides(kind):
    rows = generated(kind, 300)
    detector = fitted("INNE", rows, n_estimators=6)
    sampled = np.unique(detector._centroids.reshape(-1, rows.shape[1]), axis=0)
    assert np.isnan(compiled_alone(detector, sampled)).any()
    check(detector, sampled)


def compiled_alone(detector, rows):
    """INNE's scores before the samples that are not sure are looked at; nan where there is one."""
    from detectd.detectors.kernels.inne import _score

    blocks, spheres, _, error = compiled(detector).parts
    scores = np.empty(len(rows))
    _score(rows, scores, blocks, spheres, error)
    return scores


def test_a_fresh_row_is_hardly_ever_on_a_sphere_and_has_a_score_from_zero_to_one():
    rows = np.random.default_rng(0).normal(size=(500, 5))
    probes = np.random.default_rng(1).normal(size=(2_000, 5))
    scores = compiled_alone(fitted("INNE", rows), probes)
    assert np.isfinite(scores).all()
    assert (scores >= 0).all()
    assert (scores <= 1).all()


def test_samples_of_one_row_have_no_spheres():
    rows = generated("plain", 100, 3)
    detector = fitted("INNE", rows, n_estimators=3, max_samples=2)
    detector._centroids_radius[0] = np.inf
    with pytest.raises(Unsupported, match="single row"):
        compiled(detector)
    detector._ratio = detector._ratio[:2]
    detector._centroids_radius = detector._centroids_radius[:2]
    with pytest.raises(ValueError, match="one ratio for each"):
        compiled(detector)


def test_the_choice_takes_these_kernels_and_bits_do_not_depend_on_the_batch():
    rows = generated("tied", 200)
    for name, params in (("CBLOF", {"n_clusters": 2}), ("INNE", {"n_estimators": 4})):
        scorer = choose(fitted(name, rows, **params), rows)
        assert (scorer.how, scorer.doubt) == ("compiled", None)
        whole = scorer.score(rows)
        assert (
            np.concatenate([scorer.score(row[None]) for row in rows]).tobytes() == whole.tobytes()
        )
