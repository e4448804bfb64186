"""Which parts of an event become the feature vector."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from detectd import features
from detectd.pipeline.records import MISSING_VALUES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Read = Callable[[bytes], tuple[Mapping[str, Any], bytes]]


@dataclass(frozen=True, slots=True)
class Schema:
    """Which parts of an event become the feature vector, its key and its timestamp.

    A feature is the name of a field, or a path into nested objects and arrays: `disk.0.busy`. A
    feature is missing if it is absent or null, or if its text is one of `missing_values` (compared
    case-insensitively and without surrounding white space). With `missing="median"` it becomes NaN,
    to be imputed by the model, unless more than `max_missing` features are missing, or all of them.
    `read` is for values that are not JSON: it returns an event's fields and the same as one line of
    JSON, or raises Defect.

    A feature may also be a function with columns of its own: of the event's time, of earlier events
    with the same key, or of a category. `columns` are those of the feature vector, `labels` the
    feature behind each. The fields read from an event are `fields`, numbers, and `categories`, as
    hashes of their text; `sources` are all features with the field of each. Features in `timed` are
    missing from an event without a time. If a feature `remembers`, feature vectors need a
    `FeatureState`; otherwise they are `assembled` unless the fields are the vector. A `key` of
    several fields is the JSON array of their values.
    """

    features: tuple[features.Declared, ...]
    key: tuple[str, ...] = ()
    timestamp: str | None = None
    numeric_strings: bool = False
    missing: Literal["dead_letter", "median"] = "dead_letter"
    missing_values: frozenset[str] = frozenset(map(str.lower, MISSING_VALUES))
    max_missing: int | None = None
    max_record_bytes: int = 1_048_576
    max_depth: int = 128
    read: Read | None = None
    columns: tuple[str, ...] = field(init=False, repr=False, compare=False)
    labels: tuple[str, ...] = field(init=False, repr=False, compare=False)
    fields: tuple[str, ...] = field(init=False, repr=False, compare=False)
    categories: tuple[str, ...] = field(init=False, repr=False, compare=False)
    sources: tuple[tuple[str, str | None], ...] = field(init=False, repr=False, compare=False)
    timed: tuple[str, ...] = field(init=False, repr=False, compare=False)
    remembers: bool = field(init=False, repr=False, compare=False)
    assembled: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        declared = self.features
        read = features.fields(declared)
        for name, value in (
            ("columns", features.columns(declared)),
            ("labels", features.labels(declared)),
            ("fields", read.numbers),
            ("categories", read.categories),
            ("sources", tuple(map(features.source, declared))),
            ("timed", tuple(features.source(x)[0] for x in declared if features.needs_time(x))),
            ("remembers", features.remembers(declared)),
            ("assembled", not all(isinstance(each, str) for each in declared)),
        ):
            object.__setattr__(self, name, value)

    @property
    def reads(self) -> tuple[str, ...]:
        """Return the fields whose values a decoded event has, in this order."""
        return (*self.fields, *self.categories)

    @property
    def imputable(self) -> int:
        """Return how many features may be missing from an event that still gets a row."""
        if self.missing == "dead_letter":
            return 0
        most = len(self.features) - 1
        return most if self.max_missing is None else min(self.max_missing, most)
