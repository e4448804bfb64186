"""Load a model for serving, fit it again if libraries have changed, and compute its promise."""

from __future__ import annotations

import hashlib
import json
import zlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import structlog

from detectd.detectors import choose_scaled, find
from detectd.errors import ConfigError, DetectdError
from detectd.features import as_data, columns, in_words
from detectd.models import training
from detectd.models.sanity import why_backwards, why_scoreless
from detectd.pipeline.judging import ModelScorer
from detectd.rejection.key_promise import KeyPromises
from detectd.rejection.key_zones import promises_by_key
from detectd.rejection.promise import Promise, promise

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from detectd.features import Declared
    from detectd.models.files import Loaded
    from detectd.models.model import Model, Recipe
    from detectd.models.store import Store
    from detectd.rejection import Rejector
    from detectd.rejection.key_zones import KeyZones
    from detectd.rejection.promise import Terms

log = structlog.get_logger()

NO_KEYS = (
    "calibration.by_key: the model does not know the keys of its rows, as it was fitted without "
    "by_key; until the next fit all keys share one zone: run `detectd fit`"
)


@dataclass(frozen=True)
class ServingOptions:
    """The configured options of served models.

    `features` are those of the events, `recipe` is that of the next model. `terms` returns the
    terms of a model. With `kernels` it may be scored without PyOD; with `explains` anomalies are
    explained; with `by_key` a key with enough calibration scores is judged among its own.
    """

    features: tuple[Declared, ...]
    recipe: Recipe
    terms: Callable[[Model], Terms]
    kernels: bool
    explains: bool
    by_key: bool = False


@dataclass(frozen=True)
class Serving:
    """A model, its promise under the configured terms, and its scorer.

    If keys have zones of their own, those are `judge.keys`.
    """

    model: Model
    promise: Promise
    judge: ModelScorer

    @property
    def pooled(self) -> Rejector:
        """Return the rejector of the calibration scores of all keys together."""
        return self.judge.pooled

    @cached_property
    def key_promises(self) -> KeyPromises | None:
        """Return the promises of the zones of single keys, and last that of the shared zone."""
        keys = self.judge.keys
        return KeyPromises(keys.zones, mixed=keys.mixed) if keys else None

    @property
    def zone_id(self) -> list[int]:
        """Return numbers that change whenever a zone does: observations belong to zones."""
        zone, keys = self.promise.rejector.zone, self.judge.keys
        ends = [zone.rank_low, zone.rank_high]
        if keys is None:
            return ends
        parts = (keys.digests, keys.starts, keys.low, keys.high)
        return [*ends, zlib.crc32(b"".join(part.tobytes() for part in parts))]


def serve(model: Model, options: ServingOptions) -> Serving:
    """Prepare `model` for serving under the terms of `options`.

    Raise ConfigError if the configured features are not the model's, or its detector is no longer
    offered.
    """
    try:
        find(model.recipe.detector)
    except ConfigError as refused:
        raise ConfigError(f"model {model.version}: {refused}, and fit another model") from None
    promised, keys = _promised(model, options)
    rows = training.complete_rows(model)
    scorer = choose_scaled(
        model.detector, rows, model.scaling, model.encoding, kernels=options.kernels
    )
    if scorer.doubt is not None:
        log.warning("detector.not_compiled", detector=model.recipe.detector, reason=scorer.doubt)
    judge = ModelScorer(
        version=model.version,
        scorer=scorer,
        rejector=promised.rejector,
        medians=model.medians,
        explains=options.explains,
        unit=unit_of(model),
        keys=keys,
        categories=tuple(each.column for each in model.recipe.codings),
    )
    return Serving(model, promised, judge)


def unit_of(model: Model) -> float:
    """Return a number, not 0, that only models share which score any row alike.

    TailSum learns nothing from its rows, unless their columns are scaled or its categories are
    counted, so refits of it do; other models have a unit of their own.
    """
    what: Any = model.version
    learns = model.scaling is not None or model.encoding is not None
    if model.recipe.detector == "TailSum" and not learns:
        what = as_data(model.declared or model.features), model.recipe.params
    digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).digest()
    return 1.0 + int.from_bytes(digest[:6])


def serve_new(model: Model, options: ServingOptions) -> Serving:
    """Prepare a newly trained model for serving.

    Raises as `serve`, and ConfigError if it calls rows far outside of its training rows normal, or
    has no score for some training rows.
    """
    ready = serve(model, options)
    rows = training.complete_rows(model)
    why = why_scoreless(ready.judge, rows) or why_backwards(ready.judge, rows)
    if why is not None:
        raise ConfigError(
            f"training: the {model.recipe.detector} model is refused: {why}; use another "
            "detector.name, other detector.params or other features"
        )
    return ready


