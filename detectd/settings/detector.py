"""The detector, the rejector, and the scores between them."""

from __future__ import annotations

import json
import math
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from detectd.settings.types import Cost, Name, Section, Share


# One error for both: pydantic's own union would report an error for each.
def _contamination(given: Any) -> float | Literal["estimate"]:
    if given == "estimate":
        return "estimate"
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0 < given <= 0.5:
        raise ValueError(
            f'must be a number in (0, 0.5], or "estimate" (it is {json.dumps(given, default=str)})'
        )
    return float(given)


Contamination = Annotated[
    float | Literal["estimate"],
    BeforeValidator(
        _contamination,
        json_schema_input_type=Annotated[float, Field(gt=0, le=0.5)] | Literal["estimate"],
    ),
]


class DetectorSettings(Section):
    """The PyOD detector, and the expected share of anomalies."""

    name: Name = "IForest"
    contamination: Contamination = 0.05
    seed: int = Field(default=0, ge=0, lt=2**32)
    compiled: bool = True
    scale: Literal["auto", "none", "standard", "robust"] = "auto"
    params: dict[str, Any] = Field(default_factory=dict)


class RejectorSettings(Section):
    """The threshold for abstention, and the costs of errors."""

    T: Annotated[float, Field(gt=math.log(2), allow_inf_nan=False)] | None = None
    max_abstain_rate: Share | None = None
    delta: Share = 0.1
    cost_false_positive: Cost = 1.0
    cost_false_negative: Cost = 1.0
    cost_rejection: Cost | None = None

    @model_validator(mode="after")
    def _one_way_to_set_the_threshold(self) -> Self:
        if self.max_abstain_rate is not None and self.T is not None:
            raise ValueError("T and max_abstain_rate are both set; keep one of them")
        return self


class CalibrationSettings(Section):
    """The source of the calibration scores."""

    method: Literal["holdout", "cross", "in_sample"] = "holdout"
    fraction: Share = 0.5
    order: Literal["auto", "random", "time"] = "auto"
    folds: int = Field(default=5, ge=2, le=100)
    by_key: bool = False
