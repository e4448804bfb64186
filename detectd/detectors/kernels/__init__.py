"""Detectors as machine code: built from a fitted PyOD detector, and used only after a comparison
with it.

Each module extracts the arrays of one family of fitted detectors and returns a `Compiled`: a kernel
over bare arrays, and the same in plain numpy for readers and tests. No kernel orders a sum by the
number of rows, and if it leaves a hard row to BLAS, it does so with that row alone, so a row gets
the same bits in any batch. If PyOD's own score depends on rounding that no kernel can reproduce,
the kernel leaves the row to PyOD.

cblof        CBLOF
ecod_copod   ECOD, COPOD
gmm          GMM
hbos         HBOS
iforest      IForest
inne         INNE
kde          KDE
knn_lof      KNN, LOF
loda         LODA
ocsvm        OCSVM
pca_mcd      PCA, MCD
tail_sum     TailSum
"""

from __future__ import annotations

import importlib
import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from detectd.detectors.scorer import Scorer

    Rows = NDArray[np.float64]

# The detector and the module whose `build` takes it apart.
MODULES = {
    "CBLOF": "cblof",
    "COPOD": "ecod_copod",
    "ECOD": "ecod_copod",
    "GMM": "gmm",
    "HBOS": "hbos",
    "IForest": "iforest",
    "INNE": "inne",
    "KDE": "kde",
    "KNN": "knn_lof",
    "LODA": "loda",
    "LOF": "knn_lof",
    "MCD": "pca_mcd",
    "OCSVM": "ocsvm",
    "PCA": "pca_mcd",
    "TailSum": "tail_sum",
}

# Nanoseconds of work below which another thread costs more than it saves.
WORK_A_THREAD = 250_000.0


class Unsupported(Exception):  # noqa: N818 - not a fault: PyOD scores such a detector itself
    """A parameter for which there is no kernel."""


@dataclass(frozen=True, eq=False)
class Compiled:
    """A detector's kernel and what it reads.

    `kernel(rows, out, *parts)` writes the scores (k,) of rows (k, d), C-contiguous float64, into
    `out`; a row on which PyOD fails gets NaN. It may return the number of rows that it leaves to
    `others`, which are NaN, too. `reference(rows, *parts)` returns the same, slowly, and leaves
    none. `nanoseconds` is the time per row, within a small factor.
    """

    kernel: Callable[..., int | None]
    reference: Callable[..., Rows]
    parts: tuple[Any, ...]
    others: Scorer | None = None
    nanoseconds: float = 0.0

    how = "compiled"
    doubt: str | None = field(default=None, init=False)

    def score(self, rows: Rows) -> Rows:
        """Return one score for each row, on several cores if there is enough work."""
        rows = np.ascontiguousarray(rows, dtype=np.float64)
        out = np.empty(len(rows))
        left = self._share_out(rows, out)
        if left and self.others is not None:
            # In this thread, not in the kernel's: `quiet` admits one thread at a time.
            places = np.flatnonzero(np.isnan(out))
            out[places] = self.others.score(rows[places])
        return out

    def _share_out(self, rows: Rows, out: Rows) -> int:
        """Score slices of the rows in parallel; return how many rows are left."""
        work = int(len(rows) * self.nanoseconds / WORK_A_THREAD)
        slices = min(cores(), len(rows), work)
        if slices < 2:
            return self.kernel(rows, out, *self.parts) or 0
        cuts = [len(rows) * i // slices for i in range(slices + 1)]
        others = [
            _threads().submit(self.kernel, rows[a:b], out[a:b], *self.parts)
            for a, b in itertools.pairwise(cuts[1:])
        ]
        left = self.kernel(rows[: cuts[1]], out[: cuts[1]], *self.parts) or 0
        return left + sum(other.result() or 0 for other in others)


def compiled(detector: Any) -> Compiled:
    """Return the kernel of a fitted PyOD detector.

    Raise Unsupported if there is none; any other exception if its internals are not as expected.
    """
    name = type(detector).__name__
    if name not in MODULES:
        raise Unsupported(f"there is no kernel for {name}")
    built: Compiled = importlib.import_module(f"{__name__}.{MODULES[name]}").build(detector)
    return built


@cache
def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0))


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(cores() - 1, "scoring")
