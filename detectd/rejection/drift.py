"""Monitor the promise: evidence that the stream's ranks no longer follow their promised
distribution.

While stream and calibration scores are exchangeable, the ranks of the stream follow a Pólya urn:
with n calibration scores and t events so far, the next event falls into a bin of w of the n+1 gaps,
which holds k events, with probability (w+k) / (n+1+t). The alternative gives recent events more
weight: it is half the urn and half frequencies that forget.

The product of the likelihood ratios L, restarted at every event, is an e-detector (J. Shin,
A. Ramdas and A. Rinaldo, "E-detectors: a nonparametric framework for sequential change detection",
2023): R ← (R + 1)·L. Its mean after t events is t, so a false alarm at R ≥ A takes A events or more
on average, whatever the distribution of scores. The same holds for the mean of two of them: one
forgets fast and finds large changes soon, the other forgets slowly and finds small ones.

After an alarm everything restarts, including the urn: the time to the next alarm has the same
distribution, and a change that persists is reported repeatedly. The average is also over
calibration samples, so a particular model may alarm more often.
"""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from detectd.jit import compiled
from detectd.rejection.tie_breaking import lot

if TYPE_CHECKING:
    import numpy.typing as npt

    from detectd.rejection.zone import Rejector

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

# Bins of about equal width, beside those that the ends of the zone cut.
BINS = 20

# The forgetting rate per event of each frequency estimate: memories of about 100 and 500 events.
FORGETTING = np.array([0.01, 0.002])

# The ratio of observed to expected events that is reported.
CLEARLY = 1.4
# If one end grows this many times more than the other, only that end is named.
LOPSIDED = 3.0

# Beyond this, all weights are divided by that of the latest event.
LARGE = 1e100


@dataclass(frozen=True, slots=True)
class Alarm:
    """The evidence reached the average run length at event `event` since the model began to serve.

    `recent` and `expected` are the shares of normal, abstain and anomaly ranks among recent events
    and under the promise; `moved` says in words what differs. `number` counts from 1.
    """

    number: int
    event: int
    after: int
    moved: str
    recent: tuple[float, float, float]
    expected: tuple[float, float, float]

    def as_dict(self) -> dict[str, Any]:
        """Return the alarm for JSON."""
        shares = {name: dict(zip(SIDES, getattr(self, name), strict=True)) for name in SHARES}
        told = {"number": self.number, "event": self.event, "after": self.after}
        return told | {"moved": self.moved} | shares


SIDES = ("normal", "abstain", "anomaly")
SHARES = ("recent", "expected")


@dataclass(frozen=True, slots=True, eq=False)
class DriftState:
    """The state of the monitor; no array is changed in place.

    `events` were watched in all, `since` after the last alarm; `counts` (bins,) are the latter.
    `R` (2,) are the two e-detectors, `recent` (2, bins) their frequencies times `weight` (2,).
    `widths` (bins,) are the gaps in each bin.
    """

    events: int
    since: int
    alarms: int
    widths: Ints
    counts: Ints
    R: Floats
    weight: Floats
    recent: Floats

    @property
    def evidence(self) -> float:
        """Return the evidence that is compared with the average run length."""
        return float(self.R.mean())

    def as_dict(self) -> dict[str, Any]:
        """Return the state for JSON, in less than a kilobyte: it is stored in the metadata of
        Kafka's offsets."""
        numbers = {"events": self.events, "since": self.since, "alarms": self.alarms}
        packed = {name: _packed(getattr(self, name), kind) for name, kind in ARRAYS.items()}
        return numbers | packed | {"widths": self.widths.tolist()}


# Little-endian, so that another machine can resume.
ARRAYS = {"counts": "<i8", "R": "<f8", "weight": "<f8", "recent": "<f8"}


def _packed(array: npt.NDArray[Any], kind: str) -> str:
    return base64.b64encode(array.astype(kind).tobytes()).decode()


def _unpacked(text: str, kind: str) -> npt.NDArray[Any]:
    stored = np.frombuffer(base64.b64decode(text), dtype=kind)
    return stored.astype(stored.dtype.newbyteorder("="))


