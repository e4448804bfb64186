"""LODA's bins: on their edges, and next to them, a row falls where PyOD puts it alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from detectd.detectors import build, choose, fit
from detectd.detectors.kernels import compiled
from detectd.detectors.kernels.loda import _add_depths
from detectd.detectors.scorer import RowScorer


def fitted(rows, **params):
    detector = build("LODA", 0.1, 0, params)
    fit(detector, rows)
    return detector


def unsure(kernel, rows):
    """How many rows the kernel leaves to numpy."""
    weights, columns, frames, depths, ends, _ = kernel.parts
    return _add_depths(rows, np.empty(len(rows)), weights, columns, frames, depths, ends)


def check(detector, rows):
    np.testing.assert_allclose(
        compiled(detector).score(rows), RowScorer(detector).score(rows), rtol=1e-9
    )


@pytest.mark.parametrize("width", [1, 3, 8, 17])
def test_projections_on_an_edge_and_beside_it(width):
    rng = np.random.default_rng(1)
    detector = fitted(rng.normal(size=(300, width)) + 1, n_random_cuts=20)
    probes = []
    for projection, limits in zip(detector.projections_, detector.limits_, strict=True):
        row = rng.normal(size=width)
        on = row * (limits / projection.dot(row))[:, None]
        probes += [on, np.nextafter(on, np.inf), np.nextafter(on, -np.inf)]
    rows = np.vstack(probes)
    check(detector, rows)
    assert (unsure(compiled(detector), rows) > len(rows) // 2) == (width > 3)


@pytest.mark.parametrize("width", [3, 8])
def test_integers_of_which_many_lie_on_edges(width):
    rows = np.round(2 * np.random.default_rng(2).normal(size=(400, width)))
    check(fitted(rows), rows)


def test_a_fresh_row_is_almost_never_left_to_numpy():
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(1000, 8))
    kernel = compiled(fitted(rows))
    assert unsure(kernel, rng.normal(size=(10_000, 8))) <= 1
    outside = 1e6 * rng.normal(size=(1000, 8))
    assert unsure(kernel, outside) <= 1


@pytest.mark.parametrize("params", [{"n_bins": "auto"}, {"n_bins": 1}, {"n_bins": 200}])
def test_other_numbers_of_bins(params):
    rng = np.random.default_rng(4)
    rows = rng.gamma(1.0, size=(300, 5))
    detector = fitted(rows, n_random_cuts=30, **params)
    check(detector, np.vstack([rows, 3 * rng.normal(size=(200, 5))]))


def test_features_far_from_zero_and_hardly_spread():
    rng = np.random.default_rng(5)
    rows = 1e9 + 1e-4 * rng.normal(size=(300, 6))
    detector = fitted(rows)
    check(detector, np.vstack([rows, 1e9 + 1e-4 * rng.normal(size=(100, 6))]))


def test_a_feature_that_never_changes():
    rows = np.random.default_rng(6).normal(size=(300, 3))
    rows[:, 1] = 0.1
    detector = fitted(rows)
    check(detector, np.vstack([rows, np.nextafter(rows[:50], np.inf)]))


@pytest.mark.parametrize("bins", [10, "auto"])
def test_projections_that_overflow_to_either_side_or_to_nan(bins):
    rng = np.random.default_rng(7)
    detector = fitted(rng.gamma(1.0, size=(300, 16)), n_bins=bins)
    signs = np.sign(rng.normal(size=(50, 16)))
    check(detector, np.vstack([signs * 1e308, signs * np.finfo(float).max, signs * 5e-324]))


ROWS = np.random.default_rng(9).normal(size=(300, 6))


@pytest.fixture(scope="module")
def detector():
    return fitted(ROWS, n_random_cuts=30)


@settings(deadline=None, max_examples=60)
@given(rows=arrays(float, (4, 6), elements=st.floats(allow_nan=False, allow_infinity=False)))
def test_any_row_scores_as_pyod_does_alone(detector, rows):
    check(detector, rows)


def test_bins_of_different_widths_are_refused():
    detector = fitted(ROWS)
    detector.limits_[3, 5] += 1e-9
    with pytest.raises(ValueError, match="one width"):
        compiled(detector)


def test_one_row_and_any_slice_have_the_bits_of_the_whole():
    rng = np.random.default_rng(8)
    rows = np.round(rng.normal(size=(101, 8)), 1)
    scorer = choose(fitted(rows), rows)
    whole = scorer.score(rows)
    for size in (1, 7, 8, 9):
        parts = [scorer.score(rows[i : i + size]) for i in range(0, len(rows), size)]
        assert np.concatenate(parts).tobytes() == whole.tobytes()
