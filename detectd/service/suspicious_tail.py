"""Restore the upper tail for a model that is trained only on rows judged normal.

Rows judged normal are the stream without its upper tail. A model calibrated on them alone would
expect its share γ of anomalies among the rest, so each refit would cut off more of the normal rows.
The tail therefore comes from the training rows of the previous model: the rows that it does not
call normal itself, in the same share. So each training row was either judged normal on arrival or
was a training row of the previous model, and ultimately of the first one, which an operator fitted
or the warm-up collected. A training set never grows beyond the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = TypeVar("Array", npt.NDArray[np.float64], npt.NDArray[np.uint64])


def with_tail(normal: Array, before: Array, suspicious: npt.NDArray[np.bool_]) -> Array:
    """Return the newest of the rows or keys `normal` (k, …), mixed with suspicious ones of `before`
    (N, …).

    `suspicious` (N,) marks those. The tail is spread evenly, since the later rows may be used for
    calibration.
    """
    tail, rest = before[suspicious], len(before) - int(suspicious.sum())
    newest = normal[max(0, len(normal) - rest) :]
    count = round(len(newest) * len(tail) / max(1, rest))
    chosen = tail[np.linspace(0, len(tail) - 1, count).round().astype(np.int64)]
    places = np.linspace(0, len(newest), count + 2)[1:-1].round().astype(np.int64)
    return np.insert(newest, places, chosen, axis=0)
