"""The scores that keys reach at this time of day, on the days before. Pure.

A score comes from a model, so it is known only after the features of its batch: `FeatureState.rows`
leaves a `BatchRoutine`, which takes the scores and adds them to their keys' rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from detectd.features.routine_layout import DAYS, ENOUGH, REACH, SLOTS, WORDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from detectd.features.key_rows import Op
    from detectd.features.table_events import TableEvents

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]
    Places = NDArray[np.intp]

# The words of a key's row.
OP: Op = (f"routine({ENOUGH} of {DAYS}, {SLOTS}, {REACH})", WORDS)
KEY_BYTES = 8 * WORDS
MEANING = (
    "a score that its key reaches at this time of day on two of the last seven days is normal; "
    "complete after 1w of a key"
)


class BatchRoutine:
    """What keys reach at the times of a batch's k events.

    Each event passes once, in order, whatever is asked of it afterwards.
    """

    def __init__(self, count: int, parts: Sequence[TableEvents]) -> None:
        self.found: Flags = np.zeros(count, dtype=np.bool_)
        self._parts = parts
        self._done = 0

    def judge(self, places: Places, scores: Floats, asked: Flags, mark: float) -> Flags:
        """Return which of the events at `places` (m,), ascending, have a routine score.

        Events with an `asked` (m,) score are looked up, the others only join. `mark`, not zero,
        is the same for scores that can be compared.
        """
        if len(places) and places[-1] >= self._done:
            known = np.full(len(self.found), np.nan)
            doubtful = np.zeros(len(self.found), dtype=np.bool_)
            known[places], doubtful[places] = scores, asked
            self._pass(int(places[-1]) + 1, known, doubtful, mark)
        found: Flags = self.found[places]
        return found

    def finish(self) -> None:
        """Let the events pass that have no score."""
        count = len(self.found)
        self._pass(count, np.full(count, np.nan), np.zeros(count, dtype=np.bool_), 0.0)

    def _pass(self, end: int, scores: Floats, asked: Flags, mark: float) -> None:
        # Loads the compiler, which a check has no use for.
        from detectd.features.kernels.routine import run

        for part in self._parts:
            first, last = np.searchsorted(part.places, (self._done, end))
            if first == last:
                continue
            now, places = slice(first, last), part.places[first:last]
            found = np.zeros(len(places), dtype=np.bool_)
            run(
                part.table.rows,
                part.table.width - WORDS,
                part.slots.slot[now],
                part.slots.fresh[now],
                part.times_ms[now],
                scores[places],
                asked[places],
                mark,
                found,
            )
            self.found[places] = found
        self._done = max(self._done, end)


@dataclass(frozen=True, slots=True, eq=False)
class RoutineOfRows:
    """The routine of some of a batch's events, those at `places` (m,)."""

    batch: BatchRoutine
    places: Places

    def judge(self, scores: Floats, asked: Flags, mark: float) -> Flags:
        """Return which of the scores (m,) are routine; see `BatchRoutine.judge`."""
        return self.batch.judge(self.places, scores, asked, mark)

    @property
    def count(self) -> int:
        """Return how many events of the batch were found to be routine."""
        return int(np.count_nonzero(self.batch.found))

    def only(self, row: int) -> RoutineOfRows:
        """Return that of one of the events."""
        return RoutineOfRows(self.batch, self.places[row : row + 1])

    def finish(self) -> None:
        """Let the batch's events pass that have no score."""
        self.batch.finish()
