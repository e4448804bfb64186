"""The catalogue of functions of a key's history: their parameters, steps and meanings. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from detectd.features.parameters import (
    FLAG,
    SPAN,
    ZONE,
    Parameter,
    between,
    one_of,
    whole,
)
from detectd.features.series import MAXIMUM, Weight, series_parts
from detectd.features.spans import span_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Given = Mapping[str, Any]

# The input of a function: a number, a category, or the event itself.
NUMBER, CATEGORY, EVENT = "number", "category", "event"


class Call(NamedTuple):
    """One step of a feature.

    It reads output `at` of an earlier call of the same feature, by index, or the feature's field.
    Each output with a suffix in `shown` is a column of that name. Its times are those of the clocks
    in `zone`, if it has one.
    """

    step: str
    params: tuple[float, ...] = ()
    of: int | None = None
    at: int = 0
    shown: tuple[str | None, ...] = ("",)
    weight: Weight = 1.0
    zone: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A function in the catalogue.

    From the parameters, `calls` returns its steps, `meaning` its description in words, and `needs`
    how many events of a key, or what span of them, make its value complete. `timed` is whether it
    needs the events' times.
    """

    meaning: str
    calls: Callable[[Given], tuple[Call, ...]]
    parameters: tuple[Parameter, ...] = ()
    needs: Callable[[Given], int | str] = lambda given: 1  # noqa: ARG005
    timed: Callable[[Given], bool] = lambda given: False  # noqa: ARG005
    of: str = NUMBER


def _whole_window(low: int) -> Parameter:
    return Parameter("window", "the number of the key's last values", (whole(low, "values"),))


WINDOW = Parameter(
    "window",
    'a number of the key\'s last values (5), or those of a span of event time ("5m")',
    (whole(1, "values"), SPAN),
)
STEPS = Parameter("steps", "how many values ago", (whole(1, "values"),), 1)


def _is_span(name: str) -> Callable[[Given], bool]:
    return lambda given: isinstance(given[name], str)


def _ms(span: str) -> float:
    length = span_ms(span)
    assert length is not None
    return float(length)


def _by_window(step: str, *params: float) -> Callable[[Given], tuple[Call, ...]]:
    """Return one step for windows of events, and another of that name for windows of event time."""

    def calls(given: Given) -> tuple[Call, ...]:
        window = given["window"]
        if isinstance(window, str):
            return (Call(f"{step}_by_time", (_ms(window),)),)
        return (Call(step, (float(window), *params)),)

    return calls


def _windowed(words: str, step: str) -> Entry:
    return Entry(
        f"{words} of {{of}} over the last {{window}}",
        _by_window(step),
        (WINDOW,),
        lambda given: given["window"],
        _is_span("window"),
    )


def _ewma(given: Given) -> tuple[Call, ...]:
    half_life = given["half_life"]
    if isinstance(half_life, str):
        return (Call("ewma_by_time", (_ms(half_life),)),)
    return (Call("ewma", (float(half_life),)),)


def _shingle(given: Given) -> tuple[Call, ...]:
    k = given["window"]
    return (Call("shingle", (float(k),), shown=tuple(f"lag{k - 1 - i}" for i in range(k))),)


def _season(given: Given) -> tuple[Call, ...]:
    period, slots = _ms(given["period"]), float(given["slots"])
    params = (period, slots, float(given["alpha"]), 0.0)
    return (Call("season", params, zone=given.get("zone")),)


def _series(given: Given) -> tuple[Call, ...]:
    exact, light = given.get("surprise") == "exact", given["set"] == "light"
    return tuple(
        Call(
            part.step,
            part.params,
            part.of,
            part.at,
            (None if part.weight is None else part.name, *(None,) * (part.width - 1)),
            1.0 if part.weight is None else part.weight,
            given.get("zone") if part.step == "season" else None,
        )
        for part in series_parts(light=light, exact=exact)
    )


MEMORY = Parameter("memory", "the number of last runs to compare with", (whole(20, "runs"),), 5_000)

