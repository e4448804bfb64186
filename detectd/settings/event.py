"""`[event]`: how an event becomes a feature vector."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from detectd.features import FUNCTIONS, Declared, Function
from detectd.features import columns as columns_of
from detectd.features import labels as labels_of
from detectd.features.zones import doubt
from detectd.nearest import nearest
from detectd.pipeline.records import MISSING_VALUES
from detectd.settings.types import Name, Section

FN = tuple(FUNCTIONS)


class FeatureFunction(Section):
    """A feature that is calculated: `{fn = "hour"}`. Its columns begin with `name`.

    Of the local time of `zone`, else of UTC.
    """

    fn: Literal["hour", "weekday"]
    name: Name | None = None
    zone: Name | None = None


def _feature(given: Any) -> Any:
    if isinstance(given, dict):
        return _function(given)
    if not isinstance(given, (str, FeatureFunction)):
        raise ValueError('must be text, in quotes, or a table like {fn = "hour"}')  # noqa: TRY004
    if not given:
        raise ValueError("must not be empty")
    return given


def _function(given: dict[str, Any]) -> FeatureFunction:
    if "fn" not in given:
        raise ValueError(f"needs fn, the name of a function: {', '.join(FN)}")
    fn = given["fn"]
    if fn not in FN:
        close = nearest(fn, FN) if isinstance(fn, str) else None
        advice = f"did you mean {close!r}?" if close else f"the functions are {', '.join(FN)}"
        raise ValueError(f"unknown function {fn!r}; {advice}")
    takes = [key for key in FeatureFunction.model_fields if key != "fn"]
    odd = next((key for key in given if key != "fn" and key not in takes), None)
    if odd is not None:
        close = nearest(odd, takes)
        advice = f"did you mean {close!r}?" if close else f"it takes {', '.join(takes)}"
        raise ValueError(f"function {fn!r} takes no {odd!r}; {advice}")
    for key in ("name", "zone"):
        if key in given and not (isinstance(given[key], str) and given[key]):
            raise ValueError(f"{key} of function {fn!r} must be text, in quotes")
    if "zone" in given and (why := doubt(given["zone"])):
        raise ValueError(why)
    return FeatureFunction(**given)


def _declared(listed: tuple[str | FeatureFunction, ...]) -> tuple[Declared, ...]:
    return tuple(
        each if isinstance(each, str) else Function(each.fn, each.name or each.fn, each.zone)
        for each in listed
    )


# No plain union: each side's mistakes would be reported.
Feature = Annotated[
    Name | FeatureFunction,
    BeforeValidator(_feature, json_schema_input_type=Name | FeatureFunction),
]


def _max_missing(given: Any) -> int | float:
    whole = isinstance(given, int) and not isinstance(given, bool) and given >= 0
    if not whole and not (isinstance(given, float) and 0 < given < 1):
        raise ValueError(
            "must be a number of features (0, 1, 2, ...) or a share of them between 0 and 1 "
            f"(it is {json.dumps(given, default=str)})"
        )
    return given  # type: ignore[no-any-return]


# How many features of an event may be missing.
# No plain union: each side's mistakes would be reported.
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
    key: Name | None = None
    numeric_strings: bool = False
    missing: Literal["dead_letter", "median"] = "dead_letter"
    missing_values: tuple[str, ...] = MISSING_VALUES
    max_missing: MaxMissing | None = None

    @field_validator("features")
    @classmethod
    def _features_differ(
        cls, listed: tuple[str | FeatureFunction, ...]
    ) -> tuple[str | FeatureFunction, ...]:
        declared = _declared(listed)
        labels = [each if isinstance(each, str) else each.label for each in declared]
        for names, advice in (
            (labels, "list each feature once, or give a function another name"),
            (columns_of(declared), "a function has a column of that name; set its name"),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{twice[0]!r} is listed twice; {advice}")
        return listed

    @property
    def declared(self) -> tuple[Declared, ...]:
        """The features in their order: names of fields, and functions."""
        return _declared(self.features)

    @property
    def fields(self) -> tuple[str, ...]:
        """The features that are read from the event."""
        return tuple(each for each in self.features if isinstance(each, str))

    @property
    def functions(self) -> tuple[Function, ...]:
        """The features that are calculated."""
        return tuple(each for each in self.declared if isinstance(each, Function))

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the features, as declared."""
        return tuple(dict.fromkeys(labels_of(self.declared)))

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns of the feature vector."""
        return columns_of(self.declared)

    @model_validator(mode="after")
    def _caps_what_is_imputed(self) -> Self:
        if self.max_missing is not None and self.missing != "median":
            raise ValueError(
                'max_missing caps what missing = "median" imputes; set both or neither'
            )
        return self
