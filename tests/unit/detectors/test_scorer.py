"""The score of a row is the one that it gets alone, to the last bit."""

import contextlib
import importlib
import io
import pickle
import sys
import warnings

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from detectd import quiet
from detectd.detectors import build, choose, fit
from detectd.detectors.catalogue import CATALOGUE, REFUSED, Scoring
from detectd.detectors.scorer import BatchScorer, RowScorer
from detectd.detectors.tails import TailScorer
from detectd.errors import DetectdError

OFFERED = [name for name, entry in CATALOGUE.items() if not entry.torch]
SLOW = {"INNE": {"n_estimators": 5}, "IForest": {"n_estimators": 20}, "CBLOF": {"n_clusters": 2}}


def data(d, n=150, k=30, seed=0):
    """Training rows, and fresh rows: some from training, some far out, some equal."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, d))
    rows[: n // 10] += 9  # a small cluster beside the large one, for CBLOF
    fresh = np.vstack([rows[: k // 3], 3 * rng.normal(size=(k // 3, d)), np.zeros((k // 3, d))])
    return rows, fresh


def fitted(name, rows):
    detector = build(name, 0.1, 0, SLOW.get(name, {}))
    fit(detector, rows)
    return detector


def alone(detector, rows):
    """What PyOD itself gives each row in a call of its own."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        return np.array([float(detector.decision_function(row[None])[0]) for row in rows])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "d"), [(name, d) for name in OFFERED for d in (1, 3, 8, 20) if name != "MAD" or d == 1]
)
def test_a_batch_gives_each_row_what_it_gets_alone(name, d):
    rows, fresh = data(d)
    detector = fitted(name, rows)
    scorer = choose(detector, rows, kernels=False)
    scores = scorer.score(fresh)
    reference = alone(detector, fresh)
    if CATALOGUE[name].scoring is Scoring.TAILS:
        np.testing.assert_allclose(scores, reference, rtol=1e-12, atol=1e-12)
    else:
        assert scores.tobytes() == reference.tobytes()
    order = np.random.default_rng(1).permutation(len(fresh))
    assert scorer.score(fresh[order]).tobytes() == scores[order].tobytes()
    parts = [scorer.score(part) for part in np.array_split(fresh, 7)]
    assert np.concatenate(parts).tobytes() == scores.tobytes()


# Rows of each of eight clusters, enough for threads to share.
MANY = (6000, 5000, 4000, 600, 500, 300, 200, 150)
SCORERS = {Scoring.BATCH: BatchScorer, Scoring.ROW: RowScorer, Scoring.TAILS: TailScorer}


@pytest.mark.slow
@pytest.mark.parametrize("name", OFFERED)
def test_a_detector_is_scored_as_the_catalogue_says(name):
    """Where a batch is not what the catalogue takes it for, rows go one by one: right, but slow."""
    rows, _ = data(1 if name == "MAD" else 3)
    scorer = choose(fitted(name, rows), rows, kernels=False)
    assert isinstance(scorer, SCORERS[CATALOGUE[name].scoring])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["CD", "COF", "LMDD", "LOCI", "RGraph", "ROD", "SOD", "SOS"])
def test_a_refused_detector_does_score_a_batch_against_itself(name, monkeypatch):
    """Measured, so that the table of the refused is true."""
    assert REFUSED[name].startswith("scores a batch against itself")
    module = importlib.import_module(f"pyod.models.{name.lower()}")
    for function, made in list(vars(module).items()):
        if hasattr(made, "py_func"):  # Compiling takes seconds, so few rows do without.
            monkeypatch.setattr(module, function, made.py_func)
    detector = getattr(module, name)()
    rows, _ = data(3, n=40)
    fresh = np.random.default_rng(3).normal(size=(25, 3))
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        np.errstate(all="ignore"),
    ):
        warnings.simplefilter("ignore")
        detector.fit(rows)
        together = detector.decision_function(fresh)
    try:
        single = alone(detector, fresh)
    except (IndexError, ValueError):
        return  # It cannot score a row alone at all.
    assert not np.allclose(single, together, equal_nan=False)


@pytest.mark.parametrize("name", ["ECOD", "COPOD"])
def test_pyod_scores_a_batch_of_these_against_itself(name):
    assert CATALOGUE[name].scoring is Scoring.TAILS
    rows, fresh = data(4)
    detector = fitted(name, rows)
    assert np.abs(detector.decision_function(fresh) - alone(detector, fresh)).max() > 0.1


def mirrored(rng):
    half = rng.normal(size=(100, 3))
    return np.concatenate([half, -half])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ECOD", "COPOD"])
@pytest.mark.parametrize(
    "make",
    [
        lambda rng: rng.normal(size=(200, 3)),
        lambda rng: rng.integers(0, 4, size=(200, 3)).astype(float),  # ties
        lambda rng: np.repeat(rng.normal(size=(20, 3)), 10, axis=0),  # duplicates
        lambda rng: np.column_stack([np.full(200, 7.0), rng.exponential(size=200)]),  # constant
        lambda _: np.concatenate([-np.arange(1.0, 51), np.arange(1.0, 51)])[:, None],
        lambda rng: rng.normal(size=(200, 2)) * [1e-300, 1e150],
        lambda rng: 1e9 + 1e-3 * rng.normal(size=(200, 2)),
        lambda rng: 1.7e9 + 1e-6 * mirrored(rng),  # a skewness of nothing but rounding
        lambda rng: 1e12 + 1e-3 * mirrored(rng),
        lambda rng: np.asfortranarray(1.7e9 + 1e-3 * mirrored(rng)),
        lambda rng: np.where(rng.random((200, 3)) < 0.3, np.nextafter(1, 2), 1),
        lambda _: 1e12 + 1e-3 * np.arange(200.0)[:, None] * [1, 2, 3],
        lambda rng: rng.normal(size=(3, 2)),
    ],
)
def test_tail_scores_are_pyods_for_one_row(name, make):
    rng = np.random.default_rng(5)
    rows = make(rng)
    fresh = np.vstack([rows[:20], rows[:20] * 1.5, -rows[:5], np.zeros((1, rows.shape[1]))])
    detector = fitted(name, rows)
    with np.errstate(all="ignore"):
        expected = alone(detector, fresh)
    np.testing.assert_allclose(TailScorer(detector).score(fresh), expected, rtol=1e-12, atol=1e-12)


