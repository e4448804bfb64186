"""`python -m benchmarks.guard`: what the window's guard does to the models that follow.

An event is its own score, so that a model is its calibration scores and nothing else: each
generation judges the next `N` events, the window takes what its guard lets in, and the next
generation is calibrated on the window. Rates are means over `RUNS` runs with seeds 0, 1, ….
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from detectd.rejection import ABSTAIN, ANOMALY, NORMAL, Costs, rejector
from detectd.rejection.promise import Terms, promise
from detectd.service.suspicious_tail import with_tail
from detectd.service.training_window import Window, guard

if TYPE_CHECKING:
    from collections.abc import Callable

    from detectd.rejection import Rejector
    from detectd.service.training_window import Guard

    Stream = Callable[[np.random.Generator, int], np.ndarray]

TAILED = "normal_only"
N, RUNS, GENERATIONS, SHOWN = 2000, 40, 10, (1, 2, 3, 5, 10)
TERMS = Terms(contamination=0.05, T=8.0, max_abstain_rate=None, delta=0.1, costs=Costs(1, 1, 0.05))


PROMISED = promise(np.arange(N, dtype=float), TERMS)
EXACT = PROMISED.exact
assert EXACT
MEAN, UPPER = EXACT.expected_rejection_rate, EXACT.rejection_rate_upper
GUARDS = {
    "none": guard("none", TERMS.contamination, UPPER),
    "anomaly": guard("anomaly", TERMS.contamination, UPPER),
    "anomaly_and_abstain, upper bound": guard("anomaly_and_abstain", TERMS.contamination, UPPER),
    "anomaly_and_abstain, mean": guard("anomaly_and_abstain", TERMS.contamination, MEAN),
    "share 0, without a tail": guard("normal_only", TERMS.contamination, UPPER),
    TAILED: guard("normal_only", TERMS.contamination, UPPER),
}


def _cloud(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.normal(size=count)


def _shifted(by: float) -> Stream:
    return lambda rng, count: rng.normal(by, 1.0, count)


def _attacked(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.normal(size=count) + 4.0 * (rng.random(count) < 0.3)


STREAMS: dict[str, Stream] = {
    "as before": _cloud,
    "shift of 0.5": _shifted(0.5),
    "shift of 1": _shifted(1.0),
    "shift of 3": _shifted(3.0),
    "30 % at 4": _attacked,
}


def generations(stream: Stream, guard: Guard, seed: int, *, tailed: bool) -> np.ndarray:
    """The rates (GENERATIONS, 2) of anomalies and abstentions on the stream after each refit."""
    rng = np.random.default_rng(seed)
    window = Window(1, N, guard=guard)
    rows = _cloud(rng, N)[:, None]
    window.add(rows, np.zeros(N, dtype=np.int8))
    rates = np.empty((GENERATIONS, 2))
    for generation in range(GENERATIONS):
        scores = stream(rng, N)
        model = _model(rows)
        window.add(scores[:, None], model.judge(scores).verdict)
        suspicious = model.judge(rows[:, 0]).verdict != NORMAL
        rows = with_tail(window.rows(NORMAL), rows, suspicious) if tailed else window.rows()
        fresh = _model(rows).judge(stream(rng, 20_000)).verdict
        rates[generation] = (fresh == ANOMALY).mean(), (fresh == ABSTAIN).mean()
    return rates


def _model(rows: np.ndarray) -> Rejector:
    assert TERMS.T
    return rejector(rows[:, 0], TERMS.contamination, TERMS.T)


def main() -> None:
    """Print the table of rates after the first refits."""
    beyond = N - PROMISED.rejector.zone.rank_high
    print(f"promised: anomalies {beyond / (N + 1):.3f}, abstentions {MEAN:.3f}\n")
    print("| stream | guard |", *(f"refit {g} |" for g in SHOWN))
    print("|---|---|" + "---|" * len(SHOWN))
    for name, stream in STREAMS.items():
        for guarded, limits in GUARDS.items():
            runs = [
                generations(stream, limits, seed, tailed=guarded == TAILED) for seed in range(RUNS)
            ]
            mean = np.mean(runs, axis=0)
            cells = (f"{mean[g - 1, 0]:.3f}, {mean[g - 1, 1]:.3f}" for g in SHOWN)
            print(f"| {name} | {guarded} |", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
