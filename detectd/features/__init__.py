"""Feature functions: columns of the feature vector that are calculated, not read. Pure.

`FUNCTIONS` is what `{fn = "…"}` in `event.features` may name. The functions here look at nothing
but the event itself, so an event's columns do not depend on the events around it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

DAY_MS = 86_400_000
# 1 January 1970 was a Thursday; weeks begin on Monday.
EPOCH_WEEKDAY = 3


class Kind(NamedTuple):
    """A function of the event's time: where on its cycle an event is, and what that means."""

    turn: Callable[[Floats], Floats]
    meaning: str


def _hour(times_ms: Floats) -> Floats:
    """The share (k,) of the day that has passed, in UTC."""
    return times_ms % DAY_MS / DAY_MS


def _weekday(times_ms: Floats) -> Floats:
    """The share (k,) of the week that had passed when the day began, in UTC."""
    return (times_ms // DAY_MS + EPOCH_WEEKDAY) % 7 / 7


FUNCTIONS = {
    "hour": Kind(_hour, "time of day (UTC) on a circle of 24 hours"),
    "weekday": Kind(_weekday, "day of the week (UTC) on a circle of seven days"),
}


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the event's time, as declared: two columns, so that 23:59 is next to 00:00."""

    fn: str
    label: str

    @property
    def columns(self) -> tuple[str, str]:
        """The names of its columns."""
        return f"{self.label}_sin", f"{self.label}_cos"

    @property
    def meaning(self) -> str:
        """What it is, in words."""
        return FUNCTIONS[self.fn].meaning

    def values(self, times_ms: Floats) -> Floats:
        """Return its columns (k, 2) at `times_ms` (k,), epoch milliseconds; NaN gives NaN."""
        angle = 2 * np.pi * FUNCTIONS[self.fn].turn(times_ms)
        return np.column_stack((np.sin(angle), np.cos(angle)))


# A feature as declared: the name of a field, or a function.
Declared = str | Function


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


def assemble(declared: Sequence[Declared], read: Floats, times_ms: Floats) -> Floats:
    """Return the rows (k, d): the fields as `read` (k, fields), and the functions calculated."""
    rows = np.empty((len(read), len(columns(declared))))
    column = field = 0
    for each in declared:
        if isinstance(each, str):
            rows[:, column] = read[:, field]
            column, field = column + 1, field + 1
        else:
            width = len(each.columns)
            rows[:, column : column + width] = each.values(times_ms)
            column += width
    return rows
