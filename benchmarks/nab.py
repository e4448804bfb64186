"""The scoring of the Numenta Anomaly Benchmark, from its published definition. Pure but for `read`.

A file is a series with labelled windows. Its first 15 %, 750 points at most, are probation: no
alarm counts there. In a window only the best alarm counts, and it earns the more the earlier it
comes: with y the distance from the window's end in its widths, from -1 (its first point) to 0,

    s(y) = 2 / (1 + e^5y) - 1,    reward s(y) / s(-1)

A window without an alarm costs the profile's weight of a miss. An alarm outside costs its weight of
a false alarm times s(y), which is negative there: y is the distance from the last window before, in
that one's widths; it costs the full weight beyond three of them, or if no window came before. The
sum over all files is scaled: 0 is a detector that never alarms, 100 one that is first everywhere.
"""

from __future__ import annotations

import csv
import gzip
import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]
    Flags = NDArray[np.bool_]

PROBATION, LONGEST_PROBATION = 0.15, 750
OUTSIDE = -1
FAR = 3.0  # in widths of the window before: a false alarm costs all from there on


class Profile(NamedTuple):
    """What a false alarm and a missed window cost, when a window found at once earns 1."""

    false_alarm: float
    miss: float


@dataclass(frozen=True)
class Series:
    """One file, and what an alarm at each of its points would be worth."""

    name: str
    times: NDArray[np.int64]  # epoch milliseconds
    values: Numbers
    windows: int
    window: NDArray[np.int64]  # which one each point is in, or OUTSIDE
    worth: Numbers  # in a window its reward, outside the share of a false alarm's cost, negative

    @property
    def probation(self) -> int:
        """How many points come before any alarm counts."""
        return min(math.floor(PROBATION * len(self.values)), LONGEST_PROBATION)


def read(directory: Path) -> list[Series]:
    """Return the labelled files that are there."""
    labels = json.loads((directory / "combined_windows.json").read_text(encoding="utf-8"))
    there = [name for name in sorted(labels) if (directory / name).exists()]
    return [_series(directory, name, labels[name]) for name in there]


def profiles(directory: Path) -> dict[str, Profile]:
    """Return the benchmark's profiles by name."""
    found = json.loads((directory / "profiles.json").read_text(encoding="utf-8"))
    weights = {name: profile["CostMatrix"] for name, profile in found.items()}
    return {name: Profile(of["fpWeight"], of["fnWeight"]) for name, of in weights.items()}


def published(directory: Path, detector: str, series: Sequence[Series]) -> list[Numbers]:
    """Return a detector's published scores, a point each."""
    return [_scores(directory / "results" / detector / f"{one.name}.gz") for one in series]


def _scores(path: Path) -> Numbers:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return np.array([float(row["anomaly_score"]) for row in csv.DictReader(lines)])


def _series(directory: Path, name: str, windows: list[list[str]]) -> Series:
    with (directory / name).open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    times = [_milliseconds(row["timestamp"]) for row in rows]
    # A time that comes twice stands for its first point.
    place = {time: len(times) - 1 - i for i, time in enumerate(reversed(times))}
    spans = [(place[_milliseconds(a)], place[_milliseconds(b)]) for a, b in windows]
    values = np.array([float(row["value"]) for row in rows])
    return labelled(name, np.array(times), values, spans)


