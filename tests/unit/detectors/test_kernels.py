"""Kernels: their plain forms, where their bits are PyOD's, sharing out, and falling back.

That their scores are PyOD's is shown in `parity`.
"""

import threading
from pathlib import Path

import numpy as np
import pytest

from detectd.detectors import build, choose, fit, kernels
from detectd.detectors.catalogue import CATALOGUE
from detectd.detectors.kernels import MODULES, Compiled
from detectd.detectors.scorer import BatchScorer, RowScorer
from detectd.detectors.selection import RELATIVE
from tests.parity.rows import adversarial, fresh, generated

PARAMS = {"CBLOF": {"n_clusters": 2}, "INNE": {"n_estimators": 5}}


def fitted(name, rows, **params):
    detector = build(name, 0.1, 0, PARAMS.get(name, {}) | params)
    fit(detector, rows)
    return detector


def alone(detector, rows):
    """PyOD's score of each row in a call of its own, NaN where it fails."""
    return RowScorer(detector).score(rows)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODULES)
def test_a_kernel_and_its_plain_form_agree(name):
    rows = generated("plain")
    kernel = kernels.compiled(fitted(name, rows))
    probes = np.vstack([fresh(rows, 100), rows[:10] + 1e3, rows[:1] * 5e-324])
    scores = np.empty(len(probes))
    left = kernel.kernel(probes, scores, *kernel.parts) or 0
    sure = np.isfinite(scores)
    assert (~sure).sum() == left < 60  # to PyOD, whose roundings no plain form has
    plain = kernel.reference(probes[sure], *kernel.parts)
    np.testing.assert_allclose(scores[sure], plain, rtol=RELATIVE, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["IForest", "HBOS"])
def test_these_have_pyods_very_bits(name):
    rows = generated("plain")
    detector = fitted(name, rows)
    probes = np.vstack([fresh(rows, 100), adversarial(rows)])
    assert choose(detector, rows).score(probes).tobytes() == alone(detector, probes).tobytes()


@pytest.mark.slow
def test_values_on_a_trees_thresholds_go_where_pyod_sends_them():
    rows = generated("plain", width=3)
    detector = fitted("IForest", rows)
    splits = np.concatenate([tree.tree_.threshold for tree in detector.detector_.estimators_])
    near = np.concatenate([splits, np.float32(splits), np.nextafter(np.float32(splits), np.inf)])
    probes = np.column_stack([near, near[::-1], np.roll(near, 1)]).astype(float)
    theirs = BatchScorer(detector).score(probes)
    assert choose(detector, rows).score(probes).tobytes() == theirs.tobytes()


def test_values_on_a_histograms_edges_fall_where_pyod_puts_them():
    rows = generated("plain", width=3)
    for params in ({}, {"n_bins": "auto"}):
        detector = fitted("HBOS", rows, **params)
        edges = detector.bin_edges_
        edge = edges[0] if isinstance(edges, list) else edges[:, 0]
        near = np.concatenate([edge, np.nextafter(edge, np.inf), np.nextafter(edge, -np.inf)])
        probes = np.column_stack([near, near, near])
        assert choose(detector, rows).score(probes).tobytes() == alone(detector, probes).tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["IForest", "LOF", "KDE", "ECOD"])
def test_more_cores_change_no_bit(name, monkeypatch):
    rows = generated("plain")
    scorer = choose(fitted(name, rows), rows)
    probes = fresh(rows, 3_001)
    probes[::500] *= 1e3  # some that a kernel leaves to PyOD
    monkeypatch.setattr(kernels, "cores", lambda: 1)
    one = scorer.score(probes)
    monkeypatch.setattr(kernels, "cores", lambda: 4)
    monkeypatch.setattr(kernels, "WORK_A_THREAD", 1e3)
    assert scorer.score(probes).tobytes() == one.tobytes()


@pytest.mark.parametrize(
    ("cores", "rows", "nanoseconds", "threads"),
    [(1, 10**4, 1e6, 1), (4, 100, 1e3, 1), (4, 100, 1e4, 4), (4, 1_000, 600.0, 2), (2, 1, 1e9, 1)],
)
def test_as_many_threads_as_the_work_is_worth(cores, rows, nanoseconds, threads, monkeypatch):
    monkeypatch.setattr(kernels, "cores", lambda: cores)
    slices = []

    def kernel(rows, out):
        slices.append((len(rows), threading.get_ident()))
        out[:] = rows[:, 0]

    scorer = Compiled(kernel, kernel, (), nanoseconds=nanoseconds)
    probes = np.arange(float(rows))[:, None]
    assert np.array_equal(scorer.score(probes), probes[:, 0])
    assert len(slices) == threads
    assert sum(size for size, _ in slices) == rows


def test_what_a_thread_cannot_do_reaches_the_caller(monkeypatch):
    monkeypatch.setattr(kernels, "cores", lambda: 2)

    def kernel(rows, out):
        if threading.current_thread() is not threading.main_thread():
            raise ValueError("not here")

    scorer = Compiled(kernel, kernel, (), nanoseconds=1e9)
    with pytest.raises(ValueError, match="not here"):
        scorer.score(np.zeros((2, 1)))


class Inside:
    """A detector as another version might keep it: its arrays are elsewhere."""

    def __init__(self, detector):
        self._detector = detector

    def decision_function(self, rows):
        return self._detector.decision_function(rows)


def test_insides_that_are_not_known_fall_back_with_the_reason():
    rows = generated("plain")
    detector = fitted("HBOS", rows)
    scorer = choose(type("HBOS", (Inside,), {})(detector), rows)
    assert scorer.how.startswith("PyOD")
    assert "AttributeError" in scorer.doubt
    assert "hist_" in scorer.doubt
    assert np.array_equal(scorer.score(rows), detector.decision_function(rows))


def test_a_kernel_that_is_wrong_is_found_out_and_not_used(monkeypatch):
    rows = generated("plain")
    detector = fitted("HBOS", rows)
    kernel = kernels.compiled(detector)
    kernel.parts[1][0] += 1e-6
    monkeypatch.setattr("detectd.detectors.selection.compiled", lambda _: kernel)
    scorer = choose(detector, rows)
    assert scorer.how.startswith("PyOD")
    assert "a training row scores" in scorer.doubt


@pytest.mark.slow
def test_compiled_can_be_turned_off():
    rows = generated("plain")
    assert choose(fitted("IForest", rows), rows, kernels=False).how.startswith("PyOD")


def test_each_detector_with_a_kernel_is_in_the_catalogue_and_has_its_module():
    home = Path(kernels.__file__).parent
    for name, module in MODULES.items():
        assert name in CATALOGUE
        assert (home / f"{module}.py").exists()
