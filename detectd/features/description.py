"""Describe features, one line each: the meaning, the history it needs, and the cost per key.
Pure."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

from detectd.features import learnt
from detectd.features.catalogue import CATALOGUE
from detectd.features.declared import Category, Declared, Function, History
from detectd.features.declaring import given

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Parameters that count values when they are numbers.
OF_VALUES = {"window", "steps", "half_life"}


def describe(declared: Sequence[Declared], time: str) -> Iterator[str]:
    """Yield a line for each function, and one for the total state per key.

    `time` names the source of an event's time.
    """
    from detectd.features.program import compiled_program

    histories = [each for each in declared if isinstance(each, History)]
    for each in declared:
        if isinstance(each, Function):
            yield f"{each.label}: {each.meaning}, from {time}, in columns {', '.join(each.columns)}"
        elif isinstance(each, Category):
            yield f"{each.label}: {learnt.meaning(each)}; part of the model"
        elif isinstance(each, History):
            size = compiled_program([each]).key_bytes
            said = f"{meaning(each)}{_columns(each)}; {needs(each)}; {size:,} bytes per key"
            yield f"{each.label}: {said}"
    if len(histories) > 1:
        size = compiled_program(declared).key_bytes
        yield f"{size:,} bytes of state per key in all; steps that features share count once"


def meaning(feature: History) -> str:
    """Return a feature's meaning in words."""
    asked = given(feature)
    words = CATALOGUE[feature.fn].meaning.format(
        of=feature.of, **{name: _amount(name, value) for name, value in asked.items()}
    )
    if "zone" in asked:
        words += f", by the clocks of {asked['zone']}"
    if asked["surprise"] and feature.fn != "series":
        return f"surprise at the {words}"
    return words


def needs(feature: History) -> str:
    """Return, in words, how much history makes a feature's value complete."""
    whole = CATALOGUE[feature.fn].needs(given(feature))
    if isinstance(whole, str):
        return f"complete after {whole} of a key"
    events = f"{whole:,} event" + ("s" if whole > 1 else "")
    return f"complete after {events} of a key"


def slowest(declared: Sequence[Declared]) -> tuple[str, int]:
    """Return the feature that takes most events of a key to be complete, and how many.

    A feature that takes a span of time does not count; the number is 0 if there is no other.
    """
    histories = [each for each in declared if isinstance(each, History)]
    wholes = [(CATALOGUE[each.fn].needs(given(each)), each.label) for each in histories]
    counted = [(label, whole) for whole, label in wholes if isinstance(whole, int)]
    return max(counted, key=itemgetter(1), default=("", 0))


def _columns(feature: History) -> str:
    return f", in columns {', '.join(feature.columns)}" if len(feature.columns) > 1 else ""


def _amount(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    number = f"{value:,}"
    if name in OF_VALUES:
        return f"{number} value" if value == 1 else f"{number} values"
    return number
