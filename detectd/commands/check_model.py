"""Explain for `detectd check` which model answers, with its zone and its promise."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from detectd import derive, wiring
from detectd.commands.first_events import first_events_hint
from detectd.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from detectd.settings import Settings


def what_answers(settings: Settings) -> Iterator[str]:
    """Yield lines on the active model, or on the one that the first events will train.

    Raise DetectdError if the model cannot be used, or too few rows would train one.
    """
    store = wiring.store(settings)
    if store.active() is None or settings.training.refit != "never":
        derive.require_trainable_warmup(settings)
    if store.active() is None:
        yield f"model     none yet: {_first_rows(settings)} train one"
        yield from _rows_of_keys(settings)
        yield from _zone_after_warmup(settings)
        yield from _law_after_warmup(settings)
        return
    from detectd.models.serving import load_active, other_settings, serve
    from detectd.report.by_key import key_figures, own_sentence
    from detectd.report.figures import exact_figures
    from detectd.report.wording import abstention_sentence, reach_sentence

    model = load_active(store, datetime.now(UTC))
    assert model
    options = derive.serving_options(settings)
    ready = serve(model, options)
    promise, by_key = ready.promise, key_figures(ready, None)
    yield f"model     {model.version}, {model.recipe.detector}"
    yield f"zone      {reach_sentence(promise.reach)}"
    if hint := first_events_hint(settings, promise.rejector.zone.n, promise.terms):
        yield f"zone      {hint}"
    yield f"promise   {abstention_sentence(exact_figures(promise))}"
    if by_key:
        yield f"by key    {own_sentence(by_key)}"
    for changed in other_settings(model, options):
        yield (
            f"WARNING   the model was fitted with other settings: {changed}; "
            "run `detectd fit` again"
        )
    for warning in promise.warnings:
        yield f"WARNING   {warning}"


def _zone_after_warmup(settings: Settings) -> Iterator[str]:
    """Yield the zone after the warm-up: its ranks are those of any scores without ties."""
    if settings.detector.contamination == "estimate":
        return
    from detectd.models.calibrating import calibration_size
    from detectd.rejection import cost_warnings, reach
    from detectd.rejection.promise import planned_zone, zone_warnings
    from detectd.report.wording import reach_sentence

    terms = derive.terms(settings)
    n = calibration_size(settings.training.warmup_rows, derive.recipe(settings))
    try:
        zone = planned_zone(n, terms)
    except ConfigError as impossible:
        raise ConfigError(f"rejector: {impossible}") from None
    most = "at most " if settings.training.warmup_span_ms is not None else ""
    yield (
        f"zone      n = {most}{n:,} calibration scores, T = {zone.T:.6g}: "
        f"{reach_sentence(reach(zone, terms.contamination))}"
    )
    if hint := first_events_hint(settings, n, terms):
        yield f"zone      {hint}"
    warnings = [*zone_warnings(zone, terms), *cost_warnings(terms.contamination, terms.costs)]
    yield from (f"WARNING   {warning}" for warning in warnings)


def _law_after_warmup(settings: Settings) -> Iterator[str]:
    """Warn if the model of the warm-up will have no exact law; an active model says so itself."""
    from detectd.rejection.promise import law_warnings

    budget = settings.rejector.max_abstain_rate is not None
    for warning in law_warnings(settings.calibration.method, budget=budget):
        yield f"WARNING   {warning}"


def _rows_of_keys(settings: Settings) -> Iterator[str]:
    """Yield how many keys the first model needs if the rows of each key are limited."""
    most, rows = settings.training.max_per_key, settings.training.warmup_rows
    if most is None:
        return
    if settings.event.key is None and settings.source.kind != "kafka":
        yield "WARNING   training.max_per_key has no effect, because event.key is not set"
        return
    from detectd.models.training import fewest_rows

    fewest = fewest_rows(rows, derive.recipe(settings), settings.event.columns)
    whole, least = math.ceil(rows / most), math.ceil(fewest / most)
    if whole > 1:
        yield f"model     with fewer than {whole:,} keys, training.max_per_key lets fewer train it"
    if least > 1:
        yield (
            f"WARNING   training.max_per_key: with fewer than {least:,} keys too few rows are left "
            "to train a model, and the limit is ignored; raise it to keep it in force"
        )


def _first_rows(settings: Settings) -> str:
    asked = settings.training
    if asked.warmup_span_ms is None:
        return f"the first {asked.warmup:,} events"
    return f"the first events, spanning {asked.warmup}, at most {asked.window:,} of them"
