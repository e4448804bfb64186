"""The row with the whole state of a key: a header of the table, then the words of the ops.

A word is a float64. Op words that are all zero are those of an unseen key.
"""

from __future__ import annotations

import math
from collections import defaultdict
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Places = NDArray[np.intp]

# The header: the number of the key's latest event in its table, how many of its events count, the
# latest of their times (ms; NaN for none), how many there were when it was found silent (0: it is
# not), and the table's clock at the latest event that was not late (see `silence`).
NUMBER, COUNT, LATEST, SILENT, SEEN = range(5)
HEADER_WORDS = 5

# A table begins with room for so many rows.
SMALLEST = 16

# Rows that are compared and encoded at once; that takes five times their bytes.
CHUNK, CHUNK_COPIES = 256, 6

# A longer key is stored as its beginning and a digest: there may be many keys of a megabyte.
LONGEST_KEY = 255
BEGINNING = 128

# A key as a table stores it: itself, or text in the place of a long one. None is a valid key.
Key = bytes | str | None

# An op: the signature that identifies it, and the number of its words.
Op = tuple[str, int]


def kept(key: bytes | None) -> Key:
    """Return the key as a table stores it."""
    if key is None or len(key) <= LONGEST_KEY:
        return key
    beginning = key[:BEGINNING].decode(errors="backslashreplace")
    return f"{beginning}... ({len(key)} bytes, {blake2b(key, digest_size=16).hexdigest()})"


def name_of(key: Key) -> bytes:
    """Return the key as bytes for a log: never empty, and unique."""
    if key is None:
        return b"-"
    return b"=" + key if isinstance(key, bytes) else b"#" + key.encode()


def key_of(name: bytes) -> Key:
    """Return the key for a name from `name_of`. Raise ValueError for any other."""
    kind, rest = name[:1], name[1:]
    if name == b"-":
        return None
    if kind == b"=":
        return rest
    if kind == b"#":
        return rest.decode()
    raise ValueError(f"not the name of a key: {name[:20]!r}")


def in_words(key: Key) -> str | None:
    """Return the key as text, for display."""
    return key.decode(errors="backslashreplace") if isinstance(key, bytes) else key


def with_room(rows: Floats, slots: int, most: float = math.inf) -> Floats:
    """Return the same rows and room for one more, and for an eighth more, `most` in all.

    The argument must not be used afterwards: its memory is grown, since for a moment a copy would
    take as much again. New rows are zero.
    """
    room = int(min(max(SMALLEST, slots + slots // 8 + 1), most))
    if not rows.flags.owndata:
        rows = rows.copy()
    rows.resize((room, rows.shape[1]), refcheck=False)
    return rows


class Remap(NamedTuple):
    """The mapping of words from rows of old ops to rows of new ones, and the signatures of the ops.

    Kept ops keep their words, added ones start from zero, and removed ones lose theirs.
    """

    source: Places
    target: Places
    words: int
    stay: tuple[str, ...]
    begin: tuple[str, ...]
    dropped: tuple[str, ...]

    @property
    def changes(self) -> bool:
        """Return whether the mapping changes any row."""
        return bool(self.begin or self.dropped) or not np.array_equal(self.source, self.target)

    def apply(self, rows: Floats) -> Floats:
        """Return the rows (k, words), headers included, in the layout of the new ops."""
        others = np.zeros((len(rows), self.words))
        others[:, self.target] = rows[:, self.source]
        return others


def remap(old: Sequence[Op], new: Sequence[Op]) -> Remap:
    """Match ops by signature and size, the n-th of equal ones with the n-th, in offset order."""
    places: defaultdict[Op, list[int]] = defaultdict(list)
    offset = HEADER_WORDS
    for op in old:
        places[op].append(offset)
        offset += op[1]
    source, target = [np.arange(HEADER_WORDS)], [np.arange(HEADER_WORDS)]
    stay, begin = [], []
    offset = HEADER_WORDS
    for op in new:
        signature, size = op
        if places[op]:
            source.append(places[op].pop(0) + np.arange(size))
            target.append(offset + np.arange(size))
            stay.append(signature)
        else:
            begin.append(signature)
        offset += size
    dropped = tuple(signature for (signature, _), left in places.items() for _ in left)
    return Remap(
        np.concatenate(source), np.concatenate(target), offset, tuple(stay), tuple(begin), dropped
    )