def under_other_terms(serving: Serving, options: ServingOptions) -> Serving:
    """Return the same model and scorer under other terms, without testing it again; itself, if the
    terms are equal.

    Raises as `serve`.
    """
    _require_features(serving.model, options)
    if options.terms(serving.model) == serving.promise.terms:
        return serving
    promised, keys = _promised(serving.model, options)
    judge = replace(serving.judge, rejector=promised.rejector, keys=keys)
    return replace(serving, promise=promised, judge=judge)


def _promised(model: Model, options: ServingOptions) -> tuple[Promise, KeyZones | None]:
    """Return the promise, and the zones of single keys if they are to have any."""
    _require_features(model, options)
    try:
        return promises(model, options.terms(model), by_key=options.by_key)
    except ConfigError as impossible:
        raise ConfigError(f"rejector: {impossible}") from None


def promises(model: Model, terms: Terms, *, by_key: bool) -> tuple[Promise, KeyZones | None]:
    """Return the promise of a model, and with `by_key` the zones of its keys, if it knows them.

    Raise ConfigError if its calibration scores cannot meet the terms.
    """
    if not by_key:
        return promise(model.calibration, terms), None
    if model.keys is None:
        told = promise(model.calibration, terms)
        return replace(told, warnings=[*told.warnings, NO_KEYS]), None
    return promises_by_key(model.calibration, model.keys.calibration, terms)


def _require_features(model: Model, options: ServingOptions) -> None:
    asked = columns(options.features)
    if model.features != asked:
        raise ConfigError(
            f"event.features: {list(asked)} are not those of model "
            f"{model.version}: {list(model.features)}; restore them, or run `detectd fit`"
        )
    for then, now in zip(model.declared or (), options.features, strict=False):
        if then != now:
            name = now if isinstance(now, str) else now.label
            raise ConfigError(
                f"event.features: {name!r} is {in_words(now)}, and {in_words(then)} in model "
                f"{model.version}; restore it, or run `detectd fit`"
            )


def serve_active(store: Store, options: ServingOptions, now: datetime) -> Serving:
    """Prepare the active model for serving. Raise DetectdError if there is none."""
    model = load_active(store, now)
    if model is None:
        raise DetectdError(
            f"{store.directory}: no model is active; make one with `detectd fit --input PATH`, "
            "or let `detectd run` warm up"
        )
    return serve(model, options)


def load_active(store: Store, now: datetime) -> Model | None:
    """Return the active model; None if there is none."""
    version = store.active()
    return None if version is None else load(store, version, now)


def load(store: Store, version: str, now: datetime) -> Model:
    """Return a stored model.

    A model fitted by other library versions is fitted again from its rows with its seed, in memory:
    store it under its new name to keep it.
    """
    loaded = store.load(version)
    if not loaded.drift:
        return loaded.model
    model = training.refit(loaded.model, now)
    log_fitted_again(loaded, model)
    return model


def log_fitted_again(loaded: Loaded, model: Model) -> None:
    """Log that `model` replaces one fitted by other library versions."""
    log.warning(
        "model.refitted",
        was=loaded.model.version,
        model=model.version,
        reason="fitted under other library versions",
        **{name: f"{then} -> {today}" for name, (then, today) in loaded.drift.items()},
    )


def log_serving(ready: Serving) -> None:
    """Log the model served from now on, and its promise."""
    for warning in ready.promise.warnings:
        log.warning("promise.warning", reason=warning)
    promise = ready.promise
    # Without a law there is no bound, so none is logged.
    bound: dict[str, float | bool] = {}
    if promise.exact is not None:
        bound["rejection_rate_upper"] = promise.exact.rejection_rate_upper
        bound["delta"] = promise.exact.delta
        bound["valid"] = promise.rate_bounded
    log.info(
        "model.serving",
        model=ready.model.version,
        detector=ready.model.recipe.detector,
        n=len(ready.model.calibration),
        T=promise.rejector.zone.T,
        reach=promise.reach,
        expected_rejection_rate=promise.expected_rejection_rate,
        **({"own_zones": keys.own} if (keys := ready.judge.keys) else {}),
        **bound,
    )


def other_settings(model: Model, options: ServingOptions) -> list[str]:
    """Return the settings of the model's training that have changed since."""
    then, now = model.recipe, options.recipe
    return [
        f"{key} was {getattr(then, name)!r}, is {getattr(now, name)!r}"
        for key, name in RECIPE_KEYS.items()
        if getattr(then, name) != getattr(now, name)
    ]


# The keys that need a new fit to change. Contamination is not among them: the zone is computed from
# the calibration scores at every start.
RECIPE_KEYS = {
    "detector.name": "detector",
    "detector.seed": "seed",
    "detector.params": "params",
    "detector.compiled": "compiled",
    "detector.scale": "scale",
    "calibration.method": "method",
    "calibration.fraction": "fraction",
    "calibration.order": "order",
    "calibration.folds": "folds",
}
