"""Fit a detector on training rows, and find the scores that calibrate its promise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from detectd.detectors import (
    Encoding,
    Scaling,
    build,
    choose_scaled,
    find,
    fit,
    training_scores,
)
from detectd.errors import ConfigError
from detectd.models.model import ESTIMATE

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from detectd.detectors import Scorer
    from detectd.models.model import Recipe

    Rows = NDArray[np.float64]


def calibration_size(total: int, recipe: Recipe) -> int:
    """Return n, the number of calibration scores that N training rows leave."""
    return round(total * recipe.fraction) if holds_out(recipe) else total


def holds_out(recipe: Recipe) -> bool:
    """Return whether rows are held out. A detector that does not learn needs none, unless it gets
    shares of the training rows."""
    learns = find(recipe.detector).learns or bool(recipe.codings)
    return recipe.method == "holdout" and learns


def fitting_size(total: int, recipe: Recipe) -> int:
    """Return the number of rows, of N training rows, that the detector is fitted on."""
    return total - calibration_size(total, recipe) if holds_out(recipe) else total


def calibrating(total: int, recipe: Recipe) -> NDArray[np.int64]:
    """Return the index of the row behind each calibration score, before these are sorted."""
    return split(total, recipe)[0] if holds_out(recipe) else np.arange(total)


def split(total: int, recipe: Recipe) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the indices of the calibration rows, and of the fitted rows.

    With `time` the last rows are for calibration. A feature with a memory makes a row depend on
    earlier ones: the detector would have seen the neighbours of randomly held-out rows.
    """
    held_out = calibration_size(total, recipe)
    if recipe.order == "time":
        order = np.arange(total)[::-1]
        return order[:held_out][::-1], order[held_out:][::-1]
    order = np.random.default_rng(recipe.seed).permutation(total)
    return order[:held_out], order[held_out:]


class Fitted(NamedTuple):
    """A detector, what its columns come from, and a scorer of rows as they came by all of them."""

    detector: Any
    scaling: Scaling | None
    encoding: Encoding | None
    scorer: Scorer


def _fitted(rows: Rows, recipe: Recipe) -> Fitted:
    assert recipe.contamination != ESTIMATE
    detector = build(recipe.detector, recipe.contamination, recipe.seed, recipe.params)
    encoding = Encoding.of(rows, recipe.codings)
    encoded = rows if encoding is None else encoding(rows)
    scaling = Scaling.of(encoded, recipe.scale)
    fit(detector, encoded if scaling is None else scaling(encoded))
    scorer = choose_scaled(detector, rows, scaling, encoding, kernels=recipe.compiled)
    return Fitted(detector, scaling, encoding, scorer)


def _holdout(rows: Rows, recipe: Recipe) -> tuple[Fitted, Rows]:
    """Fit on one part, calibrate on the rest: the scores of both the rest and the stream are then
    those of rows that the detector has not seen, so they are exchangeable."""
    if not holds_out(recipe):
        fitted = _fitted(rows, recipe)
        return fitted, fitted.scorer.score(rows)
    held_out, others = split(len(rows), recipe)
    if len(others) < 2:
        raise ConfigError(
            f"calibration.fraction: {recipe.fraction} of {len(rows)} rows leaves fewer than two "
            "to fit; lower it or give more rows"
        )
    fitted = _fitted(rows[others], recipe)
    return fitted, fitted.scorer.score(rows[held_out])


def _cross(rows: Rows, recipe: Recipe) -> tuple[Fitted, Rows]:
    """Return each row's score by a detector fitted on the other folds, and a detector fitted on
    all."""
    if recipe.folds > len(rows) // 2:
        raise ConfigError(
            f"calibration.folds: {recipe.folds} folds of {len(rows)} rows are too small; lower it"
        )
    order = np.random.default_rng(recipe.seed).permutation(len(rows))
    if recipe.order == "time":
        order = np.arange(len(rows))  # The neighbours of a row are in its own fold.
    scores = np.empty(len(rows))
    for fold in np.array_split(order, recipe.folds):
        others = np.setdiff1d(order, fold)
        scores[fold] = _fitted(rows[others], recipe).scorer.score(rows[fold])
    return _fitted(rows, recipe), scores


def _in_sample(rows: Rows, recipe: Recipe) -> tuple[Fitted, Rows]:
    """Return the training scores, as the paper and PyOD use them. Not exchangeable with the
    stream's.

    They are computed by the scorer if it gives the same values, so that a repeated row ties.
    """
    fitted = _fitted(rows, recipe)
    seen, again = training_scores(fitted.detector), fitted.scorer.score(rows)
    with np.errstate(over="ignore", invalid="ignore"):
        same = np.isclose(seen, again, rtol=1e-9, atol=0)
    return fitted, np.where(same, again, seen)


CALIBRATIONS: dict[str, Callable[[Rows, Recipe], tuple[Fitted, Rows]]] = {
    "holdout": _holdout,
    "cross": _cross,
    "in_sample": _in_sample,
}
