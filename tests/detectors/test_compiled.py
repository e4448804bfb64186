"""A kernel's scores are PyOD's for the row alone, whatever the row and whatever the batch."""

import contextlib
import io
import warnings
from pathlib import Path

import numpy as np
import pytest

from detectd.detectors import build, choose, compiled, fit
from detectd.detectors.catalogue import CATALOGUE, Scoring
from detectd.detectors.choice import ABSOLUTE, RELATIVE
from detectd.detectors.compiled import MODULES
from detectd.detectors.scorer import BatchScorer, RowScorer
from detectd.rejection import rejector

PARAMS = {"CBLOF": {"n_clusters": 2}, "INNE": {"n_estimators": 20}}
KINDS = ["plain", "few_features", "tied", "spread"]


def training(kind, n=400):
    """Rows with a smaller cluster beside the large one."""
    rng = np.random.default_rng(7)
    rows = rng.normal(size=(n, 3 if kind == "few_features" else 9))
    rows[: n // 10] += 9
    if kind == "tied":
        rows = np.round(rows)
    if kind == "spread":
        rows *= np.logspace(-3, 6, rows.shape[1])
    return rows


def fresh(rows):
    """Rows of training, between and around them, far outside, huge, tiny, and equal."""
    rng = np.random.default_rng(8)
    spread = rows.std(axis=0)
    return np.vstack(
        [
            rows[::5],
            rows[:40] + rng.normal(size=(40, rows.shape[1])) * spread,
            np.nextafter(rows[:10], np.inf),
            rows.min(axis=0),
            rows.max(axis=0),
            rows.mean(axis=0) + 1e3 * spread,
            rows.mean(axis=0) - 1e6 * spread,
            np.zeros(rows.shape[1]),
            np.full(rows.shape[1], 5e-324),
            np.full(rows.shape[1], 1e308),
            np.full(rows.shape[1], -1e308),
        ]
    )


def fitted(name, rows):
    detector = build(name, 0.1, 0, PARAMS.get(name, {}))
    fit(detector, rows)
    return detector


def alone(detector, rows):
    """PyOD's score of each row in a call of its own, NaN where it fails."""
    return RowScorer(detector).score(rows)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", MODULES)
def test_a_kernel_scores_as_pyod_does_alone(name, kind):
    rows = training(kind)
    detector = fitted(name, rows)
    scorer = choose(detector, rows)
    assert (scorer.how, scorer.doubt) == ("compiled", None)
    probes = fresh(rows)
    expected = alone(detector, probes)
    spread = np.ptp(expected[: len(rows[::5])])
    np.testing.assert_allclose(
        scorer.score(probes), expected, rtol=RELATIVE, atol=ABSOLUTE * spread
    )


@pytest.mark.parametrize("kind", ["plain", "tied"])
@pytest.mark.parametrize("name", MODULES)
def test_a_row_scores_the_same_bits_in_any_batch(name, kind):
    rows = training(kind)
    scorer = choose(fitted(name, rows), rows)
    rng = np.random.default_rng(9)
    probes = np.vstack([fresh(rows)] * 9)[rng.permutation(9 * len(fresh(rows)))][:1000]
    whole = scorer.score(probes)
    ones = np.concatenate([scorer.score(probes[i : i + 1]) for i in range(len(probes))])
    assert ones.tobytes() == whole.tobytes()
    strided = np.asfortranarray(probes)
    assert scorer.score(strided).tobytes() == whole.tobytes()


@pytest.mark.parametrize("name", MODULES)
def test_a_kernel_and_its_plain_form_agree(name):
    rows = training("plain")
    kernel = compiled.compiled(fitted(name, rows))
    probes = fresh(rows)[:-4]
    scores = np.empty(len(probes))
    left = kernel.kernel(probes, scores, *kernel.parts) or 0
    sure = np.isfinite(scores)
    assert (~sure).sum() == left < 60  # to PyOD, whose roundings no plain form has
    plain = kernel.reference(probes[sure], *kernel.parts)
    np.testing.assert_allclose(scores[sure], plain, rtol=RELATIVE, atol=1e-12)


@pytest.mark.parametrize("name", MODULES)
def test_verdicts_on_a_hundred_thousand_rows_are_those_of_pyods_scores(name):
    """PyOD scores in batches here, where these are true to the row; else fewer rows, alone."""
    rows = training("few_features")
    detector = fitted(name, rows)
    scorer, scoring = choose(detector, rows), CATALOGUE[name].scoring
    total = 100_000 if scoring is Scoring.BATCH else 1_000
    rng = np.random.default_rng(10)
    probes = rows[rng.integers(len(rows), size=total)] + rng.normal(size=(total, 3))
    theirs = (BatchScorer if scoring is Scoring.BATCH else RowScorer)(detector).score(probes)
    judge = rejector(scorer.score(rows), 0.1, 8.0)
    ours = judge.judge(scorer.score(probes)).verdict
    assert np.array_equal(ours, judge.judge(theirs).verdict)
    assert set(ours) == {0, 1, 2}


@pytest.mark.parametrize("name", ["IForest", "HBOS"])
def test_these_have_pyods_very_bits(name):
    rows = training("plain")
    detector = fitted(name, rows)
    probes = fresh(rows)
    assert choose(detector, rows).score(probes).tobytes() == alone(detector, probes).tobytes()


def test_values_on_a_trees_thresholds_go_where_pyod_sends_them():
    rows = training("few_features")
    detector = fitted("IForest", rows)
    splits = np.concatenate([tree.tree_.threshold for tree in detector.detector_.estimators_])
    near = np.concatenate([splits, np.float32(splits), np.nextafter(np.float32(splits), np.inf)])
    probes = np.column_stack([near, near[::-1], np.roll(near, 1)]).astype(float)
    theirs = BatchScorer(detector).score(probes)
    assert choose(detector, rows).score(probes).tobytes() == theirs.tobytes()


def test_values_on_a_histograms_edges_fall_where_pyod_puts_them():
    rows = training("few_features")
    for params in ({}, {"n_bins": "auto"}):
        detector = build("HBOS", 0.1, 0, params)
        fit(detector, rows)
        edges = detector.bin_edges_
        edge = edges[0] if isinstance(edges, list) else edges[:, 0]
        near = np.concatenate([edge, np.nextafter(edge, np.inf), np.nextafter(edge, -np.inf)])
        probes = np.column_stack([near, near, near])
        assert choose(detector, rows).score(probes).tobytes() == alone(detector, probes).tobytes()


def test_more_cores_change_no_bit(monkeypatch):
    rows = training("plain")
    scorer = choose(fitted("IForest", rows), rows)
    probes = np.random.default_rng(11).normal(size=(5_003, rows.shape[1]))
    monkeypatch.setattr(compiled, "cores", lambda: 1)
    one = scorer.score(probes)
    monkeypatch.setattr(compiled, "cores", lambda: 4)
    assert scorer.score(probes).tobytes() == one.tobytes()


class Inside:
    """A detector as another version might keep it: its arrays are elsewhere."""

    def __init__(self, detector):
        self._detector = detector

    def decision_function(self, rows):
        return self._detector.decision_function(rows)


def test_insides_that_are_not_known_fall_back_with_the_reason():
    rows = training("plain")
    detector = fitted("HBOS", rows)
    scorer = choose(type("HBOS", (Inside,), {})(detector), rows)
    assert scorer.how.startswith("PyOD")
    assert "AttributeError" in scorer.doubt
    assert "hist_" in scorer.doubt
    assert np.array_equal(scorer.score(rows), detector.decision_function(rows))


def test_a_kernel_that_is_wrong_is_found_out_and_not_used(monkeypatch):
    rows = training("plain")
    detector = fitted("HBOS", rows)
    kernel = compiled.compiled(detector)
    kernel.parts[1][0] += 1e-6
    monkeypatch.setattr("detectd.detectors.choice.compiled", lambda _: kernel)
    scorer = choose(detector, rows)
    assert scorer.how.startswith("PyOD")
    assert "a training row scores" in scorer.doubt


def test_compiled_can_be_turned_off():
    rows = training("plain")
    assert choose(fitted("IForest", rows), rows, kernels=False).how.startswith("PyOD")


@pytest.mark.parametrize("name", MODULES)
def test_real_rows_score_as_pyod_does_alone(name):
    """Rows as they are measured: six sensors of scikit-learn's breast cancer data."""
    from sklearn.datasets import load_breast_cancer

    rows = load_breast_cancer().data[:, :6]
    detector = build(name, 0.1, 0, {})
    fit(detector, rows[:300])
    scores = choose(detector, rows[:300]).score(rows)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        some = slice(280, 420)
        np.testing.assert_allclose(scores[some], alone(detector, rows[some]), rtol=RELATIVE)


def test_each_detector_with_a_kernel_is_in_the_catalogue_and_has_its_module():
    home = Path(compiled.__file__).parent
    for name, module in MODULES.items():
        assert name in CATALOGUE
        assert (home / f"{module}.py").exists()