def _milliseconds(text: str) -> int:
    return round(1000 * datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def labelled(
    name: str, times: NDArray[np.int64], values: Numbers, spans: Sequence[tuple[int, int]]
) -> Series:
    """Return a series whose windows are these first and last points, in order."""
    window, worth = np.full(len(values), OUTSIDE), np.full(len(values), -1.0)
    for number, (first, last) in enumerate(spans):
        width = last - first + 1
        inside = np.arange(first, last + 1)
        window[inside] = number
        worth[inside] = _s((inside - last - 1) / width) / _s(np.array(-1.0))
        after = np.arange(last + 1, len(values))
        worth[after] = _s((after - last) / (width - 1.0))
    return Series(name, times, values, len(spans), window, worth)


def _s(y: Numbers) -> Numbers:
    found = 2.0 / (1.0 + np.exp(5.0 * np.minimum(y, FAR))) - 1.0
    return np.where(y > FAR, -1.0, found)


def episodes(raised: Flags, quiet: int) -> Flags:
    """Keep the first alarm of each episode; it ends after so many points without one."""
    at = np.flatnonzero(raised)
    first = np.diff(at, prepend=-quiet - 2) > quiet
    kept = np.zeros(len(raised), dtype=np.bool_)
    kept[at[first]] = True
    return kept


class Counted(NamedTuple):
    """What the alarms of all series come to; one in the probation may open an episode only."""

    alarms: int
    false_alarms: int
    found: int
    windows: int
    reward: float  # of the windows found
    cost: float  # of the false alarms, negative

    def score(self, profile: Profile) -> float:
        """Return the score, 0 for silence and 100 for a perfect detector."""
        missed = self.windows - self.found
        raw = self.reward - profile.miss * missed + profile.false_alarm * self.cost
        return 100.0 * (raw / self.windows + profile.miss) / (1.0 + profile.miss)


def count(series: Sequence[Series], alarms: Sequence[Flags]) -> Counted:
    """Count the alarms of each series against its windows."""
    total = np.zeros(6)
    for one, raised in zip(series, alarms, strict=True):
        at = one.probation + np.flatnonzero(raised[one.probation :])
        window, worth = one.window[at], one.worth[at]
        # The first alarm in a window is its best: the worth falls from point to point.
        _, best = np.unique(window[window != OUTSIDE], return_index=True)
        rewards, costs = worth[window != OUTSIDE][best], worth[window == OUTSIDE]
        total += len(at), len(costs), len(best), one.windows, rewards.sum(), costs.sum()
    return Counted(*map(int, total[:4]), *map(float, total[4:]))


def best(series: Sequence[Series], scores: Sequence[Numbers], profile: Profile) -> float:
    """Return the score at the best threshold for the corpus, each point above it an alarm."""
    offsets = np.cumsum([0] + [one.windows for one in series])[:-1]
    parts = [
        (score, np.where(one.window == OUTSIDE, OUTSIDE, one.window + offset), one.worth)
        for one, score, offset in zip(series, scores, offsets, strict=True)
    ]
    score, window, worth = (
        np.concatenate([part[i][one.probation :] for one, part in zip(series, parts, strict=True)])
        for i in range(3)
    )
    order = np.argsort(-score, kind="stable")
    score, window, worth = score[order], window[order], worth[order]
    gains = np.where(window == OUTSIDE, profile.false_alarm * worth, 0.0)
    for number in np.unique(window[window != OUTSIDE]):
        at = np.flatnonzero(window == number)
        gains[at] = np.diff(np.maximum.accumulate(worth[at]), prepend=-profile.miss)
    windows = sum(one.windows for one in series)
    raw = np.concatenate([[0.0], np.cumsum(gains)])
    # A threshold takes all points of one score, or none of them.
    cut = np.concatenate([[True], score[1:] != score[:-1], [True]])
    return float(100.0 * raw[cut].max() / windows / (1.0 + profile.miss))


def best_with_episodes(
    series: Sequence[Series], scores: Sequence[Numbers], profile: Profile, quiet: int
) -> float:
    """Return the score at the best threshold of many, only the first alarm of each episode."""
    pool = np.concatenate([s[one.probation :] for one, s in zip(series, scores, strict=True)])
    shares = 1.0 - np.logspace(-5.0, -0.7, 160)
    thresholds = np.unique(np.quantile(pool, shares, method="higher"))
    return max(
        count(series, [episodes(s >= threshold, quiet) for s in scores]).score(profile)
        for threshold in thresholds
    )
