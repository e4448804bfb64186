"""`[event]`: how an event becomes a feature vector."""

from __future__ import annotations

import itertools
import json
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    PlainValidator,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from detectd.detectors import encoded_width
from detectd.features import Category, Declared, Function, History, codings, needs_time
from detectd.features import columns as columns_of
from detectd.features import fields as fields_of
from detectd.features import labels as labels_of
from detectd.features.declaring import declare, schemas
from detectd.pipeline.records import MISSING_VALUES
from detectd.settings.types import Name, Section


def _feature(given: Any) -> Declared:
    if isinstance(given, dict):
        return declare(given)
    if not isinstance(given, (str, Function, History, Category)):
        raise ValueError('must be text, in quotes, or a table like {fn = "hour"}')  # noqa: TRY004
    if not given:
        raise ValueError("must not be empty")
    return given


# Not a plain union: it would report the errors of each alternative.
Feature = Annotated[
    Any,
    PlainValidator(_feature),
    WithJsonSchema({"anyOf": [{"type": "string", "minLength": 1}, *schemas()]}),
]


def _key(given: Any) -> str | tuple[str, ...]:
    names = [given] if isinstance(given, str) else given
    named = isinstance(names, (list, tuple)) and all(isinstance(each, str) for each in names)
    if not named or not names:
        raise ValueError('must be the name of a field, in quotes, or a list of names: ["…", "…"]')
    if not all(names):
        raise ValueError("must not be empty")
    twice = next((name for name in names if list(names).count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{twice!r} is listed twice; list each field once")
    return given if isinstance(given, str) else tuple(names)


# One name or several: the key consists of the values of all of them.
Key = Annotated[
    str | tuple[str, ...],
    PlainValidator(_key, json_schema_input_type=Name | Annotated[list[Name], Field(min_length=1)]),
]


def _max_missing(given: Any) -> int | float:
    whole = isinstance(given, int) and not isinstance(given, bool) and given >= 0
    if not whole and not (isinstance(given, float) and 0 < given < 1):
        raise ValueError(
            "must be a number of features (0, 1, 2, ...) or a share of them between 0 and 1 "
            f"(it is {json.dumps(given, default=str)})"
        )
    return given  # type: ignore[no-any-return]


# The maximum number or share of missing features.
MaxMissing = Annotated[
    int | float,
    BeforeValidator(
        _max_missing,
        json_schema_input_type=Annotated[int, Field(ge=0)] | Annotated[float, Field(gt=0, lt=1)],
    ),
]


class EventSettings(Section):
    """How an event becomes a feature vector."""

    features: Annotated[tuple[Feature, ...], Field(min_length=1)]
    timestamp: Name | None = None
    key: Key | None = None
    numeric_strings: bool = False
    missing: Literal["dead_letter", "median"] = "dead_letter"
    missing_values: tuple[str, ...] = MISSING_VALUES
    max_missing: MaxMissing | None = None

    @field_validator("features")
    @classmethod
    def _features_differ(cls, declared: tuple[Declared, ...]) -> tuple[Declared, ...]:
        labels = [each if isinstance(each, str) else each.label for each in declared]
        for names, advice in (
            (labels, "list each feature once, or give a function another name"),
            (columns_of(declared), "a function has a column of that name; set its name"),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{twice[0]!r} is listed twice; {advice}")
        return declared

    @property
    def key_fields(self) -> tuple[str, ...]:
        """Return the fields whose values are the key."""
        if self.key is None:
            return ()
        return (self.key,) if isinstance(self.key, str) else self.key

    @property
    def declared(self) -> tuple[Declared, ...]:
        """Return the features in their order: names of fields, and functions."""
        return self.features

    @property
    def fields(self) -> tuple[str, ...]:
        """Return the fields that are read for features: numbers, then categories."""
        return tuple(dict.fromkeys(itertools.chain(*fields_of(self.features))))

    @property
    def timed(self) -> tuple[str, ...]:
        """Return the features that need the event's time."""
        return tuple(labels_of([each])[0] for each in self.features if needs_time(each))

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the names of the features, as declared."""
        return tuple(dict.fromkeys(labels_of(self.declared)))

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the names of the columns of the feature vector."""
        return columns_of(self.declared)

    @property
    def width(self) -> int:
        """Return the number of columns that the detector gets."""
        return encoded_width(len(self.columns), codings(self.declared))

    @model_validator(mode="after")
    def _caps_what_is_imputed(self) -> Self:
        if self.max_missing is not None and self.missing != "median":
            raise ValueError(
                'max_missing caps what missing = "median" imputes; set both or neither'
            )
        return self
