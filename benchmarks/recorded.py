"""`python -m benchmarks.recorded DATA`: models that follow real streams, on the record.

DATA holds `nab/realKnownCause/*.csv` (Numenta Anomaly Benchmark) and `adbench/16_http.npz`
(ADBench). Each series is read by the service from a file; after an alarm it refits. Into the second
a change is spliced. For each: what was logged, how the evidence went (a plot), and a row that says
whether the promise held before and after. Everything lands in build/recorded.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import structlog

from detectd.report.figures import figures
from detectd.service.loop import Service
from detectd.settings.loader import settle
from detectd.signals import Stop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

mpl.use("Agg")

HOME = Path("build/recorded")
AVERAGE_RUN_LENGTH = 1e7
HTTP_EVENTS = 40_000
SPLICE = 20_000
TRAINING = {"warmup": 2_000, "window": 4_000, "refit": "on_drift", "cooldown_events": 2_000}


def record(name: str, stream: Path, features: list[str], contamination: float) -> dict[str, Any]:
    """Run the service over `stream`, from a warm-up to the end."""
    home = HOME / name
    shutil.rmtree(home, ignore_errors=True)
    written = {
        "source": {"kind": "file", "path": str(stream), "batch_records": 250},
        "sink": {"kind": "file", "directory": str(home / "out"), "fsync": False},
        "topics": {"alerts": "alerts"},
        "event": {"features": features},
        "detector": {"name": "IForest", "contamination": contamination},
        "rejector": {"T": 8.0},
        "calibration": {"method": "holdout"},
        "training": TRAINING,
        "drift": {"average_run_length": AVERAGE_RUN_LENGTH},
        "models": {"directory": str(home / "models")},
        "server": {"listen": ""},
    }
    log = (home.parent / f"{name}.log").open("w", encoding="utf-8")
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer()],
        logger_factory=structlog.WriteLoggerFactory(log),
        cache_logger_on_first_use=False,
    )
    evidence: list[tuple[int, float]] = []
    models: list[dict[str, Any]] = []

    def look(share: float, events: int) -> None:  # noqa: ARG001 - the signature is Advance's
        champion = service.engine.champion
        if champion is None:
            return
        evidence.append((events, max(champion.drift_monitor.evidence, 1e-3)))
        found = figures(champion.serving, champion.observed)
        if not models or models[-1]["model"]["version"] != found["model"]["version"]:
            models.append({"from": events})
        models[-1] |= found

    service = Service(settle(written, name), Stop(), look)
    service.run()
    log.close()
    alerts = list(lines(home / "out" / "alerts.jsonl"))
    plot(name, evidence, alerts, models)
    return row(name, stream, alerts, models, home / "out")


def row(
    name: str,
    stream: Path,
    alerts: list[dict[str, Any]],
    models: list[dict[str, Any]],
    out: Path,
) -> dict[str, Any]:
    """The run in a line of the table."""
    came = sum(1 for _ in stream.open()) - (stream.suffix == ".csv")
    ids = Counter(
        answer["id"]
        for path in out.glob("*.jsonl")
        if path.name != "alerts.jsonl"
        for answer in lines(path)
    )
    return {
        "series": name,
        "events": came,
        "lost": came - len(ids),
        "doubled": sum(ids.values()) - len(ids),
        "models": len(models),
        "alarms told": len(alerts),
        "first alarm, event of its model": alerts[0]["event"] if alerts else None,
        "abstained, promised": [kept(model) for model in models],
    }


def kept(model: dict[str, Any]) -> str:
    """How often one of the models abstained, and at most promised to."""
    rate, upper = model["observed"]["rejection_rate"] or 0, model["exact"]["rejection_rate_upper"]
    return f"{rate:.1%} of {upper:.1%}"


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file of JSON lines."""
    with path.open("rb") as file:
        yield from map(json.loads, file)


def plot(
    name: str,
    evidence: list[tuple[int, float]],
    alerts: list[dict[str, Any]],
    models: list[dict[str, Any]],
) -> None:
    """The evidence over time, the alarm's threshold, and where another model took over."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 3), layout="constrained")
    events, seen = zip(*evidence, strict=True)
    axes.semilogy(events, seen, lw=1, label="evidence")
    axes.axhline(AVERAGE_RUN_LENGTH, color="tab:red", ls="--", lw=1, label="alarm")
    for number, model in enumerate(models[1:]):
        axes.axvline(model["from"], color="tab:green", lw=1, label="" if number else "new model")
    axes.set(xlabel="events", title=f"{name}: {len(alerts)} alarms told, {len(models)} models")
    axes.legend(loc="upper left")
    figure.savefig(HOME / f"{name}.png", dpi=110)
    plt.close(figure)


def http(data: Path) -> Path:
    """Rows of the http data set in a random order; from the splice on, one feature is larger."""
    rows: NDArray[np.float64] = np.load(data / "adbench" / "16_http.npz")["X"]
    chosen = np.random.default_rng(0).choice(len(rows), HTTP_EVENTS, replace=False)
    stream = rows[chosen]
    stream[SPLICE:, 2] += stream[:, 2].std()
    path = HOME / "http.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for a, b, c in stream.tolist():
            file.write(json.dumps({"a": a, "b": b, "c": c}) + "\n")
    return path


def main() -> None:
    """Record every series, print the table, and leave it as JSON."""
    data = Path(sys.argv[1])
    HOME.mkdir(parents=True, exist_ok=True)
    found = [record("http", http(data), ["a", "b", "c"], 0.02)]
    series = sorted((data / "nab" / "realKnownCause").glob("*.csv"))
    found += [record(each.stem, each, ["value"], 0.05) for each in series]
    for each in found:
        print(json.dumps(each))
    (HOME / "recorded.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
