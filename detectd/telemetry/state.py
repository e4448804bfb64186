"""One moment of the service, and why it is not ready: plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

from detectd.sources import Losses

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from detectd.models.key_observations import KeyObservations
    from detectd.models.serving import Serving
    from detectd.pipeline.top_keys import TopKey
    from detectd.sources import Partition
    from detectd.telemetry.snapshot import KeyFigures
    from detectd.telemetry.warmup_progress import Progress

# How a refit ends: its model answers, or waits for an operator, or was not good enough, or there
# is none.
OUTCOMES = ("accepted", "held", "refused", "failed")

NO_LOSSES = Losses()

# The reasons for not being ready, the most important first; see `State._reasons`.
NOT_READY_STATES = (
    "stopping",
    "stalled",
    "interrupted",
    "starting",
    "refused",
    "waiting",
    "restoring",
    "warming_up",
    "failing",
    "stale",
)


class NotReadyReason(NamedTuple):
    """Why the service is not ready: the state in one word, and the sentence for a person."""

    state: str
    why: str


class Interruption(NamedTuple):
    """The other side is away."""

    why: str
    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One moment of the service. All times are of the clock that `Health` was given.

    `partitions` is None while no source is assigned; a member of a group that owns none has joined
    all the same. `serving` and `warming` are both None if another process collects the rows.
    `observed` counts the verdicts of this run of the stream, `since` when (Unix time, if known).
    `keys` are those with the most of the model's anomalies, `by_key` counts keys with zones of
    their own. `gap_records` and `resets` count by
    partition what the source could not read, and how often its log was another one. `alarm_count`
    counts the alarms of the run, `alarms` are the latest; `refits` counts by `OUTCOMES`.
    `held` is the version that waits for an operator. `absent` says what a source waits for that has
    never been there; `warnings` are what may not be meant in the configuration, and hinder nothing.
    `config` is the path of the configuration, in force since `loaded`; `reload_refused` says why a
    newer one is not. A source without partitions is called `source`, its last records came at
    `arrived`, and `unread` is how many of its bytes are not read yet; None if that is not known.
    `restoring` is the share of the state of keys that has been read back, None while nothing has to
    be.
    `key_figures` is None if no keys are remembered.
    """

    watchdog_seconds: float
    stale_after: float | None
    shared: bool
    delivery: str
    started: float
    turned: float
    allowed: float
    config: str = ""
    loaded: float
    reload_refused: str = ""
    source: str = ""
    arrived: float
    unread: int | None = None
    partitions: Mapping[str, Partition] | None = None
    assigned: float = 0.0
    serving: Serving | None = None
    observed: Mapping[str, int] = field(default_factory=dict)
    since: int | None = None
    keys: Sequence[TopKey] = ()
    by_key: KeyObservations | None = None
    warming: Progress | None = None
    interruption: Interruption | None = None
    interruptions: int = 0
    refused: str = ""
    rewinds: int = 0
    failed_commits: int = 0
    models_refused: int = 0
    gap_records: Mapping[str, int] = field(default_factory=dict)
    resets: Mapping[str, int] = field(default_factory=dict)
    losses: Losses = NO_LOSSES
    evidence: float | None = None
    average_run_length: float | None = None
    alarm_count: int = 0
    alarms: Sequence[Mapping[str, Any]] = ()
    refitting: bool = False
    held: str | None = None
    refits: Mapping[str, int] = field(default_factory=dict)
    dead_in_a_row: int = 0
    absent: str | None = None
    warnings: Sequence[str] = ()
    restoring: float | None = None
    stopping: bool = False
    key_figures: KeyFigures | None = None

    def healthy(self, now: float) -> bool:
        """Return whether the loop has turned within its watchdog."""
        return now - self.turned <= self.allowed

    def silent(self, now: float) -> dict[str, float]:
        """Return seconds since a record last came, by topic/partition, or of the source."""
        if self.source:
            return {self.source: now - self.arrived}
        since = now - self.assigned
        return {name: p.silent + since for name, p in (self.partitions or {}).items()}

    def stale(self, now: float) -> dict[str, float]:
        """Return the part of `silent` that lasts longer than `stale_after`."""
        if self.stale_after is None:
            return {}
        limit = self.stale_after
        return {name: silent for name, silent in self.silent(now).items() if silent > limit}

    def not_ready_reasons(self, now: float) -> list[NotReadyReason]:
        """Return why the service is not ready, the most telling first; empty if it is."""
        return list(self._reasons(now))

    @property
    def instance(self) -> str:
        """Return the name of the configuration, which systemd has after the @."""
        return PurePath(self.config).stem

    @property
    def standby(self) -> bool:
        """Return whether other members of the group own all partitions."""
        return self.shared and self.partitions is not None and not self.partitions

    def word(self, now: float) -> str:
        """Return the state in one word."""
        first = next(self._reasons(now), None)
        return first.state if first else "standby" if self.standby else "ready"

    def _reasons(self, now: float) -> Iterator[NotReadyReason]:
        if self.stopping:
            yield NotReadyReason("stopping", "the service is stopping")
        if not self.healthy(now):
            yield NotReadyReason("stalled", self.pulse(now))
        if self.interruption:
            away = now - self.interruption.since
            yield NotReadyReason(
                "interrupted", f"interrupted for {away:.1f} s: {self.interruption.why}"
            )
        elif self.partitions is None:
            yield NotReadyReason("starting", "no source is assigned yet")
        yield from self._reasons_of_the_stream(now)

    def _reasons_of_the_stream(self, now: float) -> Iterator[NotReadyReason]:
        if self.refused:
            yield NotReadyReason("refused", self.refused)
        if self.absent:
            yield NotReadyReason("waiting", self.absent)
        if self.restoring is not None:
            yield NotReadyReason(
                "restoring", f"the state of keys is being read back: {self.restoring:.0%} so far"
            )
        if self.serving is None:
            yield _no_model(self.warming)
        if self.dead_in_a_row:
            yield NotReadyReason(
                "failing",
                f"the last {self.dead_in_a_row:,} records all became dead letters; "
                "see `detectd dead-letters list`",
            )
        for name, silent in self.stale(now).items():
            yield NotReadyReason(
                "stale",
                f"{name}: no record for {silent:.1f} s, source.stale_after is "
                f"{self.stale_after:g} s",
            )

    def pulse(self, now: float) -> str:
        """Return when the loop last turned, compared with its watchdog."""
        since = now - self.turned
        if self.healthy(now):
            return f"the loop ran {since:.1f} s ago"
        return f"the loop last ran {since:.1f} s ago, its watchdog allows {self.allowed:g} s"