CATALOGUE = {
    "lag": Entry(
        "earlier value of {of}, {steps} ago",
        lambda given: (Call("lag", (float(given["steps"]),)),),
        (STEPS,),
        lambda given: given["steps"] + 1,
    ),
    "diff": Entry(
        "change of {of} since {steps} ago",
        lambda given: (Call("diff", (float(given["steps"]),)),),
        (STEPS,),
        lambda given: given["steps"] + 1,
    ),
    "rate": Entry(
        "increase of {of} per second, of a counter that may restart at zero",
        lambda given: (Call("rate"),),  # noqa: ARG005
        needs=lambda given: 2,  # noqa: ARG005
        timed=lambda given: True,  # noqa: ARG005
    ),
    "mean": _windowed("mean", "mean"),
    "std": _windowed("standard deviation", "std"),
    "min": _windowed("smallest value", "min"),
    "max": _windowed("largest value", "max"),
    "median": Entry(
        "median of {of} over the last {window}",
        lambda given: (Call("quantile", (float(given["window"]), 0.5)),),
        (_whole_window(1),),
        lambda given: given["window"],
    ),
    "quantile": Entry(
        "quantile {q} of {of} over the last {window}",
        lambda given: (Call("quantile", (float(given["window"]), float(given["q"]))),),
        (
            Parameter("q", "the share of values below it", (between(0.0, 1.0),)),
            _whole_window(1),
        ),
        lambda given: given["window"],
    ),
    "ewma": Entry(
        "average of {of}, each value of half the weight of one {half_life} later",
        _ewma,
        (
            Parameter(
                "half_life",
                'the number of values (10), or the span of event time ("5m"), after which a value '
                "has half its weight",
                (between(0.0, 1e7), SPAN),
            ),
        ),
        lambda given: given["half_life"] if isinstance(given["half_life"], str) else 1,
        _is_span("half_life"),
    ),
    "trend": Entry(
        "slope of {of}, per event, of the line through the last {window}",
        lambda given: (Call("trend", (float(given["window"]),)),),
        (_whole_window(2),),
        lambda given: given["window"],
    ),
    "zscore": Entry(
        "standard deviations from {of} to the centre of the {window} before it",
        lambda given: (Call("zscore", (float(given["window"]), float(given["robust"]))),),
        (
            Parameter(
                "window", "the number of the key's values before it", (whole(2, "values"),), 100
            ),
            Parameter(
                "robust",
                "use median and median deviation, not mean and standard deviation",
                (FLAG,),
                True,
            ),
        ),
        lambda given: given["window"] + 1,
    ),
    "season": Entry(
        "distance of {of} from the key's usual value at this time of each {period}, in {slots} "
        "slots",
        _season,
        (
            Parameter("period", 'the span after which the pattern repeats: "1d"', (SPAN,), "1d"),
            Parameter("slots", "the number of slots in a period", (whole(2, "slots"),), 96),
            Parameter(
                "alpha",
                "the weight of the latest value in a slot's mean",
                (between(0.0, 1.0),),
                0.03,
            ),
            ZONE,
        ),
        lambda given: given["period"],
        lambda given: True,  # noqa: ARG005
    ),
    "shingle": Entry(
        "last {window} of {of}, each in a column",
        _shingle,
        (_whole_window(2),),
        lambda given: given["window"],
    ),
    "count": Entry(
        "number of events of the key in the last {window}",
        lambda given: (Call("count_by_time", (_ms(given["window"]),)),),
        (Parameter("window", 'a span of event time: "5m"', (SPAN,)),),
        lambda given: given["window"],
        lambda given: True,  # noqa: ARG005
        EVENT,
    ),
    "gap": Entry(
        "seconds since the key's last event",
        lambda given: (Call("gap"),),  # noqa: ARG005
        needs=lambda given: 2,  # noqa: ARG005
        timed=lambda given: True,  # noqa: ARG005
        of=EVENT,
    ),
    "code": Entry(
        "bits needed to encode {of} given the values before it, mean of the last 20 and 60",
        lambda given: (Call("code", shown=(None, "20", "60")),),  # noqa: ARG005
        needs=lambda given: 60,  # noqa: ARG005
    ),
    "frozen": Entry(
        "surprise at how long {of} has not changed, among the last {memory} runs",
        lambda given: (
            Call("frozen", (float(given["memory"]),), shown=("", None, None), weight=MAXIMUM),
        ),
        (MEMORY,),
        lambda given: 20,  # noqa: ARG005
    ),
    "rarity": Entry(
        "−log10 of the share of this value of {of} among the key's last {window}",
        lambda given: (Call("rarity", (float(given["top"]), float(given["window"]))),),
        (
            Parameter(
                "by",
                "its share among the key's own events, or among the training rows",
                (one_of("key", "training"),),
                "key",
            ),
            Parameter("top", "the number of values that are kept apart", (whole(1, "values"),), 32),
            Parameter(
                "window",
                "the number of events after which an event has half its weight",
                (whole(2, "events"),),
                1_000,
            ),
        ),
        lambda given: 20,  # noqa: ARG005
        of=CATEGORY,
    ),
    "series": Entry(
        "surprises of {of} as a metric over time, the {set} set",
        _series,
        (
            Parameter(
                "set",
                "all of them, or only level, trend and day",
                (one_of("full", "light"),),
                "full",
            ),
            ZONE,
        ),
        lambda given: "1d" if given["set"] == "light" else "1w",
        lambda given: True,  # noqa: ARG005
    ),
}

# The parameters that all of them share.
SURPRISE = Parameter(
    "surprise",
    "instead of the value, how improbable it is among the key's last 5,000: −log10 of the "
    "two-sided tail probability; exact keeps them all",
    (FLAG, one_of("exact")),
    False,
)
WEIGHT = Parameter(
    "weight",
    "the weight of its columns in the sum of detector TailSum",
    (between(0.0, 1e6), one_of(MAXIMUM)),
    optional=True,
)
