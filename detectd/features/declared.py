"""Features as declared: fields, functions of the event's time, and functions of a key's history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from detectd.features.zones import local_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from detectd.features.parameters import Value
    from detectd.features.series import Weight

    Floats = NDArray[np.float64]

DAY_MS = 86_400_000
# 1 January 1970 was a Thursday; weeks begin on Monday.
EPOCH_WEEKDAY = 3


class Part(NamedTuple):
    """One column of a function that has several."""

    ending: str
    weight: Weight


class Kind(NamedTuple):
    """A function of the event's time: its phase in a cycle, and a description."""

    turn: Callable[[Floats], Floats]
    meaning: str


def _hour(times_ms: Floats) -> Floats:
    """Return the share (k,) of the day that has passed."""
    return times_ms % DAY_MS / DAY_MS


def _weekday(times_ms: Floats) -> Floats:
    """Return the share (k,) of the week that had passed when the day began."""
    return (times_ms // DAY_MS + EPOCH_WEEKDAY) % 7 / 7


FUNCTIONS = {
    "hour": Kind(_hour, "time of day ({zone}) on a circle of 24 hours"),
    "weekday": Kind(_weekday, "day of the week ({zone}) on a circle of seven days"),
}


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the event's time, as declared: two columns, so that 23:59 is next to 00:00.

    It uses local time if it names a `zone`, UTC otherwise.
    """

    fn: str
    label: str
    zone: str | None = None

    @property
    def columns(self) -> tuple[str, str]:
        """Return the names of its columns."""
        return f"{self.label}_sin", f"{self.label}_cos"

    @property
    def meaning(self) -> str:
        """Return its meaning in words."""
        return FUNCTIONS[self.fn].meaning.format(zone=self.zone or "UTC")

    def values(self, times_ms: Floats) -> Floats:
        """Return its columns (k, 2) at `times_ms` (k,), epoch milliseconds; NaN gives NaN."""
        local = times_ms if self.zone is None else local_ms(self.zone, times_ms)
        angle = 2 * np.pi * FUNCTIONS[self.fn].turn(local)
        return np.column_stack((np.sin(angle), np.cos(angle)))

    def as_dict(self) -> dict[str, Value]:
        """Return the declaration as the configuration has it."""
        zone: dict[str, Value] = {} if self.zone is None else {"zone": self.zone}
        return {"fn": self.fn, "name": self.label} | zone


@dataclass(frozen=True, slots=True)
class History:
    """A function of earlier events with the same key, as declared.

    `params` are those that differ from their defaults, by name. It has a column for each of
    `parts`: the suffix of its name (empty for none) and its weight in a weighted sum.
    """

    fn: str
    label: str
    of: str | None = None
    params: tuple[tuple[str, Value], ...] = ()
    parts: tuple[Part, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the names of its columns."""
        return tuple(f"{self.label}_{end}" if end else self.label for end, _ in self.parts)

    def as_dict(self) -> dict[str, Value]:
        """Return the declaration as the configuration has it."""
        of: dict[str, Value] = {} if self.of is None else {"of": self.of}
        return of | {"fn": self.fn, "name": self.label} | dict(self.params)


@dataclass(frozen=True, slots=True)
class Category:
    """A function of a category and of its shares among the training rows, as declared.

    `params` are those that differ from their defaults, by name. The model calculates it: the
    feature vector has one column, with the category itself, of which the detector gets `width`.
    """

    fn: str
    label: str
    of: str
    params: tuple[tuple[str, Value], ...] = ()
    width: int = 1

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the name of its column."""
        return (self.label,)

    @property
    def weight(self) -> Weight:
        """Return the weight of each of the detector's columns in a weighted sum."""
        weight = dict(self.params).get("weight", 1.0)
        return weight if isinstance(weight, str) else float(weight)

    def as_dict(self) -> dict[str, Value]:
        """Return the declaration as the configuration has it."""
        own: dict[str, Value] = {"of": self.of, "fn": self.fn, "name": self.label}
        return own | dict(self.params)


# A feature as declared: the name of a field, or a function.
Declared = str | Function | History | Category


def columns(declared: Sequence[Declared]) -> tuple[str, ...]:
    """Return the names of the feature vector's columns."""
    return tuple(
        name for each in declared for name in ((each,) if isinstance(each, str) else each.columns)
    )


def labels(declared: Sequence[Declared]) -> tuple[str, ...]:
    """Return for each column the feature that it belongs to, as declared."""
    return tuple(
        name
        for each in declared
        for name in ((each,) if isinstance(each, str) else (each.label,) * len(each.columns))
    )


def weights(declared: Sequence[Declared]) -> tuple[Weight, ...]:
    """Return the weight of each column in a weighted sum."""
    return tuple(weight for each in declared for weight in _weights(each))


def detector_weights(declared: Sequence[Declared]) -> tuple[Weight, ...]:
    """Return the weight of each of the detector's columns, into which the model encodes
    categories."""
    return tuple(
        weight
        for each in declared
        for weight in _weights(each) * (each.width if isinstance(each, Category) else 1)
    )


def _weights(declared: Declared) -> tuple[Weight, ...]:
    if isinstance(declared, History):
        return tuple(part.weight for part in declared.parts)
    if isinstance(declared, Category):
        return (declared.weight,)
    return (1.0,) * len(columns([declared]))
