"""Columns in units of their own spread."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from detectd.detectors import Scaling, build, choose, choose_scaled, fit
from detectd.detectors.catalogue import CATALOGUE

SCALES = ("standard", "robust")


def rows(count=400, seed=0):
    """Bytes, a share, and a temperature."""
    return np.random.default_rng(seed).normal([3e9, 0.5, 20.0], [5e8, 0.1, 3.0], (count, 3))


def test_a_normal_column_has_mean_0_and_deviation_1_either_way():
    for scale in SCALES:
        scaled = Scaling.of(rows(20_000), scale)(rows(20_000))
        assert np.allclose(scaled.mean(axis=0), 0.0, atol=0.03)
        assert np.allclose(scaled.std(axis=0), 1.0, atol=0.03)


def test_a_few_anomalies_move_the_deviation_and_not_the_quartiles():
    some = rows()
    some[:8] *= 1e6
    robust, standard = (Scaling.of(some, scale).spread for scale in ("robust", "standard"))
    assert np.allclose(robust, Scaling.of(rows(), "robust").spread, rtol=0.1)
    assert (standard > 1e4 * robust).all()


def test_a_column_with_one_value_for_most_takes_its_deviation():
    column = np.zeros((100, 1))
    column[:10] = 7.0
    assert Scaling.of(column, "robust").spread == pytest.approx(column.std())


@pytest.mark.parametrize("scale", SCALES)
def test_constants_and_flags_stay_as_they_are(scale):
    flag = (np.arange(100) % 10 == 0).astype(float)
    still = np.column_stack([flag, np.full(100, 5.0), np.zeros(100)])
    assert np.array_equal(Scaling.of(still, scale)(still), still)


numbers = st.floats(allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize("scale", SCALES)
@given(
    training=arrays(float, st.tuples(st.integers(2, 30), st.just(2)), elements=numbers),
    row=arrays(float, (1, 2), elements=numbers),
)
def test_whatever_the_rows_there_are_finite_numbers_in_the_same_order(scale, training, row):
    scaling = Scaling.of(training, scale)
    both = scaling(np.vstack([training, row]))
    assert np.isfinite(both).all()
    assert np.array_equal(both[-1:], scaling(row))
    for column, values in zip(both.T, np.vstack([training, row]).T, strict=True):
        ordered = column[np.argsort(values)]
        assert (ordered[1:] >= ordered[:-1]).all()  # a difference could overflow


@pytest.mark.parametrize("scale", SCALES)
@given(powers=st.lists(st.integers(-40, 40), min_size=3, max_size=3))
def test_units_make_no_difference_to_the_last_bit(scale, powers):
    units = 2.0 ** np.array(powers)
    plain, other = Scaling.of(rows(), scale), Scaling.of(rows() * units, scale)
    assert np.array_equal(plain(rows()), other(rows() * units))


@pytest.mark.parametrize("kernels", [True, False])
def test_a_detector_of_distances_sees_the_small_column(kernels):
    """Without, the bytes are all that a distance consists of."""
    fault = np.array([[3e9, 2.0, 20.0]])
    ranks = {}
    for scale in ("none", "robust"):
        scaling = Scaling.of(rows(), scale)
        detector = build("KNN", 0.1, 0, {})
        fit(detector, rows() if scaling is None else scaling(rows()))
        scorer = choose_scaled(detector, rows(), scaling, kernels=kernels)
        assert scorer.doubt is None
        ranks[scale] = (scorer.score(rows(seed=1)) < scorer.score(fault)).mean()
    assert ranks["none"] < 0.9
    assert ranks["robust"] == 1.0


# MAD takes one column, and TailSum wants columns that are in one unit already. The histograms of
# HBOS and LODA depend on units, though they measure no distance.
OTHERS = {"HBOS", "LODA", "MAD", "TailSum"}
# PyOD takes half a millisecond for each of INNE's samples and rows.
FEWER = {"INNE": {"n_estimators": 10}}
COMPARED = sorted(
    name for name, entry in CATALOGUE.items() if not entry.torch and name not in OTHERS
)


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPARED)
def test_units_matter_to_those_that_are_said_to_measure(name):
    """The ranks of fresh rows, with one column in another unit."""
    rng = np.random.default_rng(3)
    training, fresh = rng.normal(size=(300, 3)), 2.0 * rng.normal(size=(100, 3))
    ranks = []
    for unit in (1.0, 1024.0):
        detector = build(name, 0.1, 0, FEWER.get(name, {}))
        units = np.array([unit, 1.0, 1.0])
        fit(detector, training * units)
        ranks.append(choose(detector, training * units).score(fresh * units).argsort().argsort())
    alike = np.corrcoef(*ranks)[0, 1]
    assert (alike < 0.95) == CATALOGUE[name].measures, alike
