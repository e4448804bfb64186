"""The inputs that features read from an event: numbers, categories, the time. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from detectd.features.catalogue import CATALOGUE, CATEGORY
from detectd.features.declared import Category, Declared, Function, History
from detectd.features.declaring import given

if TYPE_CHECKING:
    from collections.abc import Sequence


class Reads(NamedTuple):
    """The fields that are read as numbers, and those that are read as categories."""

    numbers: tuple[str, ...]
    categories: tuple[str, ...]


def fields(declared: Sequence[Declared]) -> Reads:
    """Return the fields that features read, each once, in the order of the features."""
    read: dict[bool, dict[str, None]] = {False: {}, True: {}}
    for each in declared:
        if isinstance(each, str):
            read[False][each] = None
        elif isinstance(each, Category):
            read[True][each.of] = None
        elif isinstance(each, History) and each.of is not None:
            read[CATALOGUE[each.fn].of == CATEGORY][each.of] = None
    return Reads(tuple(read[False]), tuple(read[True]))


def source(declared: Declared) -> tuple[str, str | None]:
    """Return a feature's label, and its field, if any."""
    if isinstance(declared, str):
        return declared, declared
    return declared.label, None if isinstance(declared, Function) else declared.of


def needs_time(declared: Declared) -> bool:
    """Return whether a feature is missing from an event without a time."""
    if isinstance(declared, Function):
        return True
    return isinstance(declared, History) and CATALOGUE[declared.fn].timed(given(declared))


def remembers(declared: Sequence[Declared]) -> bool:
    """Return whether any feature depends on earlier events with the same key."""
    return any(isinstance(each, History) for each in declared)
