"""Order training rows by time across files and keys. Pure."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

import numpy as np

from detectd.pipeline.key_digest import NO_KEY, Digests

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray


class RowOrder:
    """Merge the ordered rows of each key.

    A row's rank is the share of its key's rows before it. So the last rows overall are the later
    part of each key's, even if one key was read after another.
    """

    def __init__(self) -> None:
        self._digests = Digests()
        self._keys = array("Q")

    @property
    def keys(self) -> NDArray[np.uint64]:
        """Return the digests of the keys of those taken."""
        return np.array(self._keys, dtype=np.uint64)

    def add(self, keys: Iterable[bytes | None]) -> None:
        """Add the keys of further rows, in the order in which they were read."""
        self._keys.extend(map(self._digests.__getitem__, keys))

    def order(self, most: int | None, *, by_time: bool) -> NDArray[np.intp]:
        """Return `training_rows` of those taken."""
        return training_rows(self.keys, most, by_time=by_time)


def training_rows(keys: NDArray[Any], most: int | None, *, by_time: bool) -> NDArray[np.intp]:
    """Return which of the rows (N,) with these `keys` train, at most `most` of each key.

    They are in the order in which they came, or `by_time` with the later part of each key last.
    """
    chosen = even_per_key(keys, most)
    if not by_time:
        return chosen
    places, counts = _places(keys)
    return chosen[np.argsort((places / counts)[chosen], kind="stable")]


def even_per_key(keys: NDArray[Any], most: int | None) -> NDArray[np.intp]:
    """Return which of the rows (N,) with these `keys` to keep, in order.

    Of a key with more than `most` rows, `most` are kept, evenly spaced; None keeps all, as for rows
    of `NO_KEY`.
    """
    if most is None:
        return np.arange(len(keys))
    places, counts = _places(keys)
    steps = np.maximum(counts, most)
    kept = (places + 1) * most // steps > places * most // steps
    return np.flatnonzero(kept | (keys == NO_KEY))


def _places(keys: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return, for each row, the number of earlier rows of its key, and of all its rows."""
    _, numbers, counts = np.unique(keys, return_inverse=True, return_counts=True)
    order = np.argsort(numbers, kind="stable")
    places = np.empty(len(keys), dtype=np.int64)
    places[order] = np.arange(len(keys)) - np.repeat(np.cumsum(counts) - counts, counts)
    return places, counts[numbers]
