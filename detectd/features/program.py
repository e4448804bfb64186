"""Compile declared features to a program that calculates them, one op after another.

The state of a key is one row of `Program.words` float64 words, in which each op has its part. Ops
read and write the scratch vector of an event: first the fields as read, then the columns of
functions of time, then the output of each op.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from detectd.features.catalogue import CATALOGUE, CATEGORY
from detectd.features.declared import Category, Declared, Function, History
from detectd.features.declaring import calls
from detectd.features.reads import fields

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from detectd.features.catalogue import Call

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]


class Op(NamedTuple):
    """One step of a program.

    `source` is the index in the scratch vector that it reads (-1: none), `dest` and `width` the
    range it writes, `offset` and `size` its part of a key's row. Its times are those of the clocks
    in `zone` (None: UTC). `signature` identifies the calculation: an op can take over the state of
    an op with the same signature.
    """

    code: int
    source: int
    dest: int
    width: int
    offset: int
    size: int
    params: tuple[float, ...]
    signature: str
    zone: str | None = None


class Origin(NamedTuple):
    """What a column judges: where the scratch vector has it, and what was `expected` of it.

    Without an expectation of the key's own, `expected` is None: the training median will do. With a
    `base`, the value is the distance of what stands there from what was expected.
    """

    value: int
    expected: int | None = None
    base: int | None = None


@dataclass(frozen=True, eq=False)
class Program:
    """The program that calculates the feature vectors (d,) of events.

    `columns` (d,) are the feature vector's indices in the scratch vector, `origins` (d,) what each
    of them judges.
    """

    fields: tuple[str, ...]
    categories: tuple[str, ...]
    clocks: tuple[Function, ...]
    steps: tuple[Op, ...]
    columns: Ints
    origins: tuple[Origin, ...]
    scratch: int
    words: int

    @property
    def ops(self) -> tuple[tuple[str, int], ...]:
        """Return each op's signature and the number of its state words, in the order of a row."""
        return tuple((op.signature, op.size) for op in self.steps)

    @property
    def key_bytes(self) -> int:
        """Return the bytes of state per key."""
        return 8 * self.words

    def rows(self, scratch: Floats) -> Floats:
        """Return the feature vectors (k, d) in the scratch vectors (scratch, k)."""
        return np.ascontiguousarray(scratch[self.columns].T)


def compiled_program(declared: Sequence[Declared]) -> Program:
    """Return the program for the features, in their order."""
    return _Compiler(declared).program()


class _Compiler:
    def __init__(self, declared: Sequence[Declared]) -> None:
        self.declared = declared
        self.fields, self.categories = fields(declared)
        self.clocks = tuple(each for each in declared if isinstance(each, Function))
        self.ops: list[Op] = []
        self.known: dict[str, Op] = {}
        # Distances from a season, and what is that far from it.
        self.seasons: dict[int, int] = {}
        self.scratch = len(self.fields) + len(self.categories) + 2 * len(self.clocks)

    def program(self) -> Program:
        columns: list[int] = []
        origins: list[Origin] = []
        clock = len(self.fields) + len(self.categories)
        for each in self.declared:
            if isinstance(each, str):
                columns.append(self.fields.index(each))
            elif isinstance(each, Function):
                columns += (clock, clock + 1)
                clock += 2
            elif isinstance(each, Category):
                columns.append(len(self.fields) + self.categories.index(each.of))
            else:
                shown = self._history(each)
                columns += [column for column, _ in shown]
                origins += [origin for _, origin in shown]
                continue
            origins += map(Origin, columns[len(origins) :])
        return Program(
            fields=self.fields,
            categories=self.categories,
            clocks=self.clocks,
            steps=tuple(self.ops),
            columns=np.array(columns, dtype=np.int64),
            origins=tuple(origins),
            scratch=self.scratch,
            words=sum(op.size for op in self.ops),
        )

    def _history(self, feature: History) -> list[tuple[int, Origin]]:
        """Add the ops of a feature that are not there already; return its columns."""
        shown: list[tuple[int, Origin]] = []
        done: list[Op] = []
        for call in calls(feature):
            if call.of is None:
                source, read = self._read(feature)
            else:
                before = done[call.of]
                source, read = before.dest + call.at, f"{before.signature}[{call.at}]"
            op = self._op(call, source, read)
            done.append(op)
            shown += [
                (op.dest + i, self._origin(call.step, op, op.dest + i))
                for i, ending in enumerate(call.shown)
                if ending is not None
            ]
        return shown

    def _origin(self, step: str, op: Op, column: int) -> Origin:
        """Return what a column of the op judges; see the steps for what they give beside it."""
        if step == "frozen":
            return Origin(op.dest + 1, op.dest + 2)
        if step in {"surprise", "surprise_exact"}:
            return Origin(op.source, op.dest + 1, self.seasons.get(op.source))
        return Origin(column, None, self.seasons.get(column))

    def _read(self, feature: History) -> tuple[int, str]:
        """Return the index of the feature's field in the scratch vector, and its name in
        signatures."""
        if feature.of is None:
            return -1, ""
        if CATALOGUE[feature.fn].of == CATEGORY:
            return len(self.fields) + self.categories.index(feature.of), f"category {feature.of!r}"
        return self.fields.index(feature.of), repr(feature.of)

    def _op(self, call: Call, source: int, read: str) -> Op:
        from detectd.features.dispatch import STEPS

        zone = () if call.zone is None else (call.zone,)
        signature = f"{call.step}({', '.join((read, *map(repr, call.params), *zone))})"
        if signature in self.known:
            return self.known[signature]
        code, words = STEPS[call.step]
        width, size = len(call.shown), words(call.params)
        offset = sum(op.size for op in self.ops)
        op = Op(code, source, self.scratch, width, offset, size, call.params, signature, call.zone)
        if call.step == "season":
            self.seasons[op.dest] = source
        self.scratch += width
        self.ops.append(op)
        self.known[signature] = op
        return op
