"""Parse a table in `event.features` to a feature, or to an error message. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from detectd.features.catalogue import CATALOGUE, EVENT, SURPRISE, WEIGHT, Call
from detectd.features.declared import FUNCTIONS, Category, Function, History, Part
from detectd.features.learnt import LEARNT, category, is_learnt, require_learnable
from detectd.features.parameters import TEXT, ZONE, Parameter
from detectd.features.series import MAXIMUM, MEMORY
from detectd.features.zones import doubt
from detectd.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from detectd.features.parameters import Value
    from detectd.features.series import Weight

NAME = Parameter("name", "what its columns' names begin with", (TEXT,), optional=True)
OF = Parameter("of", "the field that it reads", (TEXT,))

# Names that other programs use for these functions.
ELSEWHERE = {
    "average": "mean",
    "avg": "mean",
    "ema": "ewma",
    "ewm": "ewma",
    "delta": "diff",
    "derivative": "rate",
    "increase": "rate",
    "irate": "rate",
    "shift": "lag",
    "stddev": "std",
    "stdev": "std",
    "slope": "trend",
    "seasonal": "season",
    "light": '{of = "…", fn = "series", set = "light"}',
    "surprise": '{of = "…", fn = "mean", window = 5, surprise = true}, or another function',
    "percentile": "quantile",
    "p50": "median",
    **{f"p{q}": f'{{of = "…", fn = "quantile", q = 0.{q}, window = 60}}' for q in (90, 95, 99)},
}

# Functions that are surprises by default.
SURPRISES = {"frozen", "rarity", "series"}

# The most state that one feature may keep per key.
MOST_BYTES = 1 << 20


def functions() -> tuple[str, ...]:
    """Return the names of all functions."""
    return (*FUNCTIONS, *CATALOGUE, *LEARNT)


def parameters(fn: str) -> tuple[Parameter, ...]:
    """Return the parameters of a function."""
    if fn in FUNCTIONS:
        return NAME, ZONE
    if fn in LEARNT:
        return (OF, *LEARNT[fn].parameters, WEIGHT, NAME)
    entry = CATALOGUE[fn]
    of = () if entry.of == EVENT else (OF,)
    return (*of, *entry.parameters, SURPRISE, WEIGHT, NAME)


def schemas() -> list[dict[str, Any]]:
    """Return the JSON schema of each function's table."""
    return [
        {
            "type": "object",
            "title": fn,
            "properties": {"fn": {"const": fn, "description": description(fn)}}
            | {each.name: each.schema for each in parameters(fn)},
            "required": ["fn", *(each.name for each in parameters(fn) if each.required)],
            "additionalProperties": False,
        }
        for fn in functions()
    ]


def description(fn: str) -> str:
    """Return a function's description, with the names of its parameters."""
    if fn in FUNCTIONS:
        return FUNCTIONS[fn].meaning.format(zone="zone")
    meaning = (CATALOGUE | LEARNT)[fn].meaning
    return meaning.replace("{", "").replace("}", "")


def declare(table: Mapping[str, Any]) -> Function | History | Category:
    """Return the feature that a table declares.

    Raise ValueError with one line: what is wrong, and what may be meant.
    """
    if "fn" not in table:
        raise ValueError(f"needs fn, the name of a function: {', '.join(functions())}")
    fn = table["fn"]
    if not isinstance(fn, str) or fn not in functions():
        raise ValueError(f"unknown function {fn!r}; {_advice(fn)}")
    _require_known(fn, table)
    if "zone" in table and (why := doubt(table["zone"])):
        raise ValueError(why)
    if fn in FUNCTIONS:
        return Function(fn, table.get("name", fn), table.get("zone"))
    if is_learnt(table):
        require_learnable(table)
    feature = of_a_field(table)
    if isinstance(feature, History):
        _require_affordable(feature)
    return feature


def of_a_field(table: Mapping[str, Any]) -> History | Category:
    """Return the feature that a valid table declares."""
    fn, of = table["fn"], table.get("of")
    params = tuple(
        (each.name, table[each.name])
        for each in parameters(fn)
        if each not in (OF, NAME) and each.name in table and table[each.name] != each.default
    )
    label = table.get("name") or "_".join(filter(None, (of, fn, *map(_in_name, params))))
    if is_learnt(table):
        return category(table, params, label)
    return History(fn, label, of, params, _parts(fn, dict(params)))


