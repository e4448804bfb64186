"""How a feature was off: too high or too low, and what would have been expected.

For a field, and a function whose values have no surprise of their own, the training median is
expected. For a surprise, it is what the key itself usually has; for a season, at this time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from detectd.features import Category, Function, columns, weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from detectd.features.table_events import Background
    from detectd.pipeline.schema import Schema

    Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Expectations:
    """What was expected of complete rows (k, d); `medians` (d,) are the training medians."""

    schema: Schema
    rows: Floats
    medians: Floats
    background: Background | None

    def off(self, row: int, feature: str) -> dict[str, Any] | None:
        """Return how a feature was off, for JSON; None if that has no direction, or none is known.

        Of a feature with several columns, it is the one that is farthest from its training median,
        by its weight.
        """
        own = self._columns.get(feature, ())
        if not own:
            return None
        far = [self._weights[j] * abs(self.rows[row, j] - self.medians[j]) for j in own]
        column = own[far.index(max(far))]
        value, expected = self._behind(row, column)
        if not math.isfinite(value) or math.isnan(expected) or value == expected:
            return None
        told: dict[str, Any] = {"way": "high" if value > expected else "low", "value": value}
        if math.isfinite(expected):
            told["expected"] = expected
        if len(own) > 1:
            told["column"] = self._names[column]
        return told

    def _behind(self, row: int, column: int) -> tuple[float, float]:
        median = float(self.medians[column])
        if self.background is None:
            return float(self.rows[row, column]), median
        value, expected = self.background.behind(row, column)
        return value, median if expected is None else expected

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return columns(self.schema.features)

    @cached_property
    def _weights(self) -> tuple[float, ...]:
        return tuple(1.0 if isinstance(w, str) else w for w in weights(self.schema.features))

    @cached_property
    def _columns(self) -> dict[str, list[int]]:
        """Return the columns of each feature, except categories and what goes round a circle."""
        without_direction = {
            each.label for each in self.schema.features if isinstance(each, Function | Category)
        }
        found: dict[str, list[int]] = {}
        for column, label in enumerate(self.schema.labels):
            if label not in without_direction:
                found.setdefault(label, []).append(column)
        return found
