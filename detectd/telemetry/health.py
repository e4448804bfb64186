"""What the service is doing: told by the loop, read by whoever asks.

Each call replaces one immutable `State`. A reader sees one moment and never waits for the loop, nor
the loop for a reader. Time is the monotonic clock's, so that a clock set back or forth alarms
nobody.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

from detectd.sources import Losses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from detectd.models.serving import Serving
    from detectd.pipeline.top_keys import TopKey
    from detectd.sources import Gap, Partition
    from detectd.telemetry.warmup_progress import Progress


# How a refit ends: its model answers, or waits for an operator, or was not good enough, or there
# is none.
OUTCOMES = ("accepted", "held", "refused", "failed")

NO_LOSSES = Losses()

# The words for what may hinder the service, the most telling first; see `State._hindrances`.
HINDRANCES = (
    "stopping",
    "stalled",
    "interrupted",
    "starting",
    "refused",
    "waiting",
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
    all the same. `serving` and `warming` are both None where another process collects the rows.
    `observed` counts the verdicts of this run of the stream, `since` when (Unix time, if known).
    `keys` are those with the most of the model's anomalies. `gap_records` and `resets` count by
    partition what the source could not read, and how often its log was another one. `alarm_count`
    counts the alarms of the run, `alarms` tells of the latest; `refits` counts by `OUTCOMES`.
    `held` is the version that waits for an operator.
    `absent` says what a source waits for that has never been there; `warnings` are what may not be
    meant in the configuration, and hinder nothing. `config` is the path of the configuration, in
    force since `loaded`; `reload_refused` says why a newer one is not. A source without partitions
    is called `source`, its last records came at `arrived`, and `unread` is how many of its bytes
    are not read yet; None if that is not known.
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
    stopping: bool = False

    def healthy(self, now: float) -> bool:
        """Whether the loop has turned within its watchdog."""
        return now - self.turned <= self.allowed

    def silent(self, now: float) -> dict[str, float]:
        """Seconds since a record last came, by topic/partition, or of the source."""
        if self.source:
            return {self.source: now - self.arrived}
        since = now - self.assigned
        return {name: p.silent + since for name, p in (self.partitions or {}).items()}

    def stale(self, now: float) -> dict[str, float]:
        """The part of `silent` that lasts longer than `stale_after`."""
        if self.stale_after is None:
            return {}
        limit = self.stale_after
        return {name: silent for name, silent in self.silent(now).items() if silent > limit}

    def not_ready_reasons(self, now: float) -> list[NotReadyReason]:
        """Why the service is not ready, the most telling first; empty where it is."""
        return list(self._hindrances(now))

    @property
    def instance(self) -> str:
        """The name of the configuration, which systemd has after the @."""
        return PurePath(self.config).stem

    @property
    def standby(self) -> bool:
        """Whether other members of the group own all partitions."""
        return self.shared and self.partitions is not None and not self.partitions

    def word(self, now: float) -> str:
        """The state in one word."""
        first = next(self._hindrances(now), None)
        return first.state if first else "standby" if self.standby else "ready"

    def _hindrances(self, now: float) -> Iterator[NotReadyReason]:
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
        if self.refused:
            yield NotReadyReason("refused", self.refused)
        if self.absent:
            yield NotReadyReason("waiting", self.absent)
        if self.serving is None:
            yield _no_model(self.warming)
        if self.dead_in_a_row:
            yield NotReadyReason(
                "failing",
                f"the last {self.dead_in_a_row:,} records all became dead letters; "
                "`detectd dead-letters list` tells why",
            )
        for name, silent in self.stale(now).items():
            yield NotReadyReason(
                "stale",
                f"{name}: no record for {silent:.1f} s, source.stale_after is "
                f"{self.stale_after:g} s",
            )

    def pulse(self, now: float) -> str:
        """When the loop last turned, held against its watchdog."""
        since = now - self.turned
        if self.healthy(now):
            return f"the loop turned {since:.1f} s ago"
        return f"the loop last turned {since:.1f} s ago, its watchdog allows {self.allowed:g} s"


def _no_model(warming: Progress | None) -> NotReadyReason:
    if warming is None:
        return NotReadyReason("starting", "no model answers yet")
    collected, wanted = f"{warming.collected:,}", f"{warming.wanted:,}"
    timed = f"event times span {warming.covered}" if warming.covered else ""
    if warming.failures:
        when = f"when there is more time: {timed}" if timed else f"at {wanted}"
        return NotReadyReason(
            "warming_up",
            f"no model answers yet: training has failed {warming.failures} times, the last time: "
            f"{warming.last_failure}; {collected} events are collected, the next try is {when}",
        )
    so_far = f"{timed}, {collected} events" if timed else f"{collected} of {wanted} events"
    return NotReadyReason(
        "warming_up",
        f"no model answers yet: warming up, {so_far} are collected, {_rest(warming)}",
    )


def _rest(warming: Progress) -> str:
    left, seconds = warming.wanted - warming.collected, warming.seconds_left
    soon = "" if seconds is None else f", about {seconds:,.0f} s at the rate so far"
    if left > 0:
        return f"{left:,} are left{soon}"
    if warming.share < 1:
        return f"more time is wanted{soon}"
    if warming.awaited_partitions:
        return f"{warming.awaited_partitions} partitions have not delivered their part yet"
    return "the model is being trained"


class Health:
    """Where the loop tells what it does. Every method may be called from any thread.

    The loop is healthy while it turns at least once in `watchdog_seconds`; making a `Health` counts
    as the first turn. `shared` says that the source is a group's, whose members own partitions or
    none; `delivery` is the guarantee of source and sink, for people. `config` is the path of the
    configuration, `source` what a source without partitions is called.
    """

    def __init__(
        self,
        watchdog_seconds: float,
        *,
        stale_after: float | None = None,
        shared: bool = False,
        delivery: str = "",
        config: str = "",
        source: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.clock = clock
        self._lock = threading.Lock()
        now = clock()
        self.state = State(
            watchdog_seconds=watchdog_seconds,
            stale_after=stale_after,
            shared=shared,
            delivery=delivery,
            started=now,
            turned=now,
            allowed=watchdog_seconds,
            config=config,
            loaded=now,
            source=source,
            arrived=now,
        )

    def turned(self, within: float | None = None) -> None:
        """The loop is alive. The next turn may take `within` seconds where that is the longer."""
        allowed = max(self.state.watchdog_seconds, within or 0.0)
        self._change(turned=self.clock(), allowed=allowed)

    def opened(self, *, settled: bool = True) -> None:
        """Source and sink are open; a shared source is assigned later.

        Without `settled` a commit failed before, and the interruption lasts until one succeeds.
        """
        self._change(partitions=None if self.state.shared else {})
        if settled:
            self.settled()

    def settled(self) -> None:
        """The interruption is over."""
        self._change(interruption=None)

    def refused(self, why: str) -> None:
        """Outputs are refused, and others are tried in their place, until `committed`."""
        self._change(refused=why)

    def committed(self) -> None:
        """Outputs were committed."""
        if self.state.refused or self.state.interruption:
            self._change(refused="", interruption=None)

    def assigned(self, partitions: Mapping[str, Partition] | None) -> None:
        """What is ours now, as the source tells it; None while we are in no group."""
        ours = None if partitions is None else dict(partitions)
        self._change(partitions=ours, assigned=self.clock())

    def answering(
        self,
        serving: Serving,
        observed: Mapping[str, int],
        keys: Sequence[TopKey] = (),
        since: int | None = None,
    ) -> None:
        """A model answers, these are its verdicts, the keys with the most anomalies, since when."""
        self._change(serving=serving, observed=dict(observed), keys=keys, since=since, warming=None)

    def warming_up(self, progress: Progress | None) -> None:
        """No model answers; its training rows are being collected, None where elsewhere."""
        self._change(serving=None, observed={}, keys=(), warming=progress)

    def interrupted(self, why: str) -> None:
        """The other side is away, until `opened`. Told again and again, it is one interruption."""
        now = self.clock()
        with self._lock:
            before = self.state.interruption
            self.state = replace(
                self.state,
                interruption=Interruption(why, before.since if before else now),
                interruptions=self.state.interruptions + (before is None),
                partitions=None,
            )

    def rewound(self) -> None:
        """Partitions went to another member; what is left is read again."""
        with self._lock:
            self.state = replace(self.state, rewinds=self.state.rewinds + 1)

    def commit_failed(self) -> None:
        """Outputs could not be committed; they are still to be."""
        with self._lock:
            self.state = replace(self.state, failed_commits=self.state.failed_commits + 1)

    def models_refused(self, records: int) -> None:
        """So many records of the models topic were refused so far."""
        if records != self.state.models_refused:
            self._change(models_refused=records)

    def reloaded(self) -> None:
        """A new configuration is in force."""
        self._change(loaded=self.clock(), reload_refused="")

    def reload_refused(self, why: str) -> None:
        """A new configuration was refused; the one before stays in force."""
        self._change(reload_refused=why)

    def arrived(self) -> None:
        """Records came."""
        self._change(arrived=self.clock())

    def unread(self, size: int | None) -> None:
        """How many bytes of the source are not read yet; None if that is not known."""
        if size != self.state.unread:
            self._change(unread=size)

    def passed_over(self, gaps: Sequence[Gap]) -> None:
        """Records of the source are gone unread, or a partition of it has begun again."""
        with self._lock:
            lost, resets = Counter(self.state.gap_records), Counter(self.state.resets)
            for gap in gaps:
                lost[gap.partition] += gap.records
                resets[gap.partition] += gap.reset
            self.state = replace(self.state, gap_records=lost, resets=resets)

    def lost(self, since: Losses) -> None:
        """What the source lost since this was last called."""
        with self._lock:
            total = map(sum, zip(self.state.losses, since, strict=True))
            self.state = replace(self.state, losses=Losses(*total))

    def watched(
        self,
        evidence: float,
        alarms: Sequence[Mapping[str, Any]],
        *,
        alarm_count: int | None = None,
        average_run_length: float | None = None,
    ) -> None:
        """The evidence against the promise, and what was raised because of it."""
        self._change(
            evidence=evidence,
            alarms=tuple(alarms),
            alarm_count=len(alarms) if alarm_count is None else alarm_count,
            average_run_length=average_run_length,
        )

    def refitting(self, *, running: bool = True) -> None:
        """Note whether a model is being fitted to replace the one that answers."""
        self._change(refitting=running)

    def refitted(self, outcome: str) -> None:
        """That has ended, in one of `OUTCOMES`."""
        with self._lock:
            refits = {**self.state.refits, outcome: self.state.refits.get(outcome, 0) + 1}
            self.state = replace(self.state, refits=refits, refitting=False)

    def holding(self, version: str | None) -> None:
        """Which model waits for an operator, if any."""
        if version != self.state.held:
            self._change(held=version)

    def dying(self, records: int) -> None:
        """So many records, a stretch of them, became dead letters and nothing else; 0 for none."""
        if records != self.state.dead_in_a_row:
            self._change(dead_in_a_row=records)

    def doubts(self, absent: str | None, warnings: Sequence[str]) -> None:
        """What the source waits for, and what may not be meant in the configuration."""
        if (absent, tuple(warnings)) != (self.state.absent, self.state.warnings):
            self._change(absent=absent, warnings=tuple(warnings))

    def stopping(self) -> None:
        """The service ends after this batch."""
        self._change(stopping=True)

    def _change(self, **changes: Any) -> None:
        with self._lock:
            self.state = replace(self.state, **changes)
