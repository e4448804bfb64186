"""Encode categories as numbers that a detector can use, by their shares of the training rows. Pure.

A category is a number that stands for a text: neither its size nor its order means anything. Its
column becomes either one column for each of the most frequent values and one for all others, or
−log10 of the value's share. The values and their counts are those of the rows that the detector is
fitted on, and part of the model; another fit counts again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Rows = NDArray[np.float64]

Kind = Literal["onehot", "share"]

# The most values that are counted one by one. Rarer ones are as rare as one that was never seen.
MOST_VALUES = 65_536

OTHER = "other"


class Coding(NamedTuple):
    """How a column is encoded: as `onehot` of the `top` most frequent values, or as its `share`."""

    column: int
    kind: Kind
    top: int = 0

    @property
    def width(self) -> int:
        """Return the number of columns that the detector gets."""
        return self.top + 1 if self.kind == "onehot" else 1


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The values (v,) of a column with their `counts` (v,) among `total` rows, most frequent first.

    `texts` name the values where they are known.
    """

    values: Rows
    counts: Rows
    total: int
    texts: tuple[str | None, ...]

    @classmethod
    def of(cls, column: Rows, most: int) -> Vocabulary:
        """Return the vocabulary of a column (N,). Of equals, the smallest is first."""
        values, counts = np.unique(column, return_counts=True)
        order = np.argsort(-counts, kind="stable")[:most]
        numbers = counts[order].astype(np.float64)
        return cls(values[order], numbers, len(column), (None,) * len(order))

    def named(self, texts: Mapping[float, str]) -> Vocabulary:
        """Return the same with the texts of its values."""
        found = zip(self.values.tolist(), self.texts, strict=True)
        return replace(self, texts=tuple(texts.get(value, text) for value, text in found))

    def ranks(self, column: Rows) -> NDArray[np.intp]:
        """Return the index of each value (k,); that of a value which is not in it is v."""
        ascending, ranks = self._sorted
        places = np.minimum(np.searchsorted(ascending, column), len(ascending) - 1)
        return np.where(ascending[places] == column, ranks[places], len(ascending))

    def in_words(self, most: int) -> str:
        """Return the shares of the most frequent values: 200 91.2 %, 404 6 %, others 2.8 %."""
        shown = [
            f"{text or f'#{rank}'} {count / self.total:.3g} %"
            for rank, (text, count) in enumerate(
                zip(self.texts, 100.0 * self.counts, strict=True), start=1
            )
        ][:most]
        rest = 100.0 * (1.0 - self.counts[:most].sum() / self.total)
        return ", ".join([*shown, f"others {rest:.3g} %"])

    @cached_property
    def _sorted(self) -> tuple[Rows, NDArray[np.intp]]:
        """Return the values (v,) ascending, and the rank (v,) of each."""
        ranks = np.argsort(self.values)
        return self.values[ranks], ranks

    def onehot(self, column: Rows, top: int) -> Rows:
        """Return a column (k, top + 1) for each rank, the last one for all other values."""
        ranks = self.ranks(column)
        ranks[ranks == len(self.values)] = top
        flags: Rows = (ranks[:, None] == np.arange(top + 1)).astype(np.float64)
        return flags

    def rarities(self, column: Rows) -> Rows:
        """Return −log10 of the share (k,) of each value.

        Shares are smoothed as those of a key's own values: as if each known value, and one more,
        had been seen half a time more.
        """
        whole = self.total + 0.5 * (len(self.values) + 1)
        rarities: Rows = -np.log10((np.append(self.counts, 0.0) + 0.5) / whole)
        return rarities[self.ranks(column)]


@dataclass(frozen=True, eq=False)
class Encoding:
    """The encoding of rows (k, d) as rows (k, e); each of the `codings` has its vocabulary."""

    codings: tuple[Coding, ...]
    vocabularies: tuple[Vocabulary, ...]

    @classmethod
    def of(cls, rows: Rows, codings: Sequence[Coding]) -> Encoding | None:
        """Return the encoding by complete rows (N, d); None if no column is encoded."""
        if not codings:
            return None
        most = [each.top if each.kind == "onehot" else MOST_VALUES for each in codings]
        counted = (
            Vocabulary.of(rows[:, each.column], values)
            for each, values in zip(codings, most, strict=True)
        )
        return cls(tuple(codings), tuple(counted))

    def __call__(self, rows: Rows) -> Rows:
        """Return the rows as the detector gets them, each by itself."""
        parts: list[Rows] = []
        done = 0
        for coding, vocabulary in zip(self.codings, self.vocabularies, strict=True):
            column = rows[:, coding.column]
            parts.append(rows[:, done : coding.column])
            if coding.kind == "onehot":
                parts.append(vocabulary.onehot(column, coding.top))
            else:
                parts.append(vocabulary.rarities(column)[:, None])
            done = coding.column + 1
        return np.hstack([*parts, rows[:, done:]])

    def names(self, columns: Sequence[str]) -> tuple[str, ...]:
        """Return the names (e,) of the detector's columns: `status_onehot=200`, …=other."""
        names = [[each] for each in columns]
        for coding, vocabulary in zip(self.codings, self.vocabularies, strict=True):
            if coding.kind == "onehot":
                texts = [*vocabulary.texts, *[None] * (coding.top - len(vocabulary.texts))]
                shown = [text or f"#{rank}" for rank, text in enumerate(texts, start=1)]
                label = columns[coding.column]
                names[coding.column] = [f"{label}={text}" for text in (*shown, OTHER)]
        return tuple(name for each in names for name in each)

    def named(self, texts: Mapping[float, str]) -> Encoding:
        """Return the same with the texts of values, for display."""
        return replace(self, vocabularies=tuple(each.named(texts) for each in self.vocabularies))

    def as_data(self) -> list[dict[str, Any]]:
        """Return it for JSON."""
        return [
            {
                **coding._asdict(),
                "values": vocabulary.values.tolist(),
                "counts": vocabulary.counts.tolist(),
                "total": vocabulary.total,
                "texts": vocabulary.texts,
            }
            for coding, vocabulary in zip(self.codings, self.vocabularies, strict=True)
        ]

    @classmethod
    def from_data(cls, data: Sequence[Mapping[str, Any]]) -> Encoding:
        """Return what `as_data` encoded. Raise KeyError, TypeError or ValueError for other data."""
        return cls(
            tuple(Coding(each["column"], each["kind"], each["top"]) for each in data),
            tuple(map(_vocabulary, data)),
        )


def _vocabulary(data: Mapping[str, Any]) -> Vocabulary:
    found = Vocabulary(
        np.array(data["values"], dtype=np.float64),
        np.array(data["counts"], dtype=np.float64),
        int(data["total"]),
        tuple(data["texts"]),
    )
    sound = found.values.ndim == 1 and len(found.values) and (found.counts > 0.0).all()
    fits = len(found.values) == len(found.counts) == len(found.texts)
    if not (sound and fits and found.counts.sum() <= found.total):
        raise ValueError("a vocabulary has no such values or counts")
    return found


def encoded_width(columns: int, codings: Sequence[Coding]) -> int:
    """Return the number of columns that a detector gets of a feature vector's."""
    return columns + sum(each.width - 1 for each in codings)
