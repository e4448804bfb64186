"""A frozen snapshot of the service's models after a turn of the loop, for telemetry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from detectd.models.key_observations import KeyObservations
    from detectd.models.serving import Serving
    from detectd.pipeline.top_keys import TopKey
    from detectd.telemetry.warmup_progress import Progress

# How many keys `ChampionFigures` names.
KEYS_SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftFigures:
    """The evidence against the promise, the total number of alarms, and the latest ones.

    An alarm is expected once in `average_run_length` events while the promise holds.
    """

    evidence: float
    alarm_count: int
    alarms: Sequence[Mapping[str, Any]]
    average_run_length: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ChampionFigures:
    """The active model, and its counts in this run of the stream.

    `observed` counts the verdicts by kind, `since` when (Unix time, if known). `keys` are those
    with the most anomalies, `KEYS_SHOWN` at most; `by_key` the counts of keys with zones of their
    own.
    """

    serving: Serving
    observed: Mapping[str, int]
    since: int | None
    keys: Sequence[TopKey]
    drift: DriftFigures
    by_key: KeyObservations | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFigures:
    """The remembered keys, at most `most` in all assigned partitions, and the silent ones.

    It also counts, for this process, evicted keys, keys restarted after `keys.idle`, late events,
    events that no model judged, by reason, and `routine` ones: normal whatever the model's verdict.
    """

    remembered: int
    most: int
    silent: int
    evicted: int
    expired: int
    late: int
    unscored: Mapping[str, int]
    routine: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The scoring engine between two batches.

    Without a `champion`, `warmup` is the progress of its rows; None if another process collects
    them. `held` is the version that waits for an operator, `training` whether the next model is
    being trained, and `refits` the outcomes of trainings since the snapshot before. `keys` is None
    if there is no state of keys.
    """

    champion: ChampionFigures | None = None
    warmup: Progress | None = None
    held: str | None = None
    training: bool = False
    refits: Sequence[str] = ()
    keys: KeyFigures | None = None
