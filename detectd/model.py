"""A model: a fitted detector, the scores against which it ranks, and how it came about."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Recipe:
    """All that decides what training rows become: the detector and the calibration.

    `fraction` is the share of rows held out for calibration (`holdout`), `folds` the number of
    parts (`cross`), `compiled` whether kernels may score in PyOD's place.
    """

    detector: str
    contamination: float
    seed: int = 0
    params: dict[str, Any] = field(default_factory=dict)
    method: Literal["holdout", "cross", "in_sample"] = "holdout"
    fraction: float = 0.5
    folds: int = 5
    compiled: bool = True


@dataclass(frozen=True)
class Model:
    """Immutable. `rows` (N, d) are the training rows as they came, NaN where a feature was missing.

    `calibration` (n,) are the calibration scores in ascending order, `medians` (d,) the training
    medians, `libraries` the versions under which the detector was fitted, `created` ISO 8601 UTC.
    """

    version: str
    created: str
    recipe: Recipe
    features: tuple[str, ...]
    libraries: dict[str, str]
    detector: Any
    calibration: NDArray[np.float64]
    medians: NDArray[np.float64]
    rows: NDArray[np.float64]
