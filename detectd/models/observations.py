"""Observations on the promise, in a few kilobytes however long the stream is, beside what
`key_observations` adds for keys with zones of their own.

counts      verdicts of each kind: exact, as they ride in every commit
histogram   how the scores are distributed, on a grid that the calibration scores fix
history     how many were abstained from and how many were anomalies, period after period

The latter two are for display. They are written periodically; a crash loses the latest of them, and
`resume` closes the gap as far as the counts allow.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np

from detectd.models.key_observations import added_up
from detectd.models.recent_anomalies import together
from detectd.models.score_grid import BINS, grid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

VERDICTS = ("normal", "anomaly", "abstain")

# The history is halved when it has grown longer than this.
PERIODS = 240

Count = Annotated[int, msgspec.Meta(ge=0)]


class Period(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Consecutive events; `until` is when the last was scored, Unix time."""

    events: Count
    abstained: Count
    anomalies: Count
    until: Count | None = None


class _Kept(msgspec.Struct):
    """The schema of `as_dict`, by which a file is validated."""

    normal: Count = 0
    anomaly: Count = 0
    abstain: Count = 0
    grid: tuple[float, float] | None = None
    histogram: list[Count] = []
    span: Count = 1
    history: list[Period] = []


class Observations:
    """Counts, histogram and history of the stream under one model."""

    def __init__(self, calibration: Floats) -> None:
        self.grid = grid(calibration)
        self._begin()

    def _begin(self) -> None:
        self.counts: Counter[str] = Counter()
        self.histogram = np.zeros(BINS + 2, dtype=np.int64)
        self.history: list[Period] = []
        self._span = 1

    def add(self, counts: Mapping[str, int], scores: Floats, when: float) -> None:
        """Count a batch that was committed at `when`, Unix time, with these verdicts and scores
        (k,).

        Other keys of `counts` than the verdicts are ignored. Costs O(k log BINS).
        """
        self.histogram += self.grid.count(scores)
        self._count({verdict: counts.get(verdict, 0) for verdict in VERDICTS}, int(when))

    def as_dict(self) -> dict[str, Any]:
        """Return everything, for JSON; at most about 9 kB."""
        kept = _Kept(
            **{verdict: self.counts[verdict] for verdict in VERDICTS},
            grid=self._ends(),
            histogram=self.histogram.tolist(),
            span=self._span,
            history=self.history,
        )
        found: dict[str, Any] = msgspec.to_builtins(kept)
        return found

    def resume(self, past: Mapping[str, Any], counts: Mapping[str, int] | None = None) -> None:
        """Resume from the result of `as_dict`, and from the `counts` of a commit, if there is one.

        `past` may hold counts alone, or anything: invalid parts are ignored. If it lags behind
        `counts`, the difference joins the history as one period without scores; if it is ahead of
        them, it belongs to another stream and is discarded.
        """
        self._begin()
        kept = _believed(past)
        then = {verdict: getattr(kept, verdict) for verdict in VERDICTS}
        now = then if counts is None else {verdict: counts.get(verdict, 0) for verdict in VERDICTS}
        ahead = any(then[verdict] > now[verdict] for verdict in VERDICTS)
        if not ahead and _adds_up(kept):
            self._span, self.history = kept.span, kept.history
            self.counts.update(then)
        if not ahead and kept.grid == self._ends() and len(kept.histogram) == BINS + 2:
            self.histogram += np.array(kept.histogram, dtype=np.int64)
        self._count({verdict: now[verdict] - self.counts[verdict] for verdict in VERDICTS}, None)

    def _ends(self) -> tuple[float, float]:
        return self.grid.low, self.grid.high

    def _count(self, fresh: Mapping[str, int], when: int | None) -> None:
        events = sum(fresh.values())
        if not events:
            return
        self.counts.update(fresh)
        latest = Period(events, fresh["abstain"], fresh["anomaly"], when)
        if self.history and self.history[-1].events < self._span:
            latest = _joined(self.history.pop(), latest)
        self.history.append(latest)
        if len(self.history) > PERIODS:
            self._span = -(-2 * self.counts.total() // PERIODS)
            self.history = _coarser(self.history, self._span)


def combined(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the observations of several processes on one model, each from `as_dict`, as if from
    one.

    Counts and histograms are added, the histories merged by time. An alarm is placed in the merged
    history; the latest anomalies are those of all by time. Only the candidate of the first part
    with one is included.
    """
    kept = [_believed(part) for part in parts]
    sound = [each for each in kept if _adds_up(each)]
    history = sorted((p for each in sound for p in each.history), key=lambda p: p.until or 0)
    span = max((each.span for each in sound), default=1)
    while len(history) > PERIODS:
        span = max(2 * span, -(-2 * sum(p.events for p in history) // PERIODS))
        history = _coarser(history, span)
    grid = next((each.grid for each in kept if each.grid), None)
    bars = [each.histogram for each in kept if each.grid == grid and each.histogram]
    totals = {verdict: sum(getattr(each, verdict) for each in kept) for verdict in VERDICTS}
    counted = _Kept(
        **totals,
        grid=grid,
        histogram=[sum(column) for column in zip(*bars, strict=False)],
        span=span,
        history=history,
    )
    found: dict[str, Any] = msgspec.to_builtins(counted)
    found["since"] = _earliest(parts)
    found["alarms"] = _alarms_of_all(parts, history)
    found["anomalies"] = together([part.get("anomalies") for part in parts])
    if by_key := added_up(parts):
        found["by_key"] = by_key
    if shadow := _shadows_of_all(parts):
        found["shadow"] = shadow
    return found


def _alarms_of_all(
    parts: Sequence[Mapping[str, Any]], history: Sequence[Period]
) -> list[dict[str, Any]]:
    told = (part.get("alarms") for part in parts)
    alarms = [a for each in told if isinstance(each, list) for a in each if isinstance(a, dict)]
    placed = []
    for alarm in sorted(alarms, key=_when):
        before = sum(p.events for p in history if (p.until or 0) <= _when(alarm))
        placed.append(alarm | {"event": before})
    return placed


def _earliest(parts: Sequence[Mapping[str, Any]]) -> int | None:
    """Return the earliest start of the counts; None if one is unknown."""
    since = [part.get("since") for part in parts]
    known = [each for each in since if isinstance(each, int)]
    return min(known) if known and len(known) == len(since) else None


def _when(alarm: Mapping[str, Any]) -> float:
    when = alarm.get("time")
    return when if isinstance(when, int | float) else 0.0


def _shadows_of_all(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    shadows = [part["shadow"] for part in parts if isinstance(part.get("shadow"), dict)]
    if not shadows:
        return None
    candidate = shadows[0].get("candidate")
    total: dict[str, Counter[str]] = {}
    for shadow in shadows:
        if shadow.get("candidate") == candidate:
            for old, row in shadow.get("agreement", {}).items():
                total.setdefault(old, Counter()).update(row)
    return {"candidate": candidate, "agreement": {old: dict(row) for old, row in total.items()}}


def _believed(past: Mapping[str, Any]) -> _Kept:
    try:
        return msgspec.convert(dict(past), _Kept)
    except msgspec.ValidationError:
        alone = {verdict: past.get(verdict, 0) for verdict in VERDICTS}
    try:
        return msgspec.convert(alone, _Kept)
    except msgspec.ValidationError:
        return _Kept()


def _adds_up(kept: _Kept) -> bool:
    return (
        kept.normal + kept.anomaly + kept.abstain == sum(p.events for p in kept.history)
        and kept.anomaly == sum(p.anomalies for p in kept.history)
        and kept.abstain == sum(p.abstained for p in kept.history)
    )


def _joined(earlier: Period, later: Period) -> Period:
    return Period(
        earlier.events + later.events,
        earlier.abstained + later.abstained,
        earlier.anomalies + later.anomalies,
        earlier.until if later.until is None else later.until,
    )


def _coarser(history: Sequence[Period], span: int) -> list[Period]:
    """Return neighbours merged until each has at least `span` events, except the last."""
    coarse: list[Period] = []
    for period in history:
        if coarse and coarse[-1].events < span:
            coarse[-1] = _joined(coarse[-1], period)
        else:
            coarse.append(period)
    return coarse
