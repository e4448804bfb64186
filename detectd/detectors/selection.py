"""Select the fastest way to score with a fitted detector that scores each row as if alone.

The first choice is detectd's own kernel, compared with PyOD on training rows and on rows far
outside; then PyOD in batches, if they give each row its own bits; then PyOD row by row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from detectd.detectors.catalogue import CATALOGUE, Scoring
from detectd.detectors.kernels import Unsupported, compiled
from detectd.detectors.scorer import BatchScorer, RowScorer, keep_compiled_pyod
from detectd.detectors.tails import TailScorer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from detectd.detectors.kernels import Compiled
    from detectd.detectors.scorer import Scorer

    Rows = NDArray[np.float64]

# Enough rows to detect a batch that rounds differently in one row out of a hundred.
PROBES = 512
SIZES = (1, 2, 3, 7, 64)
# How many rows a kernel is tested on: few if PyOD needs a call for each, and fewer if ECOD and
# COPOD process all training rows in each call.
TRIED = {Scoring.BATCH: PROBES, Scoring.ROW: 48, Scoring.TAILS: 16}
# The tolerated difference from PyOD: this share of the score, and of the scores' spread.
RELATIVE = 1e-9
ABSOLUTE = 1e-12


def choose(detector: Any, rows: Rows, *, kernels: bool = True) -> Scorer:
    """Return the scorer of a fitted detector; if its kernel fails the test, PyOD with the `doubt`.

    `rows` (N, d) are training rows, on which kernels and batches are tested.
    """
    keep_compiled_pyod()
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
    # As two products, since the spread itself may overflow a double.
    spread = float(np.ptp(ABSOLUTE * finite)) if len(finite) else 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        same = np.isclose(ours, theirs, rtol=RELATIVE, atol=spread, equal_nan=True)
    if same.all():
        return None
    worst = int(np.flatnonzero(~same)[0])
    return f"a training row scores {float(ours[worst])}, by PyOD {float(theirs[worst])}"


def _as_pyod(detector: Any, rows: Rows) -> BatchScorer | RowScorer | TailScorer:
    """Return PyOD itself, in batches if their bits are those of the row alone."""
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
    """Return whether one of scikit-learn's neighbour searches uses matrix products.

    It does so beyond 15 features, but also if the requested neighbours are half the rows, and for
    metrics that no tree supports.
    """
    parts = vars(detector).values()
    return any(getattr(part, "_fit_method", None) == "brute" for part in parts)


def _batches_are_exact(detector: Any, rows: Rows) -> bool:
    """Return whether rows get the same bits alone, in a batch, and elsewhere in batches of other
    sizes.

    This detects parameters that use BLAS when the defaults do not.
    """
    batch = BatchScorer(detector)
    order = np.random.default_rng(0).permutation(len(rows))
    try:
        whole, mixed = batch.score(rows)[order], rows[order]
    except AttributeError:  # With such parameters it cannot score: the fit reports that.
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
