import warnings
from datetime import UTC, datetime

import numpy as np
import pytest

from detectd.detectors import Coding, build, choose, fit
from detectd.errors import ConfigError, DetectdError
from detectd.features.declaring import declare
from detectd.models import training
from detectd.models.model import Recipe
from detectd.models.sanity import why_scoreless
from detectd.models.training import complete_rows, refit, train
from detectd.models.training_notes import constant_features
from detectd.pipeline.judging import ModelScorer
from detectd.rejection import ABSTAIN, ANOMALY, NORMAL, rejector

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FEATURES = ("a", "b", "c")


def rows(n=600, seed=0):
    """A cloud with some rows far out."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 3)) + 5 * (rng.random((n, 1)) < 0.05)


def test_holdout_calibrates_on_rows_that_the_detector_has_not_seen():
    model = train(rows(), Recipe("KNN", 0.1, fraction=0.25), FEATURES, NOON)
    assert len(model.calibration) == 150
    seen = model.detector.tree_.data
    assert len(seen) == 450
    held_out = {row.tobytes() for row in model.rows} - {np.asarray(row).tobytes() for row in seen}
    assert len(held_out) == 150
    scores = choose(model.detector, model.rows).score(
        np.array([np.frombuffer(row) for row in held_out])
    )
    assert np.array_equal(np.sort(scores), model.calibration)


def test_cross_scores_each_row_by_a_detector_that_has_not_seen_it():
    recipe = Recipe("KNN", 0.1, method="cross", folds=4)
    model = train(rows(), recipe, FEATURES, NOON)
    assert len(model.calibration) == 600
    assert len(model.detector.tree_.data) == 600
    order = np.random.default_rng(0).permutation(600)
    expected = np.empty(600)
    for fold in np.array_split(order, 4):
        detector = build("KNN", 0.1, 0, {})
        fit(detector, rows()[np.setdiff1d(order, fold)])
        expected[fold] = detector.decision_function(rows()[fold])
    assert np.array_equal(model.calibration, np.sort(expected))


def test_by_time_the_folds_are_runs_of_neighbours():
    recipe = Recipe("KNN", 0.1, method="cross", folds=4, order="time")
    expected = np.empty(600)
    for fold in np.split(np.arange(600), 4):
        detector = build("KNN", 0.1, 0, {})
        fit(detector, rows()[np.setdiff1d(np.arange(600), fold)])
        expected[fold] = detector.decision_function(rows()[fold])
    model = train(rows(), recipe, FEATURES, NOON)
    assert np.array_equal(model.calibration, np.sort(expected))


def test_a_detector_that_learns_nothing_is_calibrated_on_all_rows():
    seen = np.abs(rows())
    model = train(seen, Recipe("TailSum", 0.1, fraction=0.25), FEATURES, NOON)
    assert np.allclose(model.calibration, np.sort(seen.sum(axis=1)), rtol=1e-12)


def test_in_sample_uses_the_training_scores():
    model = train(rows(), Recipe("KNN", 0.1, method="in_sample"), FEATURES, NOON)
    assert np.array_equal(model.calibration, np.sort(model.detector.decision_scores_))


@pytest.mark.slow
def test_by_time_the_last_rows_calibrate():
    model = train(rows(), Recipe("KNN", 0.1, fraction=0.25, order="time"), FEATURES, NOON)
    assert np.array_equal(np.sort(model.detector.tree_.data, axis=0), np.sort(rows()[:450], axis=0))
    scores = choose(model.detector, rows()).score(rows()[450:])
    assert np.array_equal(np.sort(scores), model.calibration)


def test_in_sample_calls_more_anomalies_than_holdout_where_the_detector_overfits():
    """Why holdout is the default: KDE ranks rows that it has seen lower than fresh ones."""
    fresh = rows(5000, seed=9)
    rates = {}
    for method in ("holdout", "in_sample"):
        recipe = Recipe("KDE", 0.05, method=method, params={"bandwidth": 0.3})
        model = train(rows(2000), recipe, FEATURES, NOON)
        judge = rejector(model.calibration, 0.05, 4.0)
        verdicts = judge.judge(choose(model.detector, model.rows).score(fresh)).verdict
        rates[method] = np.mean(verdicts == ANOMALY)
    assert rates["in_sample"] > 1.5 * rates["holdout"]


def test_the_same_rows_recipe_and_seed_give_the_same_model():
    recipe = Recipe("IForest", 0.1, seed=3, params={"n_estimators": 20})
    one, two = (train(rows(), recipe, FEATURES, NOON) for _ in range(2))
    assert one.version == two.version
    assert np.array_equal(one.calibration, two.calibration)
    assert refit(one, NOON).version == one.version


def test_missing_features_take_the_median_of_the_others():
    given = rows()
    given[::7, 1] = np.nan
    model = train(given, Recipe("HBOS", 0.1), FEATURES, NOON)
    assert np.array_equal(model.medians, np.nanmedian(given, axis=0))
    assert np.array_equal(model.rows, given, equal_nan=True)
    assert (complete_rows(model)[::7, 1] == model.medians[1]).all()


def test_a_feature_without_any_value_is_named():
    given = rows()
    given[:, 2] = np.nan
    with pytest.raises(ConfigError, match="'c' has no value"):
        train(given, Recipe("HBOS", 0.1), FEATURES, NOON)


def test_constant_features_are_named():
    given = rows()
    given[:, 1] = 4
    given[::2, 1] = np.nan
    assert constant_features(train(given, Recipe("KNN", 0.1), FEATURES, NOON)) == ["b"]


@pytest.mark.parametrize("method", ["holdout", "cross", "in_sample"])
@pytest.mark.parametrize("contamination", [0.5, 0.29, 0.1, 0.013])
def test_the_row_count_that_a_refusal_names_is_the_first_that_will_do(method, contamination):
    recipe = Recipe("HBOS", contamination, method=method)
    with pytest.raises(DetectdError, match="give at least") as refused:
        training.require_rows(1, recipe, ("a",))
    assert "2 rows" in str(refused.value)
    for n in range(2, 400):
        try:
            training.require_rows(n, recipe, ("a",))
        except DetectdError as few:
            named = int(str(few).split("at least ")[1].split()[0])
            assert named > n
        else:
            assert n == 2 or n == named
            return


def test_more_features_than_rows_are_refused():
    with pytest.raises(DetectdError, match="2 rows for 3 features; give at least 3"):
        train(rows(2), Recipe("HBOS", 0.5), FEATURES, NOON)


def test_scores_that_are_not_finite_are_refused():
    given = rows() * 1e200
    with pytest.raises(DetectdError, match="training: "):
        train(given, Recipe("GMM", 0.1), FEATURES, NOON)


def test_a_split_that_leaves_nothing_to_fit_is_refused():
    with pytest.raises(ConfigError, match=r"calibration\.fraction"):
        train(rows(20), Recipe("HBOS", 0.1, fraction=0.99), FEATURES, NOON)
    with pytest.raises(ConfigError, match=r"calibration\.folds"):
        train(rows(20), Recipe("HBOS", 0.1, method="cross", folds=11), FEATURES, NOON)


PYOD = ["ABOD", "CBLOF", "GMM", "HBOS", "IForest", "KDE", "KNN", "LOF", "MCD", "OCSVM", "PCA"]


@pytest.mark.slow
@pytest.mark.parametrize("name", PYOD)
def test_verdicts_are_pyods_where_pyod_is_sound(name):
    """In sample, without tied scores, T below 37 and n·γ whole: the paper's rule as PyOD has it."""
    fresh = rows(2000, seed=1)
    params = {"n_clusters": 2} if name == "CBLOF" else {}
    recipe = Recipe(name, 0.1, params=params, method="in_sample")
    model = train(rows(), recipe, FEATURES, NOON)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = model.detector.predict_with_rejection(fresh, T=32)
        scores = np.asarray(model.detector.decision_function(fresh))
    ours = rejector(model.calibration, 0.1, 32.0).judge(scores)
    tied = np.isin(scores, model.calibration)
    codes = {NORMAL: 0, ANOMALY: 1, ABSTAIN: -2}
    translated = np.array([codes[code] for code in ours.verdict.tolist()])
    assert np.array_equal(translated[~tied], theirs[~tied])
    # Among ties PyOD decides by one side alone; where we do not abstain, we agree.
    decided = tied & (ours.verdict != ABSTAIN)
    assert np.array_equal(translated[decided], theirs[decided])
    assert (theirs == -2).any()
    assert (theirs == 1).any()


