"""Turn records into feature vectors: the fields of an event, and features of its key's past.

Every record becomes one row of the matrix, an event without a score, or a dead letter;
`Vectors.places`, `Vectors.unscored` and `Vectors.dead` together name each record once.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import compress
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from detectd.features.routine import RoutineOfRows
from detectd.pipeline.decode import Decoded, decode, times_of
from detectd.pipeline.records import Reason, RecordError, Stage
from detectd.pipeline.unexpected_errors import During, Unforeseen, defect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from detectd.features.state import FeatureState
    from detectd.features.table_events import Background
    from detectd.pipeline.records import Event, Record
    from detectd.pipeline.schema import Schema


class Unscored(NamedTuple):
    """An event that no model may judge, and the reason."""

    event: Event
    reason: Reason


@dataclass(frozen=True, slots=True)
class Vectors:
    """The matrix (k, d), the k events behind its rows, and the other records.

    `places[i]` is the index in the batch of the record behind row i; `unscored` and `dead` map the
    other indices to an event without a score, or to stage and error. `first` is the number of the
    first record in the order of the stream, see `Silence.moment`. `routine` takes the rows' scores,
    None if they are not kept; `background` is what they were made from, if from a past.
    """

    rows: NDArray[np.float64]
    events: Sequence[Event]
    places: Sequence[int]
    unscored: dict[int, Unscored]
    dead: dict[int, RecordError]
    first: int = 0
    routine: RoutineOfRows | None = None
    background: Background | None = None

    @property
    def whole(self) -> bool:
        """Return whether every record has become a row."""
        return not self.unscored and not self.dead

    def records_of(self, records: Sequence[Record]) -> Sequence[Record]:
        """Return the batch's records that are behind the rows."""
        return records if self.whole else [records[place] for place in self.places]

    def routine_of(
        self, scores: NDArray[np.float64], asked: NDArray[np.bool_], unit: float
    ) -> NDArray[np.bool_]:
        """Return which of the `asked` scores (k,) are routine; all of them are remembered.

        `unit` is the same for scores that can be compared.
        """
        if self.routine is None:
            return np.zeros(len(scores), dtype=np.bool_)
        return self.routine.judge(scores, asked, unit)

    def only(self, row: int) -> Vectors:
        """Return one row, as a batch of its record alone."""
        routine = self.routine and self.routine.only(row)
        background = self.background and self.background.of(slice(row, row + 1))
        alone = self.rows[row : row + 1], [self.events[row]], [0]
        return Vectors(*alone, {}, {}, routine=routine, background=background)


def vectors(
    records: Sequence[Record], schema: Schema, state: FeatureState | None = None
) -> Vectors:
    """Return the feature vectors of a batch: finite, except for features to be imputed.

    `state` is the state of features with a memory, None if there are none. The batch's events
    update it, whatever their outcome.
    """
    decoded = _decoded(records, schema)
    if state is None:
        return Vectors(decoded.rows, decoded.events, decoded.sound, {}, decoded.dead)
    partitions = [partition_of(records[place]) for place in decoded.sound]
    keys = [event.key for event in decoded.events]
    first, state.records = state.records, state.records + len(records)
    moments = first + np.fromiter(decoded.sound, np.int64, len(decoded.sound))
    found = state.rows(partitions, keys, times_of(decoded.events), decoded.rows, moments)
    judged = ~(found.young | found.refused)
    places = np.flatnonzero(judged)
    routine = None if found.routine is None else RoutineOfRows(found.routine, places)
    background = found.background and found.background.of(places)
    if judged.all():
        whole = found.rows, decoded.events, decoded.sound
        return Vectors(*whole, {}, decoded.dead, first, routine, background)
    unscored, late = _without_a_score(decoded, found.refused, ~judged, dies=state.late_dies)
    kept = judged.tolist()
    return Vectors(
        found.rows[judged],
        list(compress(decoded.events, kept)),
        list(compress(decoded.sound, kept)),
        unscored,
        decoded.dead | late,
        first,
        routine,
        background,
    )


def without_their_past(records: Sequence[Record], schema: Schema) -> Vectors:
    """Return the vectors of records out of order: if features remember, no event gets a score."""
    if not schema.remembers:
        return vectors(records, schema)
    decoded = _decoded(records, schema)
    events = zip(decoded.sound, decoded.events, strict=True)
    unscored = {place: Unscored(event, Reason.LATE) for place, event in events}
    return Vectors(np.empty((0, len(schema.columns))), [], [], unscored, decoded.dead)


def _decoded(records: Sequence[Record], schema: Schema) -> Decoded:
    """Decode a batch. If that fails unexpectedly, only the failing records become dead letters."""
    try:
        with During(Stage.DECODE):
            return decode(records, schema)
    except Unforeseen:
        pass
    parts, dead = [], {}
    for place, record in enumerate(records):
        try:
            with During(Stage.DECODE):
                parts.append((place, decode([record], schema)))
        except Unforeseen as failed:
            dead[place] = defect(failed.stage, failed.cause)
    return Decoded(
        np.concatenate([np.empty((0, _width(schema))), *(part.rows for _, part in parts)]),
        [event for _, part in parts for event in part.events],
        [place for place, part in parts if part.events],
        dead | {place: part.dead[0] for place, part in parts if part.dead},
    )


def _width(schema: Schema) -> int:
    return len(schema.reads if schema.remembers else schema.columns)


def partition_of(record: Record) -> str:
    """Return the name of the record's partition; a source without partitions counts as one."""
    return "" if record.partition is None else record.id.rpartition("/")[0]


def _without_a_score(
    decoded: Decoded, refused: NDArray[np.bool_], others: NDArray[np.bool_], *, dies: bool
) -> tuple[dict[int, Unscored], dict[int, RecordError]]:
    """Return the events that are too late, or whose key is too young, by index in the batch."""
    unscored: dict[int, Unscored] = {}
    late: dict[int, RecordError] = {}
    for i in np.flatnonzero(others).tolist():
        place, event = decoded.sound[i], decoded.events[i]
        if refused[i] and dies:
            late[place] = RecordError(
                Stage.FEATURES,
                "the event is late: its key already had a later one, and keys.late is "
                "'dead_letter'",
            )
        else:
            unscored[place] = Unscored(event, Reason.LATE if refused[i] else Reason.WARMING_UP)
    return unscored, late
