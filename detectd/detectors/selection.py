"""The fastest way to score with a fitted detector that is true to the row alone.

First choice is a kernel of our own, held against PyOD on training rows and on rows far outside;
then PyOD in batches, where they are seen to give each row its own bits; then PyOD row by row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from detectd.detectors.catalogue import CATALOGUE, Scoring
from detectd.detectors.kernels import Unsupported, compiled
from detectd.detectors.scorer import BatchScorer, RowScorer
from detectd.detectors.tails import TailScorer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from detectd.detectors.kernels import Compiled
    from detectd.detectors.scorer import Scorer

    Rows = NDArray[np.float64]

# Enough rows to see a batch that rounds otherwise in one row out of a hundred.
PROBES = 512
SIZES = (1, 2, 3, 7, 64)
# How many rows a kernel is tried on: few where PyOD takes a call for each, and fewer where ECOD and
# COPOD look at all training rows in each call.
TRIED = {Scoring.BATCH: PROBES, Scoring.ROW: 48, Scoring.TAILS: 16}
# How far a kernel may be from PyOD: by this share of the score, and of the scores' spread.
RELATIVE = 1e-9
ABSOLUTE = 1e-12


def choose(detector: Any, rows: Rows, *, kernels: bool = True) -> Scorer:
    """Return the scorer of a fitted detector; where its kernel will not do, PyOD with the `doubt`.

    `rows` (N, d) are training rows, on which kernels and batches are tried.
    """
    doubt = None
    if kernels:
        try:
            kernel = compiled(detector)
            doubt = _difference(kernel, detector, rows)
        except Unsupported:
            return _as_pyod(detector, rows)
        except Exception as unknown:  # noqa: BLE001 - another version's insides can be anything
            doubt = f"{type(unknown).__name__}: {' '.join(str(unknown).split())}"
        else:
            if doubt is None:
                return kernel
    pyod = _as_pyod(detector, rows)
    pyod.doubt = doubt
    return pyod


def _difference(kernel: Compiled, detector: Any, rows: Rows) -> str | None:
    """How the kernel's scores differ from PyOD's on training rows and on rows outside of them."""
    scoring = CATALOGUE[type(detector).__name__].scoring
    low, high = rows.min(axis=0), rows.max(axis=0)
    with np.errstate(over="ignore"):
        outside = np.vstack([low, high, high + (high - low), low - 1e3 * (high - low)])
    probes = np.vstack([rows[: TRIED[scoring]], outside[np.isfinite(outside).all(axis=1)]])
    pyod = BatchScorer(detector) if scoring is Scoring.BATCH else RowScorer(detector)
    ours, theirs = kernel.score(probes), pyod.score(probes)
    finite = theirs[np.isfinite(theirs)]
    # Of two products, as the spread itself may be more than a double holds.
    spread = float(np.ptp(ABSOLUTE * finite)) if len(finite) else 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        same = np.isclose(ours, theirs, rtol=RELATIVE, atol=spread, equal_nan=True)
    if same.all():
        return None
    worst = int(np.flatnonzero(~same)[0])
    return f"a training row scores {float(ours[worst])}, by PyOD {float(theirs[worst])}"


def _as_pyod(detector: Any, rows: Rows) -> BatchScorer | RowScorer | TailScorer:
    """PyOD itself, in batches where their bits are those of the row alone."""
    entry = CATALOGUE[type(detector).__name__]
    if entry.scoring is Scoring.TAILS:
        return TailScorer(detector)
    wide = entry.exact_to is not None and rows.shape[1] > entry.exact_to
    if entry.scoring is Scoring.ROW or wide or _multiplies(detector):
        return RowScorer(detector)
    if not _batches_are_exact(detector, rows[:PROBES]):
        return RowScorer(detector)
    return BatchScorer(detector)


def _multiplies(detector: Any) -> bool:
    """Return whether one of scikit-learn's neighbour searches has settled on products of matrices.

    It does so beyond 15 features, but also where the neighbours asked for are half the rows, and
    for metrics that no tree knows.
    """
    parts = vars(detector).values()
    return any(getattr(part, "_fit_method", None) == "brute" for part in parts)


def _batches_are_exact(detector: Any, rows: Rows) -> bool:
    """Return whether rows get the same bits alone, in a batch, and elsewhere in batches of other
    sizes.

    This catches parameters that bring BLAS in where the defaults do without.
    """
    batch = BatchScorer(detector)
    order = np.random.default_rng(0).permutation(len(rows))
    try:
        whole, mixed = batch.score(rows)[order], rows[order]
    except AttributeError:  # parameters under which it scores nothing: the fit reports that
        return False
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
