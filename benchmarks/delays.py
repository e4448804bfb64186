"""`make bench-drift`: how soon a change is seen, by detectd's watch and by River's detectors.

An event is its own score, a standard normal one until it changes. Each detector's one parameter is
set so that the mean time to a false alarm is `ARL` events, by simulation on the same streams; then
all see the same changes after `BEFORE` events. Everything follows from the seeds.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from river import drift

from detectd.rejection import rejector
from detectd.rejection.drift import Alarm, EDetector

# `python -m benchmarks.delays 2000 20` takes minutes.
ARL, RUNS = map(int, sys.argv[1:3] or (10_000, 40))
QUIET, LONGEST = 40, 2 * ARL  # null streams, and events after which one gives up waiting
BEFORE, AFTER = 1000, 2000
CALIBRATION = 1000

# From the scores of a stream and a seed to the first event that alarms.
Detector = Callable[[np.ndarray, int], float]
Change = Callable[[np.random.Generator, int], np.ndarray]


def normal(shift: float, scale: float) -> Change:
    """Scores from another place, or spread otherwise."""
    return lambda rng, count: rng.normal(shift, scale, count)


def mixture(share: float) -> Change:
    """A share of the scores four standard deviations higher."""
    return lambda rng, count: rng.normal(size=count) + 4.0 * (rng.random(count) < share)


CHANGES: dict[str, Change] = {
    "location +0.3": normal(0.3, 1),
    "location +0.5": normal(0.5, 1),
    "location +1": normal(1, 1),
    "location −0.5": normal(-0.5, 1),
    "scale 1.3": normal(0, 1.3),
    "scale 1.6": normal(0, 1.6),
    "scale 0.6": normal(0, 0.6),
    "5 % at +4": mixture(0.05),
    "10 % at +4": mixture(0.1),
    "20 % at +4": mixture(0.2),
}


def watch(average_run_length: float) -> Detector:
    """detectd's, with a fresh calibration sample for each stream."""

    def first(scores: np.ndarray, seed: int) -> float:
        calibration = np.random.default_rng([seed, 1]).normal(size=CALIBRATION)
        judge = rejector(calibration, 0.05, 8.0)
        watching, found = EDetector(judge, average_run_length), judge.judge(scores)
        _, alarms = watching.advance(watching.begin(), found.below, found.rank)
        return alarms[0].event if alarms else math.inf

    return first


def peer(make: Callable[[int], Any]) -> Detector:
    """One of River's, fed with the scores themselves."""

    def first(scores: np.ndarray, seed: int) -> float:
        detector = make(seed)
        for number, score in enumerate(scores.tolist(), 1):
            detector.update(score)
            if detector.drift_detected:
                return number
        return math.inf

    return first


def adwin(log_delta: float) -> Detector:
    """ADWIN; the smaller its delta, the rarer its alarms."""
    return peer(lambda _: drift.ADWIN(delta=math.exp(-log_delta)))


def page_hinkley(threshold: float) -> Detector:
    """Page and Hinkley's test, in both directions."""
    return peer(lambda _: drift.PageHinkley(threshold=threshold))


def kswin(log_alpha: float) -> Detector:
    """KSWIN, with River's window."""
    return peer(lambda seed: drift.KSWIN(alpha=math.exp(-log_alpha), seed=seed))


def run_length(detector: Detector, seeds: range, longest: int = LONGEST) -> float:
    """The mean time to a false alarm: all events, those of streams given up included, an alarm."""
    times = [detector(quiet(seed, longest), seed) for seed in seeds]
    return sum(min(time, longest) for time in times) / max(1, sum(map(math.isfinite, times)))


def quiet(seed: int, count: int) -> np.ndarray:
    """A stream in which nothing happens."""
    return np.random.default_rng([seed, 0]).normal(size=count)


def tuned(make: Callable[[float], Detector], low: float, high: float) -> float:
    """The parameter at which the run length is `ARL`; it grows with the parameter. By halving."""
    for _ in range(10):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if run_length(make(middle), range(QUIET)) < ARL else (low, middle)
        )
    return (low + high) / 2


