"""What features read of an event: numbers, categories and times. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detectd.features.catalogue import CATALOGUE, CATEGORY
from detectd.features.declared import Declared, History
from detectd.features.declaring import given

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def fields(declared: Sequence[Declared]) -> tuple[str, ...]:
    """Return the fields that are read as numbers, each once."""
    return tuple(dict.fromkeys(name for name, category in _reads(declared) if not category))


def categories(declared: Sequence[Declared]) -> tuple[str, ...]:
    """Return the fields that are read as categories, each once."""
    return tuple(dict.fromkeys(name for name, category in _reads(declared) if category))


def timed(declared: Sequence[Declared]) -> tuple[str, ...]:
    """Return the features that need the event's time."""
    return tuple(
        each.label
        for each in declared
        if not isinstance(each, str)
        and not (isinstance(each, History) and not CATALOGUE[each.fn].timed(given(each)))
    )


def remembers(declared: Sequence[Declared]) -> bool:
    """Return whether any feature is of what came before."""
    return any(isinstance(each, History) for each in declared)


def _reads(declared: Sequence[Declared]) -> Iterator[tuple[str, bool]]:
    for each in declared:
        if isinstance(each, str):
            yield each, False
        elif isinstance(each, History) and each.of is not None:
            yield each.of, CATALOGUE[each.fn].of == CATEGORY
