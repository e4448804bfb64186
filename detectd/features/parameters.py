"""The types of parameters of feature functions, and their validation. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from detectd.features.spans import PATTERN, span_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# The value of a parameter.
Value = str | bool | int | float

# A slice, a sixtieth of the window, must be longer than the milliseconds in which times are
# measured.
SHORTEST_MS = 1_000
LONGEST_MS = 366 * 86_400_000
# Larger values need more state than a key may have.
MOST_EVENTS = 10_000_000


class Sort(NamedTuple):
    """A type of value: in words, as a JSON schema, and as a check."""

    words: str
    schema: Mapping[str, Any]
    accepts: Callable[[Any], bool]


class Parameter(NamedTuple):
    """A parameter of a function. It is required if it has no `default` and is not `optional`."""

    name: str
    meaning: str
    sorts: tuple[Sort, ...]
    default: Value | None = None
    optional: bool = False

    @property
    def required(self) -> bool:
        """Return whether the parameter is required."""
        return self.default is None and not self.optional

    def problem(self, value: Any) -> str | None:
        """Return the expected type if the value is not valid."""
        if any(sort.accepts(value) for sort in self.sorts):
            return None
        return f"must be {', or '.join(sort.words for sort in self.sorts)}"

    @property
    def schema(self) -> dict[str, Any]:
        """Return its JSON schema."""
        choices = [dict(sort.schema) for sort in self.sorts]
        described = choices[0] if len(choices) == 1 else {"anyOf": choices}
        default = {} if self.default is None else {"default": self.default}
        return described | default | {"description": self.meaning}


def whole(low: int, what: str) -> Sort:
    """Return the type of integers from `low`; `what` is what they count."""
    return Sort(
        f"a whole number of {what}, from {low} to {MOST_EVENTS:,}",
        {"type": "integer", "minimum": low, "maximum": MOST_EVENTS},
        lambda value: type(value) is int and low <= value <= MOST_EVENTS,
    )


def at_most(high: int, what: str) -> Sort:
    """Return the type of integers from 1 to `high`; `what` is what they count."""
    return Sort(
        f"a whole number of {what}, from 1 to {high:,}",
        {"type": "integer", "minimum": 1, "maximum": high},
        lambda value: type(value) is int and 1 <= value <= high,
    )


def between(low: float, high: float) -> Sort:
    """Return the type of numbers above `low` and up to `high`."""
    return Sort(
        f"a number above {low:g}, {high:,.0f} at most"
        if math.isfinite(high)
        else f"a number > {low:g}",
        {"type": "number", "exclusiveMinimum": low}
        | ({"maximum": high} if math.isfinite(high) else {}),
        lambda value: type(value) in {int, float} and low < value <= high and math.isfinite(value),
    )


def one_of(*choices: str) -> Sort:
    """Return the type of text that is one of the choices."""
    return Sort(
        " or ".join(f'"{choice}"' for choice in choices),
        {"enum": [*choices]},
        lambda value: isinstance(value, str) and value in choices,
    )


def _is_span(value: Any) -> bool:
    length = span_ms(value) if isinstance(value, str) else None
    return length is not None and SHORTEST_MS <= length <= LONGEST_MS


SPAN = Sort(
    'a span of event time such as "5m", from "1s" to "366d"',
    {"type": "string", "pattern": PATTERN},
    _is_span,
)
FLAG = Sort("true or false", {"type": "boolean"}, lambda value: isinstance(value, bool))
TEXT = Sort(
    "text, in quotes",
    {"type": "string", "minLength": 1},
    lambda value: isinstance(value, str) and bool(value),
)

ZONE = Parameter(
    "zone", "local time there, with its daylight saving time; else UTC", (TEXT,), optional=True
)