def tuned_kswin() -> float:
    """The same in one pass: until its first alarm, KSWIN does the same whatever its alpha."""
    lowest = [_running_lowest(quiet(seed, LONGEST), seed) for seed in range(QUIET)]

    def length(log_alpha: float) -> float:
        times = [
            next((t for t, p in path if -math.log(p) >= log_alpha), math.inf) for path in lowest
        ]
        return sum(min(t, LONGEST) for t in times) / max(1, sum(map(math.isfinite, times)))

    low, high = 1.0, 40.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if length(middle) < ARL else (low, middle)
    return (low + high) / 2


def _running_lowest(scores: np.ndarray, seed: int) -> list[tuple[int, float]]:
    detector = drift.KSWIN(alpha=1e-300, seed=seed)
    lowest = 1.0
    path: list[tuple[int, float]] = []
    for number, score in enumerate(scores.tolist(), 1):
        detector.update(score)
        if number > detector.window_size and detector.p_value < lowest:
            lowest = detector.p_value
            path.append((number, lowest))
    return path


def delays(detector: Detector, change: Change) -> list[float]:
    """The delay in each run; runs that alarm before the change are left out."""
    found = []
    for seed in range(1000, 1000 + RUNS):
        rng = np.random.default_rng([seed, 2])
        scores = np.concatenate([quiet(seed, BEFORE), change(rng, AFTER)])
        time = detector(scores, seed)
        if time > BEFORE:
            found.append(time - BEFORE)
    return found


def cell(found: list[float]) -> str:
    """The median delay and the share of changes that were missed."""
    missed, median = np.mean(np.isinf(found)), np.median(found)
    return f"{median:,.0f}, {missed:.0%}" if math.isfinite(median) else f"—, {missed:.0%}"


def main() -> None:
    """Print the table of run lengths and the table of delays, as Markdown."""
    print("| n | A | mean time to a false alarm | standard error |\n|---|---|---|---|")
    for n, average in ((200, 300), (1000, 1000), (1000, 10_000), (5000, 10_000)):
        print(f"| {n:,} | {average:,} | {' | '.join(_false_alarms(n, average))} |", flush=True)
    parameters = {
        "ADWIN": (adwin, tuned(adwin, 0, 10)),
        "KSWIN": (kswin, tuned_kswin()),
        "Page–Hinkley": (page_hinkley, tuned(page_hinkley, 5, 500)),
    }
    detectors = {
        f"detectd, A = {ARL:,}": watch(ARL),
        "detectd, A = 10⁷": watch(1e7),
    } | {name: make(value) for name, (make, value) in parameters.items()}
    print("\nparameters:", {name: round(value, 3) for name, (_, value) in parameters.items()})
    print(f"\n| change | {' | '.join(detectors)} |\n|---|{'---|' * len(detectors)}")
    again = functools.partial(run_length, seeds=range(5000, 5000 + QUIET))
    lengths = (again(each) for each in detectors.values())
    print("| none: events an alarm |", " | ".join(f"{each:,.0f}" for each in lengths), "|")
    for name, change in CHANGES.items():
        cells = (cell(delays(each, change)) for each in detectors.values())
        print(f"| {name} |", " | ".join(cells), "|", flush=True)


def _false_alarms(n: int, average: float, runs: int = 300) -> tuple[str, str]:
    times = []
    for seed in range(runs):
        rng = np.random.default_rng([seed, n])
        judge = rejector(rng.normal(size=n), 0.05, 8.0)
        watching = EDetector(judge, average)
        alarms: list[Alarm] = []
        now = watching.begin()
        while not alarms:
            found = judge.judge(rng.normal(size=5000))
            now, alarms = watching.advance(now, found.below, found.rank)
        times.append(alarms[0].event)
    return f"{np.mean(times):,.0f}", f"{np.std(times) / math.sqrt(runs):,.0f}"


if __name__ == "__main__":
    main()
