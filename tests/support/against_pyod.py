"""Kernels held against PyOD, a row at a time."""

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from detectd.detectors import build, fit
from detectd.detectors.kernels import compiled
from detectd.detectors.scorer import RowScorer


@pytest.fixture
def one_thread():
    """Threads that wait for each other over single rows are most of the time otherwise."""
    with threadpool_limits(1):
        yield


def fitted(name, rows, **params):
    """Return the detector, fitted to the rows."""
    detector = build(name, 0.1, 0, params)
    fit(detector, rows)
    return detector


def check(detector, rows, atol=0.0):
    """Assert that the kernel scores the rows as PyOD does, one by one."""
    expected = RowScorer(detector).score(rows)
    np.testing.assert_allclose(compiled(detector).score(rows), expected, rtol=1e-9, atol=atol)


def kept(detector, rows):
    """The kernel's own scores, nan for the rows that it leaves to PyOD."""
    kernel = compiled(detector)
    scores = np.empty(len(rows))
    kernel.kernel(rows, scores, *kernel.parts)
    return scores
