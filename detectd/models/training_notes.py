"""What a fit says of its rows: constant features, units and categories."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from detectd.models.model import Model

# The most frequent values of a category that are named.
SHOWN = 8


def constant_features(model: Model) -> list[str]:
    """Return the features that never changed in training: the detector learnt nothing from them."""
    still = np.nanmin(model.rows, axis=0) == np.nanmax(model.rows, axis=0)
    return [name for name, constant in zip(model.features, still, strict=True) if constant]


def scaling_in_words(model: Model) -> str | None:
    """Return the divisor of each feature, in words; None if there was no scaling."""
    if model.scaling is None:
        return None
    names = model.encoding.names(model.features) if model.encoding else model.features
    spreads = zip(names, model.scaling.spread.tolist(), strict=True)
    units = ", ".join(f"{name} {spread:.3g}" for name, spread in spreads)
    return f"scaled for {model.recipe.detector} ({model.recipe.scale}), in units of: {units}"


def categories_in_words(model: Model) -> list[str]:
    """Return a line for each feature with categories: the most frequent, with their shares."""
    if model.encoding is None:
        return []
    return [
        f"{model.features[coding.column]}: {vocabulary.in_words(coding.top or SHOWN)}"
        for coding, vocabulary in zip(
            model.encoding.codings, model.encoding.vocabularies, strict=True
        )
    ]
