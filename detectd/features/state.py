"""The feature vectors of a stream, and the state of each key's history. Pure.

The state becomes permanent with the commit of the outputs; a rollback undoes a batch's changes. It
is kept per partition, since a partition may move to another process: neither the limits nor the
features of a key depend on which other partitions are assigned.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from detectd.features.dispatch import calculated
from detectd.features.key_rows import HEADER_WORDS
from detectd.features.key_table import KeyTable
from detectd.features.key_tables import KeyTables
from detectd.features.lateness import Late
from detectd.features.routine import OP, BatchRoutine
from detectd.features.table_events import Background, TableEvents

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from detectd.features.program import Program

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]
    Moments = NDArray[np.int64]

# Enough to find a common cause.
LATE_KEPT = 200

LatePolicy = Literal["accept", "dead_letter", "abstain"]


@dataclass(frozen=True)
class KeyBounds:
    """The bounds of the state of keys.

    At most `max_keys` are remembered per partition; one without an event for `idle_ms` of event
    time is restarted, and one without for `silent_ms` is silent, see `silence`. An event is young
    if fewer than `min_events` of its key came before it. `late` is the policy for an event earlier
    than its key's latest. With `routine` the scores of a key's last week are kept, see `routine`.
    """

    max_keys: int = 100_000
    idle_ms: float | None = None
    silent_ms: float | None = None
    min_events: int = 0
    late: LatePolicy = "accept"
    routine: bool = False


class FeatureRows(NamedTuple):
    """The rows (k, d) of events, and which of them (k,) no model may judge: refused ones are NaN.

    `young` events have a key with too little history, `refused` ones came too late. `routine` takes
    their scores, None if those are not kept; `background` is None if no feature has a memory.
    """

    rows: Floats
    young: Flags
    refused: Flags
    routine: BatchRoutine | None = None
    background: Background | None = None


class FeatureState:
    """Calculate the rows of events in order, and keep the state they need."""

    def __init__(self, program: Program, bounds: KeyBounds) -> None:
        self.program = program
        self.bounds = bounds
        # What the words of a key's row are, in order; the last are not of a feature.
        self.ops = (*program.ops, OP) if bounds.routine else program.ops
        self.tables = KeyTables(self._new_table)
        # The most recent late events, even if their batch was rolled back.
        self.late: deque[Late] = deque(maxlen=LATE_KEPT)
        # How many records have come, again after a rollback: their numbers order what is found.
        self.records = 0

    def _new_table(self) -> KeyTable:
        return KeyTable(
            sum(size for _, size in self.ops),
            max_keys=self.bounds.max_keys,
            idle_ms=self.bounds.idle_ms,
            silent_ms=self.bounds.silent_ms,
            refuse_late=self.bounds.late != "accept",
        )

    @property
    def late_dies(self) -> bool:
        """Return whether an event that comes too late becomes a dead letter."""
        return self.bounds.late == "dead_letter"

    def rows(
        self,
        partitions: Sequence[str],
        keys: Sequence[bytes | None],
        times_ms: Floats,
        values: Floats,
        moments: Moments | None = None,
    ) -> FeatureRows:
        """Return the rows of k events, in order, and add the events to their keys' past.

        `times_ms` (k,) are NaN for an event without a time, `values` (k, fields) the fields read;
        if no feature has a memory, they are the rows. `moments` (k,) number their records;
        by default the events of a partition have numbers of their own.
        """
        names = dict.fromkeys(partitions)
        if len(names) == 1:
            rows, part = self._rows(partitions[0], keys, times_ms, values, moments)
            return self._with(rows, [part])
        whole = FeatureRows(
            np.empty((len(keys), len(self.program.columns))),
            np.empty(len(keys), dtype=bool),
            np.empty(len(keys), dtype=bool),
        )
        parts = []
        for name in names:
            places = np.array([i for i, partition in enumerate(partitions) if partition == name])
            mine = [keys[i] for i in places.tolist()]
            ours = None if moments is None else moments[places]
            some, part = self._rows(name, mine, times_ms[places], values[places], ours)
            for all_of_them, found in zip(whole[:3], some[:3], strict=True):
                all_of_them[places] = found
            parts.append(part._replace(places=places))
        return self._with(whole, parts)

    def _with(self, found: FeatureRows, parts: Sequence[TableEvents]) -> FeatureRows:
        """Return the rows with what else is known of their events."""
        return found._replace(
            routine=BatchRoutine(len(found.rows), parts) if self.bounds.routine else None,
            background=Background(self.program, parts, np.arange(len(found.rows)))
            if self.program.steps
            else None,
        )

    def _rows(
        self,
        partition: str,
        keys: Sequence[bytes | None],
        times_ms: Floats,
        values: Floats,
        moments: Moments | None,
    ) -> tuple[FeatureRows, TableEvents]:
        table = self.tables.of(partition)
        slots = table.slots_of(keys, times_ms, moments)
        rows, scratch = values, None
        if self.program.steps:
            scratch = calculated(
                self.program, table.rows, slots.slot, times_ms, values, slots.fresh, HEADER_WORDS
            )
            rows = self.program.rows(scratch)
        for i in np.flatnonzero(slots.lag_ms)[-LATE_KEPT:].tolist():
            self.late.append(Late(times_ms[i].item(), slots.lag_ms[i].item()))
        refused = slots.slot < 0
        young = ~refused & (slots.earlier < self.bounds.min_events)
        events = TableEvents(np.arange(len(keys)), table, slots, times_ms, scratch)
        return FeatureRows(rows, young, refused), events
