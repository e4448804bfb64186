"""Guess which fields of events are the time, the key and the features. Pure.

The guess is from names and values, each with its reason, for a person to review: a field is a time
if its values are times, a key if its name says so, and a feature if it is a number that varies and
is neither a counter nor an identifier.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from detectd.pipeline.absence import names_of
from detectd.pipeline.feature_values import field_of
from detectd.pipeline.fields import NUMBERS, milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# The last word of a name, or the whole name.
WORD = r"(^|[_.@ -])"
TIME = re.compile(
    WORD + r"(time|timestamp|ts|date|datetime|when|epoch)([_ -]|$)|^t$|_at$", re.IGNORECASE
)
KEY = re.compile(
    WORD + r"(host|hostname|instance|node|server|machine|device|sensor|pod|container|vm|unit"
    r"|customer|user|account|tenant|entity|key|station|meter|asset|vehicle)(_?(id|name))?$",
    re.IGNORECASE,
)
IDENTIFIER = re.compile(
    WORD + r"(id|uuid|guid|seq|sequence|offset|index|idx|row|line|no|pid)$", re.IGNORECASE
)
CODE = re.compile(WORD + r"(code|status|port|version|level|zip|postcode)$", re.IGNORECASE)
LABEL = re.compile(
    WORD + r"(is_)?(label|anomaly|anomalous|fault|faulty|outlier|target|class|attack|truth)$",
    re.IGNORECASE,
)

BLANKS = ("", "nan", "null", "na", "-", "\\n")

# The share of a field's values that must be of its kind; a few bad ones become dead letters.
MOST = 0.95

# A field in a smaller share of the records is not a feature.
OFTEN = 0.5

# With fewer records it is unknown whether a number is a flag or a counter.
ENOUGH = 10

# Epoch times lie in this century; other large numbers are quantities.
CENTURY_MS = (946_684_800_000, 4_102_444_800_000)


@dataclass(frozen=True)
class Field:
    """A field, and the reason for its guessed role."""

    name: str
    why: str


@dataclass(frozen=True)
class Guess:
    """The fields of events by their guessed role.

    `numeric_strings` is whether numbers are written as text; `gaps` whether some events lack a
    feature.
    """

    time: Field | None
    key: Field | None
    features: list[Field]
    left_out: list[Field]
    numeric_strings: bool
    gaps: bool


class _Column:
    """The values of a field in all events, None for those that lack it."""

    def __init__(self, name: str, values: list[Any]) -> None:
        self.name = name
        self.values = [None if _is_blank(value) else value for value in values]
        self.present = [value for value in self.values if value is not None]
        self.numbers = [number(value) for value in self.values]
        self.known = [value for value in self.numbers if value is not None]
        self.texts = sum(isinstance(value, str) for value in self.present)

    @property
    def is_numeric(self) -> bool:
        return bool(self.known) and len(self.known) >= MOST * len(self.present)

    @property
    def is_time(self) -> bool:
        if self.is_numeric and not TIME.search(self.name):
            return False
        times = [milliseconds(value) for value in self.present]
        low, high = CENTURY_MS
        good = sum(ms is not None and low <= ms < high for ms in times)
        return bool(times) and good >= MOST * len(times)

    def distinct(self) -> Counter[str]:
        return Counter(map(str, self.present))


def guess(events: Sequence[Mapping[str, Any]], *, rows: bool) -> Guess:
    """Return the roles of the fields, in order of appearance; `rows` is whether they come from
    CSV."""
    names = dict.fromkeys(name for event in events for name in names_of(event))
    columns = [_Column(name, [field_of(event, name) for event in events]) for name in names]
    times = sorted((c for c in columns if c.is_time), key=lambda c: not TIME.search(c.name))
    rest = [column for column in columns if column not in times]
    key = _key(rest)
    groups = key.values if key else [None] * len(events)
    features: list[Field] = []
    left_out = [Field(each.name, "another time") for each in times[1:]]
    taken = []
    for column in rest:
        if column is key:
            continue
        if why := _unfit(column, groups):
            left_out.append(Field(column.name, why))
        else:
            low, high = min(column.known), max(column.known)
            features.append(Field(column.name, f"{low:.6g} to {high:.6g}"))
            taken.append(column)
    return Guess(
        time=Field(times[0].name, f"like {_shown(times[0].present[0])}") if times else None,
        key=Field(key.name, _of_key(key)) if key else None,
        features=features,
        left_out=left_out,
        numeric_strings=not rows and any(column.texts for column in taken),
        gaps=any(len(column.known) < len(events) for column in taken),
    )


def number(value: Any) -> float | None:
    """Return a number, or a numeric text as one; None for anything else, including booleans."""
    if isinstance(value, bool):
        return None
    if not isinstance(value, (*NUMBERS, str)) or (isinstance(value, str) and "_" in value):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def _unfit(column: _Column, groups: Sequence[Any]) -> str | None:
    """Return why a field is not a feature; None if it is one."""
    if not column.present:
        return "always empty"
    if LABEL.search(column.name):
        return "a label, by its name: `detectd backtest --label` takes it"
    if not column.is_numeric:
        return _of_no_number(column)
    if len(column.present) < OFTEN * len(column.values):
        return f"missing in {1 - len(column.present) / len(column.values):.0%} of the records"
    distinct = len(set(column.known))
    if distinct == 1:
        return f"always {_shown(column.present[0])}"
    if IDENTIFIER.search(column.name) or KEY.search(column.name):
        return "an identifier, by its name"
    if CODE.search(column.name):
        return "a code rather than a quantity, by its name"
    if distinct == 2 and len(column.known) >= ENOUGH:
        return f"a flag, {' or '.join(f'{value:g}' for value in sorted(set(column.known)))}"
    if _counts(column.numbers, groups):
        return "a counter, which never falls: judge by its rate"
    return None


def _of_no_number(column: _Column) -> str:
    kinds = Counter(type(value) for value in column.present)
    if kinds[bool] == len(column.present):
        return "a flag, true or false"
    distinct = column.distinct()
    if len(column.known) > len(column.present) / 2:
        odd = next(v for v in column.present if number(v) is None)
        return f"not always a number: {_shown(odd)}"
    if len(distinct) == 1:
        return f"text, always {_shown(column.present[0])}"
    return f"text, like {_shown(column.present[0])}"


def _counts(numbers: Sequence[float | None], groups: Iterable[Any]) -> bool:
    """Return whether a number never falls, over all events or over those of each key."""
    known = [(str(group), n) for group, n in zip(groups, numbers, strict=True) if n is not None]
    if len(known) < ENOUGH:
        return False
    if all(a <= b for (_, a), (_, b) in itertools.pairwise(known)):
        return True
    last: dict[str, float] = {}
    steps = 0
    for group, value in known:
        if value < last.get(group, value):
            return False
        steps += group in last
        last[group] = value
    return steps >= ENOUGH and len(last) > 1


def _key(columns: Sequence[_Column]) -> _Column | None:
    """Return the field that identifies an event's subject, by its name; its values must repeat."""
    named = [c for c in columns if KEY.search(c.name) and c.present and not _is_fraction(c)]
    return next((c for c in named if len(c.distinct()) <= max(1, len(c.present) / 2)), None)


def _is_fraction(column: _Column) -> bool:
    """Return whether some values have decimals, which identifiers do not."""
    return any(not value.is_integer() for value in column.known)


def _of_key(column: _Column) -> str:
    distinct = column.distinct()
    values = ", ".join(_shown(value) for value in list(distinct)[:3])
    return f"{len(distinct):,} of them: {values}" if len(distinct) > 1 else f"so far only {values}"


def _is_blank(value: Any) -> bool:
    """Return whether a value is missing, or is a text that stands for a missing value."""
    return value is None or (isinstance(value, str) and value.strip().lower() in BLANKS)


def _shown(value: Any) -> str:
    """Return a value as a one-line comment."""
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 40 else f"{text[:37]}…"
