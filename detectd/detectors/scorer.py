"""Score each row as if it were alone, whatever its batch.

An event's score must not depend on batch boundaries: then a replay after a crash gives the same
bytes, and the promise is about one score per event. Most detectors score a batch row by row anyway;
some round differently in a batch, because BLAS does; two score it relative to itself.
"""

from __future__ import annotations

import contextlib
import importlib
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from threadpoolctl import threadpool_limits

from detectd.detectors.catalogue import build
from detectd.errors import ConfigError, DetectdError
from detectd.quiet import quiet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Rows = NDArray[np.float64]

# Enough rows to try out a detector.
TRIAL_ROWS = 512

# The exceptions of NumPy, SciPy and scikit-learn for rows that overflow a double.
BEYOND_DOUBLES = (ValueError, ArithmeticError)


class Scorer(Protocol):
    """The pipeline's interface of a detector."""

    @property
    def how(self) -> str:
        """Return the method: detectd's own kernel, or PyOD, and in which calls."""

    @property
    def doubt(self) -> str | None:
        """Return why the detector's kernel is not used; None if it is, or if there is none."""

    def score(self, rows: Rows) -> Rows:
        """Return one score for each row of (k, d), higher is more anomalous, as for the row alone.

        A row on which the detector's arithmetic overflows gets NaN. Any other exception of the
        detector propagates.
        """


class BatchScorer:
    """A scorer for detectors whose batches give each row the same bits as alone."""

    how = "PyOD, a batch a call"
    doubt: str | None = None

    def __init__(self, detector: Any) -> None:
        self._detector = detector
        self._rows = RowScorer(detector)

    def score(self, rows: Rows) -> Rows:
        """See `Scorer`."""
        try:
            return _decide(self._detector, rows)
        except BEYOND_DOUBLES:  # One row must not fail the others.
            return self._rows.score(rows)


class RowScorer:
    """A scorer for all others: one call per row."""

    how = "PyOD, a row a call"
    doubt: str | None = None

    def __init__(self, detector: Any) -> None:
        self._detector = detector

    def score(self, rows: Rows) -> Rows:
        """See `Scorer`."""
        scores = np.full(len(rows), np.nan)
        for i in range(len(rows)):
            with contextlib.suppress(*BEYOND_DOUBLES):
                scores[i] = _decide(self._detector, rows[i : i + 1])[0]
        return scores


def fit(detector: Any, rows: Rows) -> None:
    """Fit on rows (N, d). Raise DetectdError if the detector cannot be fitted to them.

    It uses one OpenMP thread: KMeans sums its centres in the order in which threads finish, so the
    same rows and seed would give another model in each run.
    """
    try:
        with threadpool_limits(1, user_api="openmp"):
            _fit(detector, rows)
    except Exception as failed:
        name = type(detector).__name__
        reason = " ".join(str(failed).split())
        raise DetectdError(
            f"training: {name} cannot be fitted to {len(rows)} rows of {rows.shape[1]} features: "
            f"{reason}; see detector.params, or choose another detector.name"
        ) from failed


def try_params(name: str, params: Mapping[str, Any], width: int) -> None:
    """Raise ConfigError for invalid parameter values that only a fit detects, by a small fit.

    Failures for other reasons may be due to the small data, and are ignored.
    """
    detector = build(name, 0.1, 0, params)
    rows = np.random.default_rng(0).normal(size=(TRIAL_ROWS, width))
    try:
        _fit(detector, rows)
    except TypeError as refused:  # scikit-learn's InvalidParameterError is one
        reason = " ".join(str(refused).split())
        raise ConfigError(f"detector.params: {name} rejects them: {reason}") from None
    except Exception:  # noqa: BLE001, S110 - see above
        pass


def _fit(detector: Any, rows: Rows) -> None:
    keep_compiled_pyod()
    with quiet():
        detector.fit(rows)


def keep_compiled_pyod() -> None:
    """Cache what the imported detectors compile, see `jit.keep_machine_code`."""
    # Not imported above: quick commands do without a compiler.
    importlib.import_module("detectd.jit").keep_machine_code("pyod")


def training_scores(detector: Any) -> Rows:
    """Return the scores (N,) of the rows that the detector was fitted on."""
    return np.asarray(detector.decision_scores_, dtype=np.float64)


def _decide(detector: Any, rows: Rows) -> Rows:
    with quiet():
        return np.asarray(detector.decision_function(rows), dtype=np.float64).reshape(len(rows))
