"""The estimated contamination: its mathematics against simulation, and its place in a model."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from scipy import stats

from detectd.errors import DetectdError
from detectd.models import contamination
from detectd.models.contamination import (
    MANY,
    NONE,
    POINTS,
    TOO_MANY,
    _joint,
    _mixture,
    _outwardness,
    _settled,
    _shares,
    estimate,
    from_scores,
    panel_scores,
)
from detectd.models.model import Contamination, Recipe
from detectd.models.store import Store
from detectd.models.training import require_rows, train
from detectd.rejection import Costs
from detectd.rejection.promise import Terms, promise

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FEATURES = ("a", "b", "c")


def rows(count, share, seed=0):
    """A cloud, and a share of rows far out."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, 3)) + 8 * (rng.random((count, 1)) < share)


def panel(count=300, share=0.06, seed=0):
    """Three detectors' scores that all rank the anomalies high."""
    rng = np.random.default_rng(seed)
    far = rng.random((count, 1)) < share
    return np.exp(rng.normal(size=(count, 3)) + 4 * far)


@pytest.fixture(scope="module")
def mixture():
    logs = np.log(panel())
    return _mixture((logs - logs.mean(axis=0)) / logs.std(axis=0), 0)


@pytest.mark.slow
def test_the_posterior_is_that_of_its_generative_story(mixture):
    """Draw the parameters, then from the outermost component on whether each is anomalous."""
    shares = _shares(mixture, np.random.default_rng(0))
    assert shares.weights.sum() == pytest.approx(1 - NONE)
    drawn = _simulated(mixture, 4000)
    for share in (0.0, 0.02, 0.05, 0.1, 0.2, 0.4):
        assert shares.up_to(share) == pytest.approx(np.mean(drawn <= share), abs=0.03)


def _simulated(mixture, count):
    rng = np.random.default_rng(5)
    sizes = mixture.weight_concentration_[0]
    kept = [k for k, size in enumerate(sizes) if size >= 2]
    outward = {k: _outwardness(mixture, k, np.random.default_rng(k)) for k in kept}
    kept.sort(key=lambda k: -outward[k].mean())
    lost = sum(size for size in sizes if size < 2)
    masses = np.array([sizes[k] + lost / len(kept) for k in kept])
    means = np.array([outward[k].mean() for k in kept])
    steepness = _steepness(means, masses)
    drawn = []
    while len(drawn) < count:
        if rng.random() < NONE:
            drawn.append(0.0)
            continue
        anomalous = 0
        for k in kept:
            distance = means[0] - rng.choice(outward[k])
            odds = np.log((1 - NONE) / NONE) - steepness * distance
            if rng.random() >= 1 / (1 + np.exp(-odds)):
                break
            anomalous += 1
        # None at all has had its turn.
        if anomalous:
            drawn.append(rng.dirichlet(masses)[:anomalous].sum())
    return np.array(drawn)


def _steepness(means, masses):
    """Where too many anomalies are as likely as believed, by halving."""
    low, high = 0.0, 50.0
    alpha = np.cumsum(masses)
    for _ in range(60):
        steepness = (low + high) / 2
        joint = _joint(steepness, means[:, None], means[:1])[:, 0]
        many = stats.beta.sf(MANY, alpha[:-1], alpha[-1] - alpha[:-1]) @ joint[:-1] + joint[-1]
        low, high = (steepness, high) if many > TOO_MANY else (low, steepness)
    return low


def test_the_joint_probabilities_are_those_of_a_chain():
    outward = np.array([[2.0], [1.0], [0.5]])
    joint = _joint(3.0, outward, outward[0])[:, 0]
    p = 1 / (1 + np.exp(-(np.log(0.99 / 0.01) - 3.0 * (2.0 - outward[:, 0]))))
    assert p[0] == pytest.approx(0.99)
    chain = [p[0] * (1 - p[1]), p[0] * p[1] * (1 - p[2]), p[0] * p[1] * p[2]]
    assert joint == pytest.approx(chain)


