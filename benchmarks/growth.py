"""How the cost of an event grows: with calibration scores, features, trees. Plots go to build/."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np

from benchmarks.measuring import BATCH, TRAINING, Row, fitted, fresh, one_core, seconds, telemetry
from detectd.detectors import choose
from detectd.rejection import rejector

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

mpl.use("Agg")

FRESH = 200_000
CONTAMINATION, T = 0.05, 8.0


def rows() -> list[Row]:
    """One row a curve."""
    sizes, widths, trees = (10**3, 10**4, 10**5, 10**6), (2, 4, 8, 16, 32, 64), (10, 30, 100, 300)
    with one_core():
        return [
            _curve("rank and verdict", "calibration scores", _ranking, sizes),
            _curve("IForest, 100 trees", "features", _forest_of_width, widths),
            _curve("HBOS", "features", _histograms, widths),
            _curve("IForest, 8 features", "trees", _forest_of_trees, trees),
        ]


def plot(found: list[Row], directory: Path) -> list[Path]:
    """A picture of each curve on logarithmic axes, with the power that fits it."""
    from matplotlib.figure import Figure

    written = []
    for number, row in enumerate(found):
        points = np.array(row["points"])
        figure = Figure(figsize=(5, 3.5), layout="constrained")
        axes = figure.subplots()
        axes.loglog(points[:, 0], points[:, 1], "o", label="measured")
        exponent, factor = _power(points)
        axes.loglog(points[:, 0], factor * points[:, 0] ** exponent, label=f"x^{exponent:.2f}")
        axes.set(title=row["what"], xlabel=row["against"], ylabel="µs an event")
        axes.legend()
        written.append(directory / f"growth-{number}.svg")
        figure.savefig(written[-1])
    return written


def _curve(what: str, grows: str, cost: Callable[[int], float], at: Sequence[int]) -> Row:
    """The costs, µs an event, at some sizes, and the exponent of the power through them."""
    points = [(float(size), 1e6 * cost(size)) for size in at]
    return Row(
        what=f"cost of {what}",
        against=f"{grows}, {at[0]:,} to {at[-1]:,}",
        ratio=_power(np.array(points))[0],
        target=None,
        unit="exponent",
        ours_us_an_event=points[-1][1],
        points=points,
    )


def _power(points: np.ndarray) -> tuple[float, float]:
    """The exponent and the factor of the power that is nearest to (k, 2) points, in logarithms."""
    at, took = np.log(points.T)
    exponent, log_factor = np.polyfit(at, took, 1)
    return float(exponent), float(np.exp(log_factor))


def _ranking(n: int) -> float:
    rng = np.random.default_rng(0)
    judge = rejector(rng.normal(size=n), CONTAMINATION, T)
    scores = rng.normal(size=FRESH)
    return seconds(lambda: judge.judge(scores), FRESH)


def _forest_of_width(features: int) -> float:
    return _scoring("IForest", features)


def _histograms(features: int) -> float:
    return _scoring("HBOS", features)


def _forest_of_trees(trees: int) -> float:
    return _scoring("IForest", 8, n_estimators=trees)


def _scoring(name: str, features: int, **params: Any) -> float:
    training, batches = telemetry(TRAINING, features), fresh(BATCH, features)
    scorer = choose(fitted(name, training, **params), training)
    return seconds(lambda: scorer.score(next(batches)), BATCH)