def given(feature: History) -> dict[str, Value]:
    """Return all parameters of a feature, by name, those with defaults included."""
    defaults = {
        each.name: each.default
        for each in (*CATALOGUE[feature.fn].parameters, SURPRISE)
        if each.default is not None
    }
    return defaults | dict(feature.params)


def is_surprise(feature: History | Category) -> bool:
    """Return whether a feature's columns are surprises (−log10 probabilities), which have no
    unit."""
    if isinstance(feature, Category):
        return feature.fn in SURPRISES
    return feature.fn in SURPRISES or bool(given(feature)["surprise"])


def calls(feature: History) -> tuple[Call, ...]:
    """Return the steps of a feature."""
    return _calls(feature.fn, given(feature))


def _calls(fn: str, asked: Mapping[str, Any]) -> tuple[Call, ...]:
    plain = CATALOGUE[fn].calls(asked)
    surprise = asked.get("surprise", False)
    if fn == "series" or not surprise:
        return plain
    judge = "surprise_exact" if surprise == "exact" else "surprise"
    hidden = tuple(call._replace(shown=(None,) * len(call.shown)) for call in plain)
    return hidden + tuple(
        Call(judge, (MEMORY, 0.0, 0.0), place, at, (ending, None), call.weight)
        for place, call in enumerate(plain)
        for at, ending in enumerate(call.shown)
        if ending is not None
    )


def _parts(fn: str, params: Mapping[str, Any]) -> tuple[Part, ...]:
    defaults = {each.name: each.default for each in CATALOGUE[fn].parameters}
    shown = [
        (ending, call.weight)
        for call in _calls(fn, defaults | dict(params))
        for ending in call.shown
        if ending is not None
    ]
    asked = params.get("weight")
    alone = len(shown) == 1
    return tuple(Part(ending, _weight(own, asked, alone=alone)) for ending, own in shown)


def _weight(own: Weight, asked: Weight | None, *, alone: bool) -> Weight:
    """Return the weight of a column: its own, times the weight configured for the feature."""
    if asked is None or (own == MAXIMUM and not alone):
        return own
    if isinstance(asked, str):
        return asked
    return float(asked) if isinstance(own, str) else own * asked


def _in_name(param: tuple[str, Value]) -> str:
    name, value = param
    if name in {"weight", "zone"}:
        return ""
    if name == "surprise":
        return "surprise" if value is True else "exact"
    if isinstance(value, bool):
        return name if value else f"not_{name}"
    return str(value).replace(" ", "")


def _advice(fn: Any) -> str:
    """Suggest the nearest function, or list all of them."""
    close = None
    if isinstance(fn, str):
        close = ELSEWHERE.get(fn.lower()) or nearest(fn, functions())
    if close is None:
        return f"the functions are {', '.join(functions())}"
    return f"did you mean {close!r}?" if close in functions() else f"write {close}"


def _require_known(fn: str, table: Mapping[str, Any]) -> None:
    """Raise ValueError if a parameter is unknown, missing or wrong."""
    takes = {each.name: each for each in parameters(fn)}
    odd = next((name for name in table if name != "fn" and name not in takes), None)
    if odd is not None:
        close = nearest(odd, takes)
        advice = f"did you mean {close!r}?" if close else f"it takes {', '.join(takes)}"
        raise ValueError(f"function {fn!r} takes no {odd!r}; {advice}")
    for name, parameter in takes.items():
        if name not in table:
            if parameter.required:
                raise ValueError(f"function {fn!r} needs {name}: {parameter.meaning}")
        elif problem := parameter.problem(table[name]):
            raise ValueError(f"function {fn!r}: {name} {problem} (it is {toml(table[name])})")


def _require_affordable(feature: History) -> None:
    """Raise ValueError if a feature would keep too much state per key."""
    from detectd.features.program import compiled_program

    size = compiled_program([feature]).key_bytes
    if size > MOST_BYTES:
        params = ", ".join(f"{name} = {toml(value)}" for name, value in feature.params)
        raise ValueError(
            f"function {feature.fn!r} with {params} takes {size:,} bytes per key, more than "
            f"{MOST_BYTES:,}; use smaller parameters"
        )


def toml(value: Any) -> str:
    """Return a parameter's value as TOML."""
    return json.dumps(value, ensure_ascii=False, default=str)
