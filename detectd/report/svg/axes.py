"""Axes: where a value stands between the two ends of a plot, and which values to name."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from detectd.report.svg.number_format import decimal_label

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

    Place = Callable[[NDArray[np.float64]], NDArray[np.float64]]
    Label = Callable[[float, int], str]

# Nothing farther out than this many plots is drawn: a browser need not know where infinity is.
FARTHEST = 100.0

STEPS = (1, 2, 5)


class Tick(NamedTuple):
    """A value that is named, and how."""

    value: float
    label: str


@dataclass(frozen=True)
class Axis:
    """`place` maps values to 0 at one end of the axis and 1 at the other."""

    place: Place
    ticks: Sequence[Tick]

    def at(self, values: ArrayLike) -> NDArray[np.float64]:
        """Return where values stand; infinite ones far outside."""
        with np.errstate(over="ignore"):
            places = self.place(np.asarray(values, dtype=np.float64))
        return np.clip(places, -FARTHEST, FARTHEST)

    def inside(self, value: float) -> float:
        """Return where one value stands, or the end that it is beyond."""
        return float(np.clip(self.at(value), 0.0, 1.0))


def linear(low: float, high: float, label: Label = decimal_label, at_most: int = 6) -> Axis:
    """Return an axis of even steps from `low` to `high`, low < high."""
    width = high - low
    return Axis(lambda values: (values - low) / width, nice_ticks(low, high, at_most, label))


def square_root(high: float, label: Label) -> Axis:
    """Return an axis from 0 to `high` that spreads what is small."""

    def place(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.sqrt(values / high)

    return Axis(place, spaced_ticks(place, (0.0, high), 0.1, label))


def nice_ticks(low: float, high: float, at_most: int, label: Label = decimal_label) -> list[Tick]:
    """Return as many multiples of 1, 2 or 5 times a power of ten from `low` to `high` as may be."""
    first, last = Fraction(repr(float(low))), Fraction(repr(float(high)))
    exponent = math.floor(math.log10(high - low) - math.log10(at_most + 1)) - 1
    for power in itertools.count(exponent):
        for digit in STEPS:
            step = digit * Fraction(10) ** power
            multiples = range(math.ceil(first / step), math.floor(last / step) + 1)
            if len(multiples) <= at_most:
                values = [float(i * step) for i in multiples]
                return [Tick(value, label(value, -power)) for value in values]
    raise AssertionError("some step is larger than any axis")


def spaced_ticks(
    place: Place, ends: tuple[float, float], spacing: float, label: Label = decimal_label
) -> list[Tick]:
    """Round values inside an uneven axis that stand at least `spacing` apart, ascending.

    Zero comes first, then powers of ten, then five times and twice those.
    """
    taken: dict[float, Tick] = {}
    for value, decimals in _round_values(*ends):
        where = float(place(np.array(value)))
        if all(abs(where - other) >= spacing for other in taken):
            taken[where] = Tick(value, label(value, decimals))
    return [taken[where] for where in sorted(taken)]


def _round_values(low: float, high: float) -> Iterator[tuple[float, int]]:
    """Values within, the roundest first, then the largest; and how many decimals they have."""
    if low <= 0 <= high:
        yield 0.0, 0
    largest = max(abs(low), abs(high))
    top = math.floor(math.log10(largest)) if largest else 0
    for digit in (1, 5, 2):
        for power in range(top, top - 8, -1):
            for value in (digit * 10.0**power, -digit * 10.0**power):
                if low < value <= high:
                    yield value, -power
