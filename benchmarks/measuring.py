"""What every benchmark is made of: two things run in turns, and a row that holds the outcome."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from itertools import cycle
from statistics import median
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

import numpy as np

from detectd.detectors import build
from detectd.detectors.kernels import cores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Rows = NDArray[np.float64]

ROUNDS = 5
SAMPLE_SECONDS = 0.02
FEATURES = 8
TRAINING = 2_000
BATCH = 512
POOL = 40 * BATCH


class Row(TypedDict):
    """A line of the table.

    `ratio` is how many times faster ours is, unless `unit` says that it is something else. It is
    held against `target`: at least that, or at most where `at_most`. Points (x, y) are the curve
    of which `ratio` is the exponent. Where there is no ratio, `note` says why.
    """

    what: str
    against: str
    ratio: float | None
    target: float | None
    ours_us_an_event: float | None
    at_most: NotRequired[bool]
    unit: NotRequired[str]
    note: NotRequired[str]
    points: NotRequired[list[tuple[float, float]]]


@dataclass(frozen=True)
class Race:
    """Seconds an event, medians over the rounds; the ratio is the median of the rounds' ratios."""

    ours: float
    theirs: float
    ratio: float


def race(
    ours: Callable[[], object],
    theirs: Callable[[], object],
    *,
    ours_events: int = 1,
    theirs_events: int = 1,
) -> Race:
    """Ours, theirs, ours, theirs, …, each sample as many calls as it takes.

    In processor time, in which other processes do not show.
    """
    return turns(_sampler(ours, ours_events), _sampler(theirs, theirs_events))


def turns(ours: Callable[[], float], theirs: Callable[[], float]) -> Race:
    """The same with what takes its own time: each returns its seconds an event."""
    rounds = np.array([[ours(), theirs()] for _ in range(ROUNDS)])
    mine, other = np.median(rounds, axis=0).tolist()
    return Race(mine, other, float(np.median(rounds[:, 1] / rounds[:, 0])))


def seconds(do: Callable[[], object], events: int) -> float:
    """The median processor time of an event."""
    sample = _sampler(do, events)
    return median(sample() for _ in range(ROUNDS))


def _sampler(do: Callable[[], object], events: int) -> Callable[[], float]:
    """What takes a sample, in seconds an event. The first call warms up."""
    do()
    calls = max(1, int(SAMPLE_SECONDS / max(_time(do, 1), 1e-7)))
    return lambda: _time(do, calls) / calls / events


def _time(do: Callable[[], object], calls: int) -> float:
    started = time.process_time()
    for _ in range(calls):
        do()
    return time.process_time() - started


@contextlib.contextmanager
def one_core() -> Iterator[None]:
    """Keep this process, and with it our kernels' threads, on one processor."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    cores.cache_clear()
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
        cores.cache_clear()


def telemetry(count: int, features: int = FEATURES, *, seed: int = 0) -> Rows:
    """Rows (count, features) that share a load, in (0, 1); one in fifty is far from the others."""
    rng = np.random.default_rng(seed)
    load = rng.normal(size=(count, 1))
    rows = 0.6 * load + rng.normal(size=(count, features))
    rows[rng.random(count) < 0.02] *= 3
    return 1 / (1 + np.exp(-rows))


def fresh(size: int, features: int = FEATURES) -> Iterator[Rows]:
    """Batches (size, features) without end; so many that no processor learns them by heart."""
    pool = telemetry(max(size, POOL), features, seed=1)
    return cycle([pool[i : i + size] for i in range(0, len(pool) - size + 1, size)])


def taking(batches: Iterator[Rows], score: Callable[[Rows], object]) -> Callable[[], object]:
    """A call that scores the next of the batches."""
    return lambda: score(next(batches))


def fitted(name: str, rows: Rows, contamination: float = 0.1, **params: Any) -> Any:
    """A PyOD detector fitted to rows."""
    return build(name, contamination, 0, params).fit(rows)
