"""What the benchmark of several sensors counts, and what it configures."""

from __future__ import annotations

import tomllib

import numpy as np
import pytest

from benchmarks import skab, skab_settings
from benchmarks.skab_runs import BY_FILE, TRAINED, Experiment
from detectd.settings import Settings


def file(faulty):
    experiment = Experiment("one", np.arange(TRAINED + len(faulty)), {})
    faulty = np.array([False] * TRAINED + faulty)
    return skab.File(experiment, faulty, faulty)


def test_faults_are_counted_over_the_rows_of_all_files_and_an_abstention_is_no_alarm():
    files = [file([True, True, False, False]), file([False, False])]
    verdicts = [["anomaly", "abstain", "anomaly", "normal"], ["normal", "abstain"]]
    found = skab.faults(files, [np.array(each) for each in verdicts])
    assert found == pytest.approx((2 * 1 / (2 + 2), 1 / 4, 1 / 2))


def test_a_change_is_seen_where_alarms_begin_and_where_they_end():
    raised = np.array([True, True, False, False, True, False])
    assert np.flatnonzero(skab.turns(raised)).tolist() == [0, 2, 4, 5]


def test_drift_is_1_for_independent_rows_and_many_for_a_random_walk():
    rng = np.random.default_rng(0)
    steps = rng.normal(size=(200, TRAINED))
    assert np.mean([skab.drift(row) for row in steps]) == pytest.approx(1.0, abs=0.1)
    assert np.median([skab.drift(row) for row in steps.cumsum(axis=1)]) > 50


@pytest.mark.slow
def test_each_row_of_the_tables_is_a_configuration():
    for row in skab_settings.fault_rows():
        settings = Settings.model_validate(tomllib.loads(row.setting.config()))
        # Of the scores two are anomalies: if one were, none could be called so.
        scores = settings.training.warmup * (0.5 if row.setting.method == "holdout" else 1)
        assert int(scores * row.setting.contamination + 1e-9) >= 2
    for row in skab_settings.change_rows():
        settings = Settings.model_validate(tomllib.loads(row.setting.config(BY_FILE)))
        assert len(row.setting.weights) == 7 * len(settings.event.features)