class Scoreless:
    """Scores rows by their first feature; those above `beyond` have no number."""

    how, doubt = "a test's", None

    def __init__(self, beyond):
        self.beyond = beyond

    def score(self, given):
        return np.where(given[:, 0] > self.beyond, np.nan, given[:, 0])


@pytest.mark.parametrize("name", ["KNN", "LOF", "KDE"])
def test_a_row_beyond_the_doubles_does_not_keep_the_others_from_a_model(name):
    """An attacker's one event in the warm-up would do, else."""
    some = rows()
    some[[7, 19, 23], 0] = 1e160
    model = train(some, Recipe(name, 0.1), FEATURES, NOON)
    assert np.isfinite(model.calibration).all()
    assert rejector(model.calibration, 0.1, 4.0).zone.n == len(model.calibration)


@pytest.mark.parametrize(("share", "sound"), [(0.0, True), (0.05, True), (0.3, False)])
def test_a_model_without_scores_for_rows_like_its_own_is_refused(share, sound):
    some = np.random.default_rng(0).normal(size=(400, 2))
    scorer = Scoreless(np.quantile(some[:, 0], 1 - share))
    judge = ModelScorer("v", scorer, rejector(np.sort(some[:, 0]), 0.1, 4.0), np.zeros(2))
    assert (why_scoreless(judge, some) is None) == sound


