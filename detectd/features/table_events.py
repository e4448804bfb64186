"""The events of one table in a batch, and what was calculated for them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from detectd.features.key_headers import Slots
    from detectd.features.key_table import KeyTable
    from detectd.features.program import Program

    Floats = NDArray[np.float64]
    Places = NDArray[np.intp]


class TableEvents(NamedTuple):
    """The events of one table: their `places` in the batch, ascending, and their rows.

    `scratch` (scratch, k) are their scratch vectors, None if no feature has a memory.
    """

    places: Places
    table: KeyTable
    slots: Slots
    times_ms: Floats
    scratch: Floats | None


@dataclass(frozen=True, eq=False)
class Background:
    """What was calculated for the events of a batch on the way to their rows.

    Of these, the rows are those of the events at `places` (m,).
    """

    program: Program
    parts: Sequence[TableEvents]
    places: Places

    def of(self, rows: Places | slice) -> Background:
        """Return that of some of the rows."""
        return replace(self, places=self.places[rows])

    def behind(self, row: int, column: int) -> tuple[float, float | None]:
        """Return what a column of the row judges, and what was expected of it.

        None is the training median. If only the side of it is known, it is infinite; what is not
        known at all is NaN.
        """
        scratch = self._scratch(int(self.places[row]))
        origin = self.program.origins[column]
        value = float(scratch[origin.value])
        expected = None if origin.expected is None else float(scratch[origin.expected])
        if origin.base is None:
            return value, expected
        there = float(scratch[origin.base])
        return there, there - (value - (expected or 0.0))

    def _scratch(self, place: int) -> Floats:
        for part in self.parts:
            i = int(np.searchsorted(part.places, place))
            if i < len(part.places) and part.places[i] == place and part.scratch is not None:
                vector: Floats = part.scratch[:, i]
                return vector
        return np.full(self.program.scratch, np.nan)
