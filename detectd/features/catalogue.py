"""What functions of a key's history there are, and the steps that each is made of. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from detectd.features.declared import History


class Call(NamedTuple):
    """One step of a feature.

    It reads output `at` of an earlier call of the same feature, by its place, or the feature's
    field. What is `shown` is a column of the feature vector.
    """

    step: str
    params: tuple[float, ...] = ()
    width: int = 1
    of: int | None = None
    at: int = 0
    shown: bool = True


@dataclass(frozen=True, slots=True)
class Entry:
    """A function. `calls` gives its steps from its parameters, by name."""

    calls: Callable[[Mapping[str, Any]], tuple[Call, ...]]
    defaults: tuple[tuple[str, Any], ...] = ()
    of_category: bool = False


CATALOGUE = {
    "lag": Entry(lambda given: (Call("lag", (float(given["steps"]),)),), (("steps", 1),)),
    "mean": Entry(lambda given: (Call("mean", (float(given["window"]),)),)),
}


def calls(feature: History) -> tuple[Call, ...]:
    """Return the steps of a feature."""
    entry = CATALOGUE[feature.fn]
    return entry.calls(dict(entry.defaults) | dict(feature.params))
