"""Every detector on offer ranks rows far outside high, or the model is refused with the reason."""

from __future__ import annotations

import importlib.util
from types import SimpleNamespace

import numpy as np
import pytest

from detectd.detectors import build, choose, far_outside, fit
from detectd.detectors.catalogue import CATALOGUE, REFUSED, Entry, find
from detectd.errors import ConfigError
from detectd.models.sanity import why_backwards
from detectd.pipeline.judging import ModelScorer
from detectd.rejection import rejector
from detectd.service.promotion import backwards

TORCH = importlib.util.find_spec("torch") is not None
OFFERED = [name for name, entry in CATALOGUE.items() if TORCH or not entry.torch]
UNIVARIATE = {"MAD"}
# A call for each row, and of these detectors a slow one.
FEWER = {"KPCA": 200, "INNE": 200}
SMALLER = {"INNE": {"n_estimators": 5}, "IForest": {"n_estimators": 20}}


def rows_of(kind, count, width):
    rng = np.random.default_rng(4)
    normal = rng.normal(size=(count, width))
    return {
        "normal": normal,
        "skewed": np.exp(normal),
        "clusters": normal + 10 * rng.integers(0, 3, size=(count, 1)),
    }[kind]


def scored(name, rows, T=8.0):
    detector = build(name, 0.1, 0, SMALLER.get(name, {}))
    half = len(rows) // 2
    fit(detector, rows[:half])
    scorer = choose(detector, rows[:half], kernels=False)
    scores = scorer.score(rows[half:])
    return ModelScorer("any", scorer, rejector(scores, 0.1, T), np.median(rows, axis=0))


@pytest.mark.slow
@pytest.mark.parametrize("name", OFFERED)
@pytest.mark.parametrize("kind", ["normal", "skewed"])
def test_every_detector_on_offer_points_outwards(name, kind):
    rows = rows_of(kind, FEWER.get(name, 600), 1 if name in UNIVARIATE else 3)
    assert why_backwards(scored(name, rows), rows) is None


@pytest.mark.slow
def test_qmcd_is_refused_and_why(monkeypatch):
    with pytest.raises(ConfigError, match=r"QMCD flips its scores .* choose another"):
        find("QMCD")
    monkeypatch.setitem(CATALOGUE, "QMCD", Entry("qmcd"))
    for kind in ("normal", "skewed", "clusters"):
        rows = rows_of(kind, 600, 3)
        assert "calls 100% of 128 rows far outside" in why_backwards(scored("QMCD", rows), rows)
    assert "QMCD" in REFUSED


@pytest.mark.slow
def test_a_detector_may_fail_on_some_rows_only():
    """LODA takes what lies beyond its histograms for the outermost bins: full, if in clusters."""
    rows = rows_of("clusters", 2000, 3)
    judge = scored("LODA", rows)
    assert why_backwards(judge, rows)
    (reason,) = backwards(judge, rows)
    assert reason.code == "backwards"
    assert "its scores are the wrong way round" in reason.sentence


@pytest.mark.parametrize(("sign", "sound"), [(1.0, True), (-1.0, False)])
def test_the_sign_of_the_scores_decides(sign, sound):
    rows = rows_of("normal", 2000, 3)

    def score(given):
        return sign * np.abs(given).sum(axis=1)

    scorer = SimpleNamespace(score=score)
    judge = ModelScorer("any", scorer, rejector(score(rows), 0.05, 8.0), np.zeros(3))
    assert (why_backwards(judge, rows) is None) == sound


def test_rows_without_a_score_are_not_called_normal():
    rows = rows_of("normal", 2000, 3)

    def score(given):
        total = np.abs(given).sum(axis=1)
        return np.where(total > 30, np.nan, total)

    judge = ModelScorer(
        "any", SimpleNamespace(score=score), rejector(score(rows), 0.05, 8.0), np.zeros(3)
    )
    assert why_backwards(judge, rows) is None


def test_beside_a_category_a_column_that_never_moved_says_nothing():
    """A category is nowhere far outside, so the one row there was would be the median of all."""
    rows = np.column_stack((np.zeros(400), np.random.default_rng(1).choice(3, 400) + 0.0))
    scorer = SimpleNamespace(score=lambda given: given[:, 1])
    judge = ModelScorer("any", scorer, rejector(rows[:, 1], 0.1, 8.0), np.zeros(2), categories=(1,))
    assert why_backwards(judge, rows) is None


@pytest.mark.parametrize("width", [1, 2, 40])
def test_rows_far_outside_lie_all_around(width):
    rows = rows_of("normal", 500, width)
    far = far_outside(rows)
    low, high = rows.min(axis=0), rows.max(axis=0)
    assert ((far < low) | (far > high)).any(axis=1).all()
    assert ((far < low).sum(axis=0) >= 4).all()
    assert ((far > high).sum(axis=0) >= 4).all()
    assert len(far) == (72 if width == 1 else 128)
    still = np.column_stack([rows, np.full(500, 7.0)])
    assert (far_outside(still)[:, -1] == 7.0).all()