class EDetector:
    """Turn ranks into evidence; `average_run_length` is A, the mean number of events between false
    alarms.

    A score that equals calibration scores takes a place among them by lot, the same lot in every
    replay; without that, ties would pile up in one bin and look like drift.
    """

    def __init__(self, rejector: Rejector, average_run_length: float) -> None:
        zone, n = rejector.zone, rejector.zone.n
        self.average_run_length = average_run_length
        cuts = {round(i * (n + 1) / BINS) for i in range(BINS + 1)}
        cuts |= {zone.rank_low, zone.rank_high + 1}
        edges = np.array(sorted(cuts), dtype=np.int64)
        self._widths = np.diff(edges)
        self._expected = self._widths / (n + 1)
        self._bin = np.repeat(np.arange(len(self._widths), dtype=np.int16), self._widths)
        self._lots = _lots(rejector.scores)
        # 0 for bins of normal ranks, 1 for those of the zone, 2 for anomaly ranks.
        self._side = (edges[:-1] >= zone.rank_low) + 1 * (edges[:-1] > zone.rank_high)

    def begin(self) -> DriftState:
        """Return the initial state of a monitor."""
        return self._afresh(0, 0)

    def resume(self, past: dict[str, Any]) -> DriftState:
        """Return the state that `DriftState.as_dict` gave; the initial state if its bins
        are different."""
        if past.get("widths") != self._widths.tolist():
            return self.begin()
        arrays = {name: _unpacked(past[name], kind) for name, kind in ARRAYS.items()}
        arrays["recent"] = arrays["recent"].reshape(len(FORGETTING), -1)
        return DriftState(past["events"], past["since"], past["alarms"], self._widths, **arrays)

    def advance(self, was: DriftState, below: Ints, rank: Ints) -> tuple[DriftState, list[Alarm]]:
        """Watch k events whose scores have `below` (k,) calibration scores under them and `rank`
        (k,) not above them. After an alarm the watch begins again."""
        alarms: list[Alarm] = []
        done, now = 0, was
        while done < len(rank):
            state: dict[str, Any] = {name: getattr(now, name).copy() for name in ARRAYS}
            taken = _advance(
                below[done:],
                rank[done:],
                self._bin,
                self._widths,
                self._lots,
                now.events,
                now.since,
                self.average_run_length,
                FORGETTING,
                **state,
            )
            done += taken
            counted = now.events + taken, now.since + taken, now.alarms
            now = DriftState(*counted, self._widths, **state)
            if now.evidence >= self.average_run_length:
                alarms.append(self._alarm(now))
                now = self._afresh(now.events, now.alarms + 1)
        return now, alarms

    def _afresh(self, events: int, alarms: int) -> DriftState:
        return DriftState(
            events,
            0,
            alarms,
            self._widths,
            counts=np.zeros_like(self._widths),
            R=np.zeros(len(FORGETTING)),
            weight=np.ones(len(FORGETTING)),
            recent=np.tile(self._expected, (len(FORGETTING), 1)),
        )

    def _alarm(self, now: DriftState) -> Alarm:
        telling = int(now.R.argmax())
        recent = now.recent[telling] / now.weight[telling]
        return Alarm(
            number=now.alarms + 1,
            event=now.events,
            after=now.since,
            moved=_moved(recent, self._expected, self._side),
            recent=self._shares(recent),
            expected=self._shares(self._expected),
        )

    def _shares(self, masses: Floats) -> tuple[float, float, float]:
        normal, abstain, anomaly = (float(masses[self._side == side].sum()) for side in range(3))
        return normal, abstain, anomaly


def _moved(recent: Floats, expected: Floats, side: Ints) -> str:
    """Return what differs, in words: where the recent events are that should not be so many
    there."""
    low, high = recent[0] / expected[0], recent[-1] / expected[-1]
    if min(low, high) > CLEARLY and max(low, high) < LOPSIDED * min(low, high):
        return "both ends: scores spread wider than in calibration"
    more = [
        recent[side == part].sum() / max(expected[side == part].sum(), 1e-300) for part in (1, 2)
    ]
    if max(more) > CLEARLY:
        return "more abstaining" if more[0] > more[1] else "more anomalies"
    middle = np.cumsum(expected).searchsorted(0.5) + 1
    higher = recent[:middle].sum() < expected[:middle].sum()
    return "higher scores than in calibration" if higher else "lower scores than in calibration"


def _lots(scores: Floats) -> Floats:
    """Return a lot for each of the ascending scores, ascending among equal ones.

    Each model draws its own: what holds on average over lots is then no matter of one bad draw.
    """
    lots = np.random.default_rng(zlib.crc32(scores.tobytes())).random(len(scores))
    return lots[np.lexsort((lots, scores))]


@compiled
def _advance(
    below: Ints,
    rank: Ints,
    bins: npt.NDArray[np.int16],
    widths: Ints,
    lots: Floats,
    events: int,
    since: int,
    limit: float,
    forgetting: Floats,
    counts: Ints,
    R: Floats,
    weight: Floats,
    recent: Floats,
) -> int:
    """Return how many events were taken: all, or those up to the one that brought the evidence to
    `limit`.

    The last four are changed in place.
    """
    gaps = bins.shape[0]
    detectors = forgetting.shape[0]
    taken = 0
    while taken < rank.shape[0]:
        place = rank[taken]
        if below[taken] < place:
            drawn = lot(events + taken)
            place = below[taken] + np.searchsorted(lots[below[taken] : place], drawn)
        here = bins[place]
        urn = (widths[here] + counts[here]) / (gaps + since + taken)
        counts[here] += 1
        taken += 1
        evidence = 0.0
        for i in range(detectors):
            R[i] = (R[i] + 1.0) * (0.5 + 0.5 * (recent[i, here] / weight[i]) / urn)
            evidence += R[i]
            weight[i] /= 1.0 - forgetting[i]
            recent[i, here] += weight[i] * forgetting[i]
            if weight[i] > LARGE:
                recent[i] /= weight[i]
                weight[i] = 1.0
        if evidence / detectors >= limit:
            break
    return taken
