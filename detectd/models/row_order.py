"""The order of training rows in time, whichever files and keys they come from. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray


# What stands for the key of an event that has none.
NO_KEY = 0


class RowOrder:
    """Puts the rows of each key in order, and the keys side by side.

    A row's place is how much of its key's rows came before it. So the last rows of all are the
    later part of each key's, also if one key was read after another.
    """

    def __init__(self) -> None:
        self._numbers: dict[bytes | None, int] = {None: NO_KEY}
        self._keys: list[int] = []

    def add(self, keys: Iterable[bytes | None]) -> None:
        """Take the keys of further rows, in the order in which they were read."""
        self._keys += [self._numbers.setdefault(key, len(self._numbers)) for key in keys]

    def order(self, most: int | None = None) -> NDArray[np.intp]:
        """Return which rows (k,) of those taken train, in order; at most so many of each key."""
        keys = np.array(self._keys, dtype=np.intp)
        places, counts = _places(keys)
        chosen = even_per_key(keys, most)
        return chosen[np.argsort((places / counts)[chosen], kind="stable")]


def even_per_key(keys: NDArray[Any], most: int | None) -> NDArray[np.intp]:
    """Return which of the rows (N,) with these `keys` to keep, in order.

    Of a key with more than `most` rows, `most` are kept, evenly spaced; None keeps all. So do rows
    of `NO_KEY`.
    """
    if most is None:
        return np.arange(len(keys))
    places, counts = _places(keys)
    steps = np.maximum(counts, most)
    kept = (places + 1) * most // steps > places * most // steps
    return np.flatnonzero(kept | (keys == NO_KEY))


def _places(keys: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return for each row how many of its key came before it, and how many there are in all."""
    _, numbers, counts = np.unique(keys, return_inverse=True, return_counts=True)
    order = np.argsort(numbers, kind="stable")
    places = np.empty(len(keys), dtype=np.int64)
    places[order] = np.arange(len(keys)) - np.repeat(np.cumsum(counts) - counts, counts)
    return places, counts[numbers]
