"""Features: the columns of the feature vector, read from events or calculated. Pure.

`FUNCTIONS` are those of the event's time alone; `CATALOGUE` are those of a key's history, and
`LEARNT` those of the training rows, which the model calculates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from detectd.features.declared import (
    FUNCTIONS,
    Category,
    Declared,
    Function,
    History,
    columns,
    detector_weights,
    labels,
    weights,
)
from detectd.features.declaring import of_a_field, toml
from detectd.features.learnt import codings
from detectd.features.reads import fields, needs_time, remembers, source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = [
    "FUNCTIONS",
    "Category",
    "Declared",
    "Function",
    "History",
    "as_data",
    "assemble",
    "codings",
    "columns",
    "detector_weights",
    "fields",
    "from_data",
    "in_words",
    "labels",
    "needs_time",
    "remembers",
    "source",
    "weights",
]


def in_words(declared: Declared) -> str:
    """Return a feature as the configuration declares it."""
    if isinstance(declared, str):
        return f'"{declared}"'
    inside = ", ".join(f"{key} = {toml(value)}" for key, value in declared.as_dict().items())
    return f"{{{inside}}}"


def as_data(declared: Sequence[Declared]) -> list[str | dict[str, Any]]:
    """Return the features for JSON."""
    return [each if isinstance(each, str) else each.as_dict() for each in declared]


def from_data(data: Sequence[Any]) -> tuple[Declared, ...]:
    """Return the features that `as_data` encoded. Raise KeyError or TypeError for other data."""
    return tuple(map(_from_data, data))


def _from_data(each: Any) -> Declared:
    if isinstance(each, str):
        return each
    if each["fn"] in FUNCTIONS:
        return Function(each["fn"], each["name"], each.get("zone"))
    return of_a_field(each)


def assemble(declared: Sequence[Declared], read: Floats, times_ms: Floats) -> Floats:
    """Return the rows (k, d) of features without a memory, from the fields as read (k, fields)."""
    rows = np.empty((len(read), len(columns(declared))))
    numbers, categories = fields(declared)
    column = 0
    for each in declared:
        if isinstance(each, str):
            rows[:, column] = read[:, numbers.index(each)]
            column += 1
        elif isinstance(each, Category):
            rows[:, column] = read[:, len(numbers) + categories.index(each.of)]
            column += 1
        else:
            assert isinstance(each, Function)
            width = len(each.columns)
            rows[:, column : column + width] = each.values(times_ms)
            column += width
    return rows
