"""`detectd backtest --sweep`: one model and one history under several thresholds.

A zone is made of ranks among the calibration scores, and contamination and T decide nothing else.
So the history is scored once, and each variant only judges the scores.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from detectd import derive
from detectd.errors import ConfigError, UsageError
from detectd.nearest import nearest
from detectd.rejection.promise import promise

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from detectd.rejection import Costs
    from detectd.report.backtest_data import Backtest
    from detectd.settings import Settings

# The keys that need no new scores, and their sections.
SECTIONS = {"T": "rejector", "contamination": "detector", "max_abstain_rate": "rejector"}

# So many variants are a table that someone reads.
MOST_VARIANTS = 200

# T and a budget imply each other, so that the one that is swept replaces the other.
EXCLUDED = {"T": "max_abstain_rate", "max_abstain_rate": "T"}


@dataclass(frozen=True)
class Variant:
    """The values swept, by key, and the settings that have them."""

    values: dict[str, float]
    settings: Settings


@dataclass(frozen=True)
class Swept:
    """A variant with its backtest, or with the reason why there is none."""

    variant: Variant
    tested: Backtest | None
    impossible: str | None = None


def variants(asked: Sequence[str], settings: Settings) -> list[Variant]:
    """Return all combinations of lists like `T=3,8,32`, in the order given.

    Raises UsageError if a key cannot be swept or is given twice, a list is empty, or a value is
    no number or out of range.
    """
    lists = dict(_lists(asked))
    if EXCLUDED.keys() <= lists.keys():
        raise UsageError("--sweep: T and max_abstain_rate imply each other; sweep one of them")
    combinations = list(itertools.product(*lists.values()))
    if len(combinations) > MOST_VARIANTS:
        raise UsageError(
            f"--sweep: {len(combinations):,} combinations; give at most {MOST_VARIANTS}"
        )
    return [_variant(dict(zip(lists, each, strict=True)), settings) for each in combinations]


def _lists(asked: Sequence[str]) -> Iterator[tuple[str, list[float]]]:
    seen: set[str] = set()
    for each in asked:
        key, _, values = each.partition("=")
        key = key.strip().removeprefix(f"{SECTIONS.get(key.strip().rpartition('.')[2])}.")
        if key not in SECTIONS:
            close = nearest(key, SECTIONS)
            meant = f"did you mean {close}?" if close else f"use one of {', '.join(SECTIONS)}"
            raise UsageError(f"--sweep {each}: {key!r} cannot be swept; {meant}")
        if key in seen:
            raise UsageError(f"--sweep {each}: {key} is given twice; put its values in one list")
        seen.add(key)
        yield key, list(dict.fromkeys(_number(each, value) for value in values.split(",")))


def _number(asked: str, text: str) -> float:
    if not text.strip():
        raise UsageError(f"--sweep {asked}: a value is missing; write KEY=X,Y, as in T=3,8,32")
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"--sweep {asked}: {text.strip()!r} is not a number") from None


def _variant(values: dict[str, float], settings: Settings) -> Variant:
    changed: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        section = SECTIONS[key]
        kept = changed.get(section, getattr(settings, section).model_dump(exclude_unset=True))
        changed[section] = {k: v for k, v in kept.items() if k != EXCLUDED.get(key)} | {key: value}
    try:
        sections = {
            name: type(getattr(settings, name)).model_validate(table)
            for name, table in changed.items()
        }
    except ValidationError as wrong:
        error = wrong.errors()[0]
        key = str(error["loc"][0])
        said = error["msg"].removeprefix("Value error, ")
        raise UsageError(f"--sweep {key}={error['input']}: {said}") from None
    return Variant(values, settings.model_copy(update=sections))


def sweep(tested: Backtest, swept: Sequence[Variant], settings: Settings) -> list[Swept]:
    """Judge the history under each variant, by the costs of `settings`.

    An abstention costs γ unless said otherwise; it costs the configured γ in all of them, as costs
    could not be compared otherwise.
    """
    costs = derive.terms(settings, tested.serving.model).costs
    return [_under(variant, tested, costs) for variant in swept]


def _under(variant: Variant, tested: Backtest, costs: Costs) -> Swept:
    serving = tested.serving
    terms = replace(derive.terms(variant.settings, serving.model), costs=costs)
    try:
        promised = promise(serving.model.calibration, terms)
    except ConfigError as impossible:
        return Swept(variant, None, str(impossible))
    judge = replace(serving.judge, rejector=promised.rejector)
    under = replace(serving, promise=promised, judge=judge)
    answered = tested.answered.judged_by(promised.rejector)
    return Swept(variant, replace(tested, serving=under, answered=answered))