@pytest.mark.slow
def test_points_are_equally_likely_shares(mixture):
    shares = _shares(mixture, np.random.default_rng(0))
    found = _settled(shares)
    assert len(found.points) == POINTS
    assert list(found.points) == sorted(found.points)
    assert found.mean == pytest.approx(np.mean(found.points))
    middle = found.points[POINTS // 2]
    within = (POINTS // 2 + 0.5) / POINTS
    assert shares.up_to(middle) == pytest.approx(within * shares.up_to(0.5), abs=1e-9)
    low, high = found.interval(0.9)
    assert 0.0 <= low < found.mean < high <= 0.5


@pytest.mark.slow
def test_anomalies_that_stand_apart_are_counted():
    found = from_scores(panel(), seed=0)
    assert found == from_scores(panel(), seed=0)
    true = np.mean(np.random.default_rng(0).random((300, 1)) < 0.06)
    low, high = found.interval(0.9)
    assert low < true < high
    assert abs(found.mean - true) < 0.04


def test_too_few_rows_are_refused():
    with pytest.raises(DetectdError, match=r"49 rows are too few.*at least 50.*number"):
        estimate(rows(49, 0.1), 0)
    recipe = Recipe("PCA", "estimate")
    with pytest.raises(DetectdError, match="49 rows are too few"):
        require_rows(98, recipe, FEATURES)
    require_rows(100, recipe, FEATURES)


def test_too_few_detectors_are_refused(monkeypatch):
    monkeypatch.setattr(contamination, "PANEL", ("KNN", "PCA", "IForest"))
    assert panel_scores(rows(60, 0.1), 0).shape == (60, 3)
    with pytest.raises(DetectdError, match="only 0 of 3 detectors can be fitted"):
        panel_scores(np.ones((60, 2)), 0)


@pytest.fixture(scope="module")
def model():
    return train(rows(400, 0.05), Recipe("PCA", "estimate", compiled=False), FEATURES, NOON)


@pytest.mark.slow
def test_a_model_carries_its_estimate_through_the_store(model, tmp_path):
    assert model.recipe.contamination == "estimate"
    assert 0 < model.contamination.mean < 0.3
    assert len(model.contamination.points) == POINTS
    store = Store(tmp_path)
    store.save(model)
    loaded = store.load(model.version).model
    assert loaded.contamination == model.contamination
    assert loaded.recipe == model.recipe
    assert f"contamination={model.contamination.mean:.4g}" in store.describe(model.version)


@pytest.mark.slow
def test_the_estimate_does_not_look_at_the_calibration_rows(model):
    """Else the zone would depend on the scores of which it promises something."""
    order = np.random.default_rng(0).permutation(400)
    assert model.contamination == estimate(model.rows[order[200:]], 0)


def test_a_contamination_that_is_set_is_known():
    set_to = train(rows(400, 0.05), Recipe("PCA", 0.1, compiled=False), FEATURES, NOON)
    assert set_to.contamination == Contamination(0.1, (0.1,))
    assert set_to.contamination.interval(0.9) == (0.1, 0.1)


def test_models_stored_before_there_were_estimates_load(tmp_path):
    store = Store(tmp_path)
    old = train(rows(400, 0.05), Recipe("PCA", 0.1, compiled=False), FEATURES, NOON)
    store.save(old)
    path = tmp_path / old.version / "manifest.json"
    manifest = json.loads(path.read_bytes())
    del manifest["contamination"]
    path.write_text(json.dumps(manifest))
    assert store.load(old.version).model.contamination == Contamination.known(0.1)
    assert "contamination=0.1 " in store.describe(old.version)


@pytest.mark.slow
def test_the_cost_bound_carries_the_uncertainty(model):
    found = model.contamination
    known = Terms(found.mean, 8.0, None, 0.1, Costs(1, 10, 0.1))
    sure = promise(model.calibration, known)
    unsure = promise(model.calibration, replace(known, plausible=found.points[::5]))
    assert unsure.exact.cost_upper > sure.exact.cost_upper
    assert unsure.exact.rejection_rate_upper == sure.exact.rejection_rate_upper
    same = promise(model.calibration, replace(known, plausible=(found.mean,)))
    assert same.exact.cost_upper == pytest.approx(sure.exact.cost_upper, abs=1e-9)
