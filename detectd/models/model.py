"""A model: a fitted detector, its calibration scores, and its origin."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from detectd.detectors import Coding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from detectd.detectors import Encoding, Scale, Scaling
    from detectd.features import Declared

ESTIMATE: Literal["estimate"] = "estimate"


@dataclass(frozen=True)
class Contamination:
    """The expected share of anomalies: `mean`, in (0, 0.5], and its uncertainty.

    `points` are equally likely shares in [0, 0.5], ascending; a known share is the only one.
    """

    mean: float
    points: tuple[float, ...]

    @classmethod
    def known(cls, share: float) -> Contamination:
        """Return a configured share."""
        return cls(share, (share,))

    def interval(self, level: float) -> tuple[float, float]:
        """Return the interval of the share with probability `level`, equal-tailed."""
        low, high = np.quantile(self.points, [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)


@dataclass(frozen=True)
class Recipe:
    """Everything that determines a model from training rows: the detector and the calibration.

    `contamination` is a share in (0, 0.5], or estimated from the rows. `fraction` is the share of
    rows held out for calibration (`holdout`), `folds` the number of parts (`cross`), `compiled`
    whether kernels may score instead of PyOD. `order` selects the held-out rows: a random sample,
    or the last ones (`time`), for rows that depend on earlier ones. `scale` selects the units of
    the detector's columns, `codings` are the columns that hold categories.
    """

    detector: str
    contamination: float | Literal["estimate"]
    seed: int = 0
    params: dict[str, Any] = field(default_factory=dict)
    method: Literal["holdout", "cross", "in_sample"] = "holdout"
    fraction: float = 0.5
    order: Literal["random", "time"] = "random"
    folds: int = 5
    compiled: bool = True
    scale: Scale = "none"
    codings: tuple[Coding, ...] = ()

    def __post_init__(self) -> None:
        """Restore the types that JSON does not keep."""
        object.__setattr__(self, "codings", tuple(Coding(*each) for each in self.codings))


@dataclass(frozen=True)
class RowKeys:
    """The digests of the keys of the training rows (N,), and of the calibration scores (n,).

    Digests are 64 bits, 0 for a row without a key: no name of a key is in a model.
    """

    rows: NDArray[np.uint64]
    calibration: NDArray[np.uint64]


@dataclass(frozen=True)
class Model:
    """Immutable. `rows` (N, d) are the training rows as they came, NaN where a feature was missing.

    `calibration` (n,) are the calibration scores in ascending order, `medians` (d,) the training
    medians, `libraries` the versions under which the detector was fitted, `created` ISO 8601 UTC.
    `contamination` is what the recipe set, or what the rows were estimated to hold. `features` (d,)
    are the names of the columns, `declared` what they come from; None if an earlier version made
    the model. `encoding` and then `scaling` are applied before the detector sees a row; None if
    nothing is. `keys` are those of the rows and scores, in their order; None if the rows came
    without.
    """

    version: str
    created: str
    recipe: Recipe
    contamination: Contamination
    features: tuple[str, ...]
    libraries: dict[str, str]
    detector: Any
    calibration: NDArray[np.float64]
    medians: NDArray[np.float64]
    rows: NDArray[np.float64]
    declared: tuple[Declared, ...] | None = None
    scaling: Scaling | None = None
    keys: RowKeys | None = None
    encoding: Encoding | None = None
