"""Functions of a category by its shares among the training rows: the model calculates them. Pure.

An event's vector has the category itself. So rows that are kept for the next model depend on no
model, and each model counts the rows that it is fitted on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from detectd.detectors import Coding
from detectd.features.declared import Category
from detectd.features.parameters import Parameter, at_most

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from detectd.features.declared import Declared
    from detectd.features.parameters import Value

# More columns than this are more than a detector should get of one field.
MOST_COLUMNS = 256


class Learnt(NamedTuple):
    """A function in words, with its parameters."""

    meaning: str
    parameters: tuple[Parameter, ...] = ()


ONEHOT = Learnt(
    "columns for each of the {top} values of {of} that are most frequent in the training rows, and "
    "one for all others",
    (
        Parameter(
            "top",
            "so many values of the training rows have columns of their own",
            (at_most(MOST_COLUMNS, "values"),),
            8,
        ),
    ),
)
RARITY = Learnt("−log10 of the share of this value of {of} in the training rows")

# Those of this name alone; `rarity` is one of a key's history as well.
LEARNT = {"onehot": ONEHOT}


def is_learnt(table: Mapping[str, Any]) -> bool:
    """Return whether a table declares such a function."""
    return table["fn"] in LEARNT or (table["fn"] == "rarity" and table.get("by") == "training")


def require_learnable(table: Mapping[str, Any]) -> None:
    """Raise ValueError if a parameter has no meaning for the training rows."""
    if table["fn"] == "rarity":
        odd = next((name for name in ("top", "window", "surprise") if name in table), None)
        if odd is not None:
            raise ValueError(
                f"function 'rarity' takes no {odd!r} with by = \"training\", which counts all of "
                "the training rows; leave it out"
            )


def category(
    table: Mapping[str, Any], params: tuple[tuple[str, Value], ...], label: str
) -> Category:
    """Return the feature that a valid table declares."""
    fn = table["fn"]
    width = 1 + table.get("top", ONEHOT.parameters[0].default) if fn == "onehot" else 1
    return Category(fn, label, table["of"], params, width)


def meaning(feature: Category) -> str:
    """Return a feature's meaning in words."""
    words = RARITY if feature.fn == "rarity" else ONEHOT
    return words.meaning.format(of=feature.of, top=feature.width - 1)


def codings(declared: Sequence[Declared]) -> tuple[Coding, ...]:
    """Return how a model encodes the categories in a feature vector."""
    found, column = [], 0
    for each in declared:
        if isinstance(each, Category):
            rare = each.fn == "rarity"
            found.append(Coding(column, "share" if rare else "onehot", each.width - 1))
        column += 1 if isinstance(each, str) else len(each.columns)
    return tuple(found)
