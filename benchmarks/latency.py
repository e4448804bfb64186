"""What an event waits between two pipes, at half of what the service can do."""

from __future__ import annotations

import tempfile
import time
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.measuring import ROUNDS, TRAINING, Row
from benchmarks.paths import write_stream
from benchmarks.piped import OURS, PASSING, Piped, configure, piped

EVENTS = 20_000
ROUND_SECONDS = 2.0
QUANTILES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
MOST = 2.0


def rows() -> list[Row]:
    """One row for each quantile: the median over the rounds, of one round's ratio."""
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        write_stream(home / "stream.jsonl", EVENTS)
        lines = (home / "stream.jsonl").read_bytes().splitlines(keepends=True)
        (home / "training.jsonl").write_bytes(b"".join(lines[:TRAINING]))
        config = configure(home)
        with piped(OURS, config) as ours, piped(PASSING, config) as passing:
            rate = _most(ours, lines) / 2
            _most(passing, lines)
            some = list(islice(cycle(lines), int(rate * ROUND_SECONDS)))
            rounds = np.array(
                [[_quantiles(each, some, rate) for each in (ours, passing)] for _ in range(ROUNDS)]
            )
    ratios = np.median(rounds[:, 0] / rounds[:, 1], axis=0).tolist()
    mine = np.median(rounds[:, 0], axis=0).tolist()
    return [
        Row(
            what=f"latency {name} through pipes, {rate:,.0f} events a second",
            against="a pass-through with the same pipes and batches",
            ratio=ratio,
            target=MOST,
            at_most=True,
            ours_us_an_event=1e6 * waited,
        )
        for name, ratio, waited in zip(QUANTILES, ratios, mine, strict=True)
    ]


def _most(service: Piped, lines: list[bytes]) -> float:
    """Events a second where they come as fast as it takes them; it has to start first."""
    service.write(b"".join(lines[:TRAINING]))
    service.wait(TRAINING)
    rates = []
    for burst in range(1, ROUNDS + 1):
        started = time.perf_counter()
        service.write(b"".join(lines))
        service.wait(TRAINING + burst * len(lines))
        rates.append(len(lines) / (time.perf_counter() - started))
    return median(rates)


def _quantiles(service: Piped, lines: list[bytes], rate: float) -> list[float]:
    waited = service.latencies(lines, rate)
    found: list[float] = np.quantile(waited, list(QUANTILES.values())).tolist()
    return found
