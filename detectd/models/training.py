"""Train a model on rows: impute, fit, calibrate, name."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import structlog

from detectd.detectors import (
    Encoding,
    Vocabulary,
    encoded_width,
)
from detectd.errors import ConfigError, DetectdError
from detectd.features import as_data, columns
from detectd.models import contamination
from detectd.models.calibrating import (
    CALIBRATIONS,
    calibrating,
    calibration_size,
    fitting_size,
    holds_out,
    split,
)
from detectd.models.environment import libraries
from detectd.models.model import ESTIMATE, Contamination, Model, Recipe, RowKeys
from detectd.models.row_order import even_per_key
from detectd.pipeline.fields import category_texts
from detectd.rejection import expected_anomalies

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from detectd.features import Declared

    Rows = NDArray[np.float64]

log = structlog.get_logger()


def train(
    rows: Rows,
    recipe: Recipe,
    declared: Sequence[Declared],
    created: datetime,
    keys: NDArray[np.uint64] | None = None,
) -> Model:
    """Fit and calibrate on `rows` (N, d) of the declared features, NaN where one is missing.

    `keys` (N,) are the digests of their keys, for zones of single keys. A calibration score that is
    not finite is that of a row far outside, and counts as the largest double. Raise DetectdError if
    the rows cannot train a model: too few, all equal, a feature without any value, or more
    non-finite scores than expected anomalies.
    """
    features = columns(declared)
    require_rows(len(rows), recipe, features)
    medians = _medians(rows, features, [each.column for each in recipe.codings])
    complete = np.where(np.isnan(rows), medians, rows)
    if (complete == complete[0]).all():
        raise DetectdError(
            f"training: all {len(rows)} rows are equal, so no score can be ranked; "
            "train on rows that differ"
        )
    expected = _contamination(complete, recipe)
    settled = replace(recipe, contamination=expected.mean)
    require_rows(len(rows), settled, features)
    fitted, calibration = CALIBRATIONS[recipe.method](complete, settled)
    lost = int(np.count_nonzero(~np.isfinite(calibration)))
    if lost > expected_anomalies(len(calibration), expected.mean):
        raise DetectdError(
            f"training: {recipe.detector} gave {lost} non-finite scores out of {len(calibration)} "
            "calibration scores; use other features or another detector.name"
        )
    finite = np.isfinite(calibration)
    calibration = np.where(finite, calibration, np.finfo(np.float64).max)
    order = np.argsort(calibration, kind="stable")
    calibration = calibration[order]
    encoding = fitted.encoding and fitted.encoding.named(category_texts())
    return Model(
        version=_name(created, rows, calibration, recipe, declared, keys),
        created=created.isoformat(timespec="seconds"),
        recipe=recipe,
        contamination=expected,
        features=features,
        libraries=libraries(),
        detector=fitted.detector,
        calibration=calibration,
        medians=medians,
        rows=rows,
        declared=tuple(declared),
        scaling=fitted.scaling,
        keys=None if keys is None else RowKeys(keys, keys[calibrating(len(rows), settled)][order]),
        encoding=encoding,
    )


def with_texts(model: Model) -> Model:
    """Return a model of another process with the texts of categories that this process has read."""
    if model.encoding is None:
        return model
    return replace(model, encoding=model.encoding.named(category_texts()))


def complete_rows(model: Model) -> Rows:
    """Return the training rows (N, d), missing features imputed."""
    return np.where(np.isnan(model.rows), model.medians, model.rows)


def refit(model: Model, created: datetime) -> Model:
    """Return a model from the same rows, recipe and seed, fitted by the present libraries."""
    keys = model.keys.rows if model.keys else None
    fitted = train(model.rows, model.recipe, model.declared or model.features, created, keys)
    return replace(fitted, declared=model.declared)


def require_rows(total: int, recipe: Recipe, features: Sequence[str]) -> None:
    """Raise DetectdError if there are too few rows for a promise, with the number needed."""
    width = encoded_width(len(features), recipe.codings)
    if total < max(width, 2):
        raise DetectdError(
            f"training: {total} rows for {width} features; give at least {max(width, 2)} rows"
        )
    if recipe.contamination == ESTIMATE:
        contamination.require_rows(fitting_size(total, recipe))
    elif expected_anomalies(calibration_size(total, recipe), recipe.contamination) < 1:
        share = recipe.fraction if holds_out(recipe) else 1.0
        needed = max(1, math.floor((1 / recipe.contamination - 1) / share))
        while expected_anomalies(calibration_size(needed, recipe), recipe.contamination) < 1:
            needed += 1  # a few steps, due only to rounding
        raise DetectdError(
            f"training: {total} rows leave {calibration_size(total, recipe)} calibration scores, "
            f"of which a contamination of {recipe.contamination:g} expects none to be an "
            f"anomaly; give at least {needed} rows"
        )


def fewest_rows(most: int, recipe: Recipe, features: Sequence[str]) -> int:
    """Return the least number of rows that `require_rows` lets pass, up to `most`.

    Raise DetectdError if `most` rows are not enough.
    """
    require_rows(most, recipe, features)
    low, high = 1, most  # `low` is too few, `high` is enough
    while high - low > 1:
        middle = (low + high) // 2
        try:
            require_rows(middle, recipe, features)
        except DetectdError:
            low = middle
        else:
            high = middle
    return high


def bound_per_key(
    keys: NDArray[Any], most: int | None, recipe: Recipe, features: Sequence[str]
) -> int | None:
    """Return how many rows of each key may train, of rows (N,) with these `keys`; None for all.

    Return `most`, unless that leaves too few rows to train although all of them are enough: more
    rows of the same keys would not help.
    """
    if most is None:
        return None
    try:
        require_rows(len(even_per_key(keys, most)), recipe, features)
    except DetectdError as too_few:
        with contextlib.suppress(DetectdError):
            require_rows(len(keys), recipe, features)
            hint = "all rows train; raise training.max_per_key to limit those of a key"
            log.warning(
                "training.max_per_key_ignored",
                max_per_key=most,
                keys=len(np.unique(keys)),
                rows=len(keys),
                reason=str(too_few),
                hint=hint,
            )
            return None
    return most


def _contamination(rows: Rows, recipe: Recipe) -> Contamination:
    """Return the recipe's contamination, or an estimate from rows that are not used for
    calibration, if there are any: otherwise the zone would depend on the scores that it makes a
    promise on."""
    if recipe.contamination != ESTIMATE:
        return Contamination.known(recipe.contamination)
    if holds_out(recipe):
        rows = rows[split(len(rows), recipe)[1]]
    encoding = Encoding.of(rows, recipe.codings)
    rows = rows if encoding is None else encoding(rows)
    return contamination.estimate(rows, recipe.seed)


def _medians(rows: Rows, features: Sequence[str], categories: Sequence[int]) -> Rows:
    """Return what takes the place of a missing value (d,): the median; of `categories` the most
    frequent value."""
    empty = np.isnan(rows).all(axis=0)
    if empty.any():
        name = features[int(np.flatnonzero(empty)[0])]
        raise ConfigError(f"event.features: {name!r} has no value in any training row; drop it")
    with np.errstate(over="ignore"):
        medians: Rows = np.nanmedian(rows, axis=0)
    if not np.isfinite(medians).all():  # the sum of the two middle values overflows a double
        medians = np.where(np.isfinite(medians), medians, 2.0 * np.nanmedian(rows / 2.0, axis=0))
    for column in categories:
        known = rows[:, column]
        medians[column] = Vocabulary.of(known[~np.isnan(known)], 1).values[0]
    return medians


def _name(
    created: datetime,
    rows: Rows,
    calibration: Rows,
    recipe: Recipe,
    declared: Sequence[Declared],
    keys: NDArray[np.uint64] | None,
) -> str:
    """Return the model's name: its creation time, and six digits of a hash of its content."""
    content = hashlib.sha256(rows.tobytes())
    content.update(calibration.tobytes())
    if keys is not None:
        content.update(keys.tobytes())
    content.update(json.dumps([asdict(recipe), as_data(declared)], sort_keys=True).encode())
    return f"{created.astimezone(UTC):%Y%m%dT%H%M%SZ}-{content.hexdigest()[:6]}"