def _no_model(warming: Progress | None) -> NotReadyReason:
    if warming is None:
        return NotReadyReason("starting", "no model is active yet")
    collected, wanted = f"{warming.collected:,}", f"{warming.wanted:,}"
    timed = f"event times span {warming.covered}" if warming.covered else ""
    if warming.failures:
        when = f"when there is more time: {timed}" if timed else f"at {wanted}"
        return NotReadyReason(
            "warming_up",
            f"no model is active yet: training has failed {warming.failures} times, the last time: "
            f"{warming.last_failure}; {collected} events are collected, the next try is {when}",
        )
    so_far = f"{timed}, {collected} events" if timed else f"{collected} of {wanted} events"
    return NotReadyReason(
        "warming_up",
        f"no model is active yet: warming up, {so_far} collected, {_rest(warming)}",
    )


def _rest(warming: Progress) -> str:
    left, seconds = warming.wanted - warming.collected, warming.seconds_left
    soon = "" if seconds is None else f", about {seconds:,.0f} s at the rate so far"
    if left > 0:
        return f"{left:,} to go{soon}"
    if warming.share < 1:
        return f"more time is needed{soon}"
    if warming.awaited_partitions:
        return f"{warming.awaited_partitions} partitions have not delivered their part yet"
    return "the model is being trained"
