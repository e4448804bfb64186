"""TailSum: the weighted sum of columns that are surprises."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectd.detectors import build, choose, fit, try_params
from detectd.errors import ConfigError

ROWS = np.random.default_rng(0).exponential(size=(300, 4))


def fitted(rows=ROWS, **params):
    detector = build("TailSum", 0.1, 0, params)
    fit(detector, rows)
    return detector


def test_without_weights_it_is_the_sum():
    np.testing.assert_allclose(fitted().decision_function(ROWS), ROWS.sum(axis=1))


@given(
    st.lists(st.sampled_from(["max", 0.25, 1, 2.0]), min_size=4, max_size=4),
    st.lists(st.just(0.0) | st.floats(-1e3, 1e3), min_size=4, max_size=4),
    st.sampled_from([0.0, 1.5]),
)
def test_weights_and_maxima(weights, row, lift):
    pairs = list(zip(weights, row, strict=True))
    total = sum(w * abs(x) for w, x in pairs if w != "max")
    alone = [abs(x) + lift for w, x in pairs if w == "max" and x != 0]
    scores = fitted(weights=weights, lift=lift).decision_function([row])
    assert scores[0] == pytest.approx(max([total, *alone]))


@pytest.mark.parametrize("weights", [None, [1.0, 0.5, 0.25, "max"], ["max"] * 4])
def test_the_kernel_has_the_very_bits(weights):
    detector = fitted(weights=weights)
    scorer = choose(detector, ROWS)
    assert scorer.how == "compiled"
    probes = np.vstack([ROWS, ROWS * 1e3, -ROWS, np.zeros((1, 4))])
    assert scorer.score(probes).tobytes() == detector.decision_function(probes).tobytes()


def test_it_is_a_detector_like_any_other():
    detector = fitted(weights=[1, 1, 1, "max"])
    assert detector.labels_.sum() == 30
    assert detector.predict(ROWS).sum() == 30
    again = pickle.loads(pickle.dumps(detector))
    assert np.array_equal(again.decision_function(ROWS), detector.decision_scores_)
    with pytest.raises(ValueError, match="2 columns"):
        detector.decision_function(ROWS[:, :2])


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"weights": [1.0, 1.0]}, "one for each of the 4 columns"),
        ({"weights": "max"}, "one for each of the 4 columns"),
        ({"weights": [1, 1, 1, -1]}, "not -1"),
        ({"weights": [1, 1, 1, "most"]}, "not 'most'"),
        ({"weights": [1, 1, 1, True]}, "not True"),
        ({"weights": [0, 0, 0, 0]}, "all are 0"),
        ({"lift": -1.0}, "not -1.0"),
        ({"weight": [1]}, "did you mean 'weights'"),
    ],
)
def test_weights_that_do_not_fit_are_refused(params, words):
    with pytest.raises(ConfigError, match=r"detector\.params") as refused:
        try_params("TailSum", params, 4)
    assert words in str(refused.value)
