"""Detectors as machine code: built from what PyOD has fitted, held against PyOD, then used.

Each module takes the arrays of one family of fitted detectors apart and gives a `Compiled`: a
kernel over bare arrays, and the same in plain numpy for the reader and the tests. No kernel orders
a sum by the number of rows, and where one leaves a hard row to BLAS it does so with that row alone,
so a row gets the same bits in any batch.

forest       IForest
histograms   HBOS
linear       PCA, MCD
mixtures     GMM
projections  LODA
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

    Rows = NDArray[np.float64]

# The detector and the module whose `build` takes it apart.
MODULES = {
    "GMM": "mixtures",
    "HBOS": "histograms",
    "IForest": "forest",
    "LODA": "projections",
    "MCD": "linear",
    "PCA": "linear",
}

# Below this, handing rows to another thread costs more than scoring them.
ROWS_A_THREAD = 512


class Unsupported(Exception):  # noqa: N818 - not a fault: PyOD scores such a detector itself
    """A parameter for which there is no kernel."""


@dataclass(frozen=True, eq=False)
class Compiled:
    """A detector's kernel and what it reads.

    `kernel(rows, out, *parts)` writes the scores (k,) of rows (k, d), C-contiguous float64, into
    `out`; a row on which PyOD fails gets NaN. `reference(rows, *parts)` returns the same, slowly.
    """

    kernel: Callable[..., None]
    reference: Callable[..., Rows]
    parts: tuple[Any, ...]

    how = "compiled"
    doubt: str | None = field(default=None, init=False)

    def score(self, rows: Rows) -> Rows:
        """One score for each row, over the cores where there are rows enough."""
        rows = np.ascontiguousarray(rows, dtype=np.float64)
        out = np.empty(len(rows))
        slices = min(cores(), len(rows) // ROWS_A_THREAD)
        if slices < 2:
            self.kernel(rows, out, *self.parts)
            return out
        cuts = [len(rows) * i // slices for i in range(slices + 1)]
        others = [
            _threads().submit(self.kernel, rows[a:b], out[a:b], *self.parts)
            for a, b in itertools.pairwise(cuts[1:])
        ]
        self.kernel(rows[: cuts[1]], out[: cuts[1]], *self.parts)
        for other in others:
            other.result()
        return out


def compiled(detector: Any) -> Compiled:
    """The kernel of a fitted PyOD detector.

    Raises Unsupported where there is none; any other exception where its insides are not those
    that are known here.
    """
    name = type(detector).__name__
    if name not in MODULES:
        raise Unsupported(f"there is no kernel for {name}")
    built: Compiled = importlib.import_module(f"{__name__}.{MODULES[name]}").build(detector)
    return built


@cache
def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(cores() - 1, "scoring")
