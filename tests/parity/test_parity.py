"""A kernel's scores and verdicts are PyOD's for the row alone, whatever the row and the batch.

The short form of `make parity`, on few rows.
"""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from threadpoolctl import threadpool_limits

from detectd.detectors import build, choose, fit
from detectd.detectors.kernels import MODULES
from detectd.detectors.scorer import RowScorer
from tests.parity import against, campaign
from tests.parity.rows import KINDS, adversarial, fresh, generated

FEW = {"CBLOF": {"n_clusters": 2}, "INNE": {"n_estimators": 5}, "IForest": {"n_estimators": 20}}
WIDTH = 4


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Threads that wait for each other over single rows are most of the time otherwise."""
    with threadpool_limits(1):
        yield


@cache
def training(kind):
    """300 rows; those measured are of scikit-learn's breast cancer data."""
    if kind != "measured":
        return generated(kind, 300, WIDTH)
    from sklearn.datasets import load_breast_cancer

    return load_breast_cancer().data[:300, :WIDTH]


@cache
def scorer(name, kind):
    rows = training(kind)
    params = {} if kind == "measured" and name == "CBLOF" else FEW.get(name, {})
    detector = build(name, against.CONTAMINATION, 0, params)
    fit(detector, rows)
    return choose(detector, rows), detector


HELD = [
    (name, kind)
    for name in MODULES
    for kind in ("tied", "spread", "constant", "measured")
    if (name, kind) != ("PCA", "constant")  # a component without variance: PyOD divides by zero
]


@pytest.mark.parametrize(("name", "kind"), HELD)
def test_a_kernel_scores_as_pyod_does_alone(name, kind):
    ours, detector = scorer(name, kind)
    assert (ours.how, ours.doubt) == ("compiled", None)
    rows = training(kind)
    probes = np.vstack([adversarial(rows, each=1), fresh(rows, 10)])
    assert against.scores(ours, detector, probes, rows).off == 0


@pytest.mark.parametrize("name", MODULES)
def test_verdicts_are_those_that_pyods_scores_give(name):
    ours, detector = scorer(name, "plain")
    rows = training("plain")
    found = against.verdicts(ours, detector, rows, fresh(rows, 2_000), alone=100)
    assert found.differing == 0
    assert found.rows >= 100


@pytest.mark.parametrize("kind", ["plain", "tied"])
@pytest.mark.parametrize("name", MODULES)
def test_a_row_scores_the_same_bits_in_any_batch(name, kind):
    ours, _ = scorer(name, kind)
    rows = training(kind)
    probes = np.vstack([adversarial(rows, each=1), fresh(rows, 100)])
    assert against.same_bits(ours, probes)
    assert ours.score(np.asfortranarray(probes)).tobytes() == ours.score(probes).tobytes()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["ECOD", "COPOD"])
def test_tails_have_the_bits_of_their_plain_form(name, kind):
    ours, detector = scorer(name, kind)
    rows = training(kind)
    assert against.as_plain(
        ours, detector, np.vstack([adversarial(rows, each=1), fresh(rows, 200)])
    )


FINITE = st.floats(allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize("name", MODULES)
@settings(deadline=None, max_examples=8)
@given(st.data())
def test_any_row_scores_as_pyod_does_alone(name, data):
    ours, detector = scorer(name, "plain")
    rows = data.draw(arrays(float, (2, WIDTH), elements=FINITE | st.integers(-3, 12).map(float)))
    np.testing.assert_allclose(
        ours.score(rows), RowScorer(detector).score(rows), rtol=1e-9, atol=1e-10
    )


def test_a_score_that_is_off_is_a_fault_of_the_campaign(monkeypatch, capsys):
    """The campaign can fail: here a kernel is wrong where the choice of it does not look."""

    def wrong(detector, rows):
        chosen = choose(detector, rows)
        return type(
            "Wrong", (), {"how": "compiled", "score": lambda _, rows: chosen.score(rows) + 1e-6}
        )()

    monkeypatch.setattr(campaign, "choose", wrong)
    monkeypatch.setattr(campaign, "KINDS", ("plain",))
    monkeypatch.delenv("DETECTD_TEST_DATA", raising=False)
    assert campaign.main(["--detectors", "HBOS", "--rows", "100"]) == 1
    assert "scores are off" in capsys.readouterr().out
    monkeypatch.setattr(campaign, "choose", choose)
    assert campaign.main(["--detectors", "HBOS", "--rows", "100"]) == 0
    assert "the same" in capsys.readouterr().out
