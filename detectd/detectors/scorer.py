"""Scoring rows as if each were alone, whatever other rows share the call.

An event's score must not depend on how the stream was cut into batches: then a replay after a
crash gives the same bytes, and the promise is about one score per event. Most detectors score a
batch row by row anyway; some round otherwise in a batch, because BLAS does; two score it against
itself.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from detectd.detectors.catalogue import CATALOGUE, Scoring, build
from detectd.detectors.tails import TailScorer
from detectd.errors import ConfigError, DetectdError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    Rows = NDArray[np.float64]

# Enough rows to see a batch that rounds otherwise in one row out of a hundred.
PROBES = 512
SIZES = (1, 2, 3, 7, 64)


class Scorer(Protocol):
    """What the pipeline needs of a detector."""

    def score(self, rows: Rows) -> Rows:
        """One score for each row of (k, d), higher is more anomalous: that of the row alone.

        A row on which the detector fails gets NaN.
        """


class BatchScorer:
    """For detectors whose batches give each row the bits that it gets alone."""

    def __init__(self, detector: Any) -> None:
        self._detector = detector
        self._rows = RowScorer(detector)

    def score(self, rows: Rows) -> Rows:
        """See `Scorer`."""
        try:
            return _decide(self._detector, rows)
        except Exception:  # noqa: BLE001 - one bad row must not take the others with it
            return self._rows.score(rows)


class RowScorer:
    """For all others: one call a row."""

    def __init__(self, detector: Any) -> None:
        self._detector = detector

    def score(self, rows: Rows) -> Rows:
        """See `Scorer`."""
        scores = np.full(len(rows), np.nan)
        for i in range(len(rows)):
            with contextlib.suppress(Exception):
                scores[i] = _decide(self._detector, rows[i : i + 1])[0]
        return scores


def choose(detector: Any, rows: Rows) -> Scorer:
    """The fastest scorer of a fitted detector that is true to the row alone.

    `rows` (N, d) are training rows, on which a batch is held against single rows.
    """
    entry = CATALOGUE[type(detector).__name__]
    if entry.scoring is Scoring.TAILS:
        return TailScorer(detector)
    wide = entry.exact_to is not None and rows.shape[1] > entry.exact_to
    if entry.scoring is Scoring.ROW or wide or _multiplies(detector):
        return RowScorer(detector)
    if not _batches_are_exact(detector, rows[:PROBES]):
        return RowScorer(detector)
    return BatchScorer(detector)


def fit(detector: Any, rows: Rows) -> None:
    """Fit on rows (N, d). Raises DetectdError where the detector cannot be fitted to them.

    On one OpenMP thread: KMeans adds up its centres in the order in which threads finish, so the
    same rows and seed would give another model from run to run.
    """
    try:
        with _quiet(), threadpool_limits(1, user_api="openmp"):
            detector.fit(rows)
    except Exception as failed:
        name = type(detector).__name__
        reason = " ".join(str(failed).split())
        raise DetectdError(
            f"training: {name} cannot be fitted to {len(rows)} rows of {rows.shape[1]} features: "
            f"{reason}; see detector.params, or choose another detector.name"
        ) from failed


def try_params(name: str, params: Mapping[str, Any], width: int) -> None:
    """Raise ConfigError for parameters whose values only a fit finds out, by a small one.

    What fails for other reasons may be the small data's fault and is passed over.
    """
    detector = build(name, 0.1, 0, params)
    rows = np.random.default_rng(0).normal(size=(PROBES, width))
    try:
        with _quiet():
            detector.fit(rows)
    except TypeError as refused:  # scikit-learn's InvalidParameterError is one
        reason = " ".join(str(refused).split())
        raise ConfigError(f"detector.params: {name} refuses them: {reason}") from None
    except Exception:  # noqa: BLE001, S110 - see above
        pass


def training_scores(detector: Any) -> Rows:
    """The scores (N,) of the rows that the detector was fitted on."""
    return np.asarray(detector.decision_scores_, dtype=np.float64)


def _multiplies(detector: Any) -> bool:
    """Whether one of scikit-learn's neighbour searches has settled on products of matrices.

    It does so beyond 15 features, but also where the neighbours asked for are half the rows, and
    for metrics that no tree knows.
    """
    parts = vars(detector).values()
    return any(getattr(part, "_fit_method", None) == "brute" for part in parts)


def _batches_are_exact(detector: Any, rows: Rows) -> bool:
    """Whether rows get the same bits alone, in a batch, and elsewhere in batches of other sizes.

    This catches parameters that bring BLAS in where the defaults do without.
    """
    batch = BatchScorer(detector)
    order = np.random.default_rng(0).permutation(len(rows))
    whole, mixed = batch.score(rows)[order], rows[order]
    if not _same_bits(whole, batch.score(mixed)):
        return False
    for size in SIZES:
        some = max(size, PROBES // 16)
        parts = [batch.score(mixed[i : i + size]) for i in range(0, min(some, len(rows)), size)]
        scores = np.concatenate(parts)
        if not _same_bits(scores, whole[: len(scores)]):
            return False
    return True


def _same_bits(a: Rows, b: Rows) -> bool:
    return a.tobytes() == b.tobytes()


def _decide(detector: Any, rows: Rows) -> Rows:
    with _quiet():
        return np.asarray(detector.decision_function(rows), dtype=np.float64).reshape(len(rows))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """PyOD and its libraries print and warn; a service's output is its own."""
    nowhere = io.StringIO()
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        warnings.simplefilter("ignore")
        yield