@pytest.mark.parametrize("method", ["holdout", "cross", "in_sample"])
@pytest.mark.parametrize("order", ["random", "time"])
@pytest.mark.parametrize("detector", ["HBOS", "PCA"])
def test_each_calibration_score_keeps_the_key_of_its_row(method, order, detector):
    rows = np.random.default_rng(3).normal(size=(300, 2))
    keys = np.arange(1, 301, dtype=np.uint64)  # Each row has a key of its own.
    recipe = Recipe(detector, 0.1, method=method, order=order)
    model = train(rows, recipe, ("a", "b"), NOON, keys)
    assert model.keys.rows.tolist() == keys.tolist()
    assert len(set(model.keys.calibration.tolist())) == len(model.calibration)
    if method == "holdout":
        complete = complete_rows(model)
        scores = choose(model.detector, complete).score(
            rows[model.keys.calibration.astype(int) - 1]
        )
        assert scores == pytest.approx(model.calibration)
    plain = train(rows, recipe, ("a", "b"), NOON)
    assert plain.keys is None
    assert np.array_equal(plain.calibration, model.calibration)


CODED = ("a", declare({"of": "s", "fn": "onehot", "top": 2}))
ONEHOT = (Coding(1, "onehot", 2),)


def coded(n=600, seed=0):
    """A number, and a category of the values 5, 6 and 7; here and there it is missing."""
    rng = np.random.default_rng(seed)
    status = rng.choice([5.0, 6.0, 7.0, np.nan], n, p=[0.2, 0.6, 0.1, 0.1])
    return np.column_stack((rng.normal(size=n), status))


def test_categories_are_counted_in_the_rows_that_are_fitted():
    recipe = Recipe("KNN", 0.1, fraction=0.25, order="time", codings=ONEHOT)
    late = coded()
    late[450:, 1] = 9.0
    model = train(late, recipe, CODED, NOON)
    (vocabulary,) = model.encoding.vocabularies
    assert vocabulary.values.tolist() == [6.0, 5.0]
    assert vocabulary.total == 450
    assert model.features == ("a", "s_onehot_2")
    assert model.detector.tree_.data.shape == (450, 1 + 3)
    scores = choose(model.detector, model.encoding(complete_rows(model)[:450])).score(
        model.encoding(complete_rows(model)[450:])
    )
    assert np.array_equal(np.sort(scores), model.calibration)


def test_the_most_frequent_category_takes_the_place_of_a_missing_one():
    model = train(coded(), Recipe("HBOS", 0.1, codings=ONEHOT), CODED, NOON)
    assert model.medians[1] == 6.0
    assert model.medians[0] == np.median(coded()[:, 0])


def test_a_refit_counts_anew():
    first = train(coded(), Recipe("HBOS", 0.1, codings=ONEHOT), CODED, NOON)
    second = train(np.add(coded(), [0.0, 100.0]), first.recipe, first.declared, NOON)
    assert second.encoding.vocabularies[0].values.tolist() == [106.0, 105.0]
    assert np.array_equal(second.calibration, first.calibration)


def test_shares_are_learnt_so_their_calibration_rows_are_held_out():
    """A value that the detector has counted would be more usual there than in the stream."""
    declared = ("a", declare({"of": "s", "fn": "rarity", "by": "training"}))
    recipe = Recipe("TailSum", 0.1, fraction=0.25, codings=(Coding(1, "share"),))
    assert len(train(coded(), recipe, declared, NOON).calibration) == 150


def test_fewer_rows_than_columns_of_categories_are_refused():
    recipe = Recipe("HBOS", 0.5, codings=(Coding(1, "onehot", 100),))
    with pytest.raises(DetectdError, match="60 rows for 102 features; give at least 102 rows"):
        train(coded(60), recipe, CODED, NOON)