class Fragile:
    """Fails on negative rows, and with them on every batch that holds one."""

    def decision_function(self, rows):
        if (rows < 0).any():
            raise ValueError("negative")
        return rows.sum(axis=1)


@pytest.mark.parametrize("scorer", [BatchScorer, RowScorer])
def test_a_row_on_which_the_detector_fails_gets_nan_and_the_others_their_scores(scorer):
    scores = scorer(Fragile()).score(np.array([[1.0], [-1.0], [3.0]]))
    assert np.array_equal(scores, [1, np.nan, 3], equal_nan=True)


class Relative:
    """Scores a batch against itself; its name is that of one that does not."""

    def decision_function(self, rows):
        return rows[:, 0] - rows[:, 0].mean()


def test_a_batch_that_does_not_score_its_rows_as_alone_is_found_out():
    HBOS = type("HBOS", (Relative,), {})
    assert isinstance(choose(HBOS(), data(2)[0], kernels=False), RowScorer)


def test_rows_that_a_detector_cannot_be_fitted_to_are_one_line():
    detector = build("MAD", 0.1, 0, {})
    with pytest.raises(DetectdError, match=r"MAD cannot be fitted to 150 rows of 4 features"):
        fit(detector, data(4)[0])


@pytest.mark.slow
def test_rows_midway_between_clusters_score_as_alone():
    """Centres that are permutations of each other are equally far from a row of equal values."""
    rng = np.random.default_rng(50)
    base = rng.normal(size=50)
    centres = np.array([rng.permutation(base) for _ in range(8)])
    sizes = (300, 250, 200, 60, 50, 30, 20, 15)
    rows = np.repeat(centres, sizes, axis=0)
    rows += 0.01 * rng.normal(size=rows.shape)
    detector = build("CBLOF", 0.1, 0, {})
    fit(detector, rows)
    detector.clustering_estimator_.cluster_centers_ = centres
    detector.cluster_centers_ = centres
    fresh = np.outer(rng.normal(size=300), np.ones(50))
    scores = choose(detector, rows, kernels=False).score(fresh)
    assert scores.tobytes() == alone(detector, fresh).tobytes()


@pytest.mark.parametrize(
    ("name", "n", "params"),
    [
        ("LOF", 30, {}),  # 20 neighbours of 30 rows
        ("KNN", 150, {"algorithm": "brute"}),
        ("LOF", 150, {"metric": "cosine"}),
    ],
)
def test_a_neighbour_search_by_products_of_matrices_goes_row_by_row(name, n, params):
    rows, _ = data(3, n=n)
    detector = build(name, 0.1, 0, params)
    fit(detector, rows)
    assert isinstance(choose(detector, rows, kernels=False), RowScorer)


class Unaligned(Relative):
    """Rounds otherwise in batches of seven, as vector code does with a remainder."""

    def decision_function(self, rows):
        return rows[:, 0] * (1 + (len(rows) == 7) * 1e-15)


def test_a_batch_size_that_rounds_otherwise_is_found_out():
    HBOS = type("HBOS", (Unaligned,), {})
    assert isinstance(choose(HBOS(), data(2)[0], kernels=False), RowScorer)


@pytest.mark.parametrize("name", ["IForest", "KNN", "ECOD", "GMM"])
def test_a_detector_that_was_stored_scores_as_before(name):
    rows, fresh = data(4)
    detector = fitted(name, rows)
    again = pickle.loads(pickle.dumps(detector))
    before, after = choose(detector, rows), choose(again, rows)
    assert type(before) is type(after)
    assert before.score(fresh).tobytes() == after.score(fresh).tobytes()


@pytest.mark.slow
def test_the_same_rows_and_seed_fit_the_same_detector_on_many_threads(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "8")  # scikit-learn takes no more than cores without
    rng = np.random.default_rng(0)
    rows = np.repeat(6 * rng.normal(size=(8, 6)), MANY, axis=0)
    rows += rng.normal(size=rows.shape)
    models = set()
    with threadpool_limits(8, user_api="openmp"):
        for _ in range(4):
            detector = build("CBLOF", 0.1, 0, {})
            fit(detector, rows)
            models.add(detector.decision_scores_.tobytes())
    assert len(models) == 1


class Noisy:
    """Talks while it fits and scores."""

    def fit(self, rows):
        sys.stdout.write("fitting")
        sys.stderr.write("fitting")
        warnings.warn("fitting", stacklevel=1)

    def decision_function(self, rows):
        self.fit(rows)
        return rows[:, 0]


def test_what_a_detector_prints_does_not_reach_the_services_output(capfd, monkeypatch):
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, getattr(sys, name))
    quiet.install()
    fit(Noisy(), np.ones((3, 1)))
    BatchScorer(Noisy()).score(np.ones((3, 1)))
    assert capfd.readouterr() == ("", "")
