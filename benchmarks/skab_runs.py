"""The real command over experiments: each by a model of its own, or all by one."""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from detectd.cli import main

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

TRAINED = 400
VERDICTS = ("normal", "anomaly", "abstain")
CONFIG = """
[source]
kind = "file"
path = "events.jsonl"
[sink]
kind = "file"
directory = "out"
[event]
timestamp = "time"
features = [{features}]
{key}
[keys]
min_events = {young}
[detector]
name = "{detector}"
contamination = {contamination}
scale = "{scale}"
{params}
[calibration]
method = "{method}"
order = "{order}"
[rejector]
T = 1.0
[training]
warmup = {trained}
[models]
directory = "models"
[server]
listen = ""
"""
BY_FILE = 'key = "file"'


class Experiment(NamedTuple):
    """Times in epoch milliseconds (k,), and each sensor's values (k,)."""

    name: str
    times: NDArray[np.int64]
    sensors: Mapping[str, NDArray[np.float64]]


class Setting(NamedTuple):
    """What is configured; features as TOML, weights one a column."""

    detector: str
    features: tuple[str, ...]
    contamination: float
    scale: str = "auto"
    method: str = "holdout"
    order: str = "auto"
    weights: tuple[float | str, ...] = ()
    young: int = 0  # so many first rows of a file abstain and train nothing

    def config(self, key: str = "") -> str:
        """Return the configuration."""
        params = f"params.weights = {json.dumps(self.weights)}" if self.weights else ""
        return CONFIG.format(
            **self._asdict() | {"features": ", ".join(self.features)},
            key=key,
            params=params,
            trained=TRAINED - self.young,
        )


def judge_each(experiments: Sequence[Experiment], setting: Setting) -> list[NDArray[np.str_]]:
    """Return the verdicts of each experiment, whose first rows are a warm-up."""
    found = []
    for experiment in experiments:
        with tempfile.TemporaryDirectory(prefix="detectd-skab-") as directory:
            home = Path(directory)
            _write(home / "events.jsonl", [experiment])
            (home / "detectd.toml").write_text(setting.config(), encoding="utf-8")
            _detectd(home, "run")
            found += _verdicts(home / "out", [experiment])
    return found


def judge_together(experiments: Sequence[Experiment], setting: Setting) -> list[NDArray[np.str_]]:
    """Return the verdicts by one model, fitted to the first rows of all; a file is a key."""
    with tempfile.TemporaryDirectory(prefix="detectd-skab-") as directory:
        home = Path(directory)
        _write(home / "events.jsonl", experiments)
        _write(home / "history.jsonl", experiments, TRAINED)
        (home / "detectd.toml").write_text(setting.config(BY_FILE), encoding="utf-8")
        _detectd(home, "fit", "--input", str(home / "history.jsonl"))
        _detectd(home, "run")
        return _verdicts(home / "out", experiments)


def _detectd(home: Path, *arguments: str) -> None:
    """Run the command, here: to start takes it many times as long as a file of a thousand rows."""
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        code = main([*arguments, "--config", str(home / "detectd.toml")])
    if code:
        sys.exit(said.getvalue())


def _write(path: Path, experiments: Sequence[Experiment], most: int | None = None) -> None:
    with path.open("w", encoding="utf-8") as file:
        for experiment in experiments:
            for row, time in enumerate(experiment.times[:most].tolist()):
                event = {"file": experiment.name, "time": time, "row": row}
                sensors = {name: float(x[row]) for name, x in experiment.sensors.items()}
                file.write(json.dumps(event | sensors) + "\n")


def _verdicts(out: Path, experiments: Sequence[Experiment]) -> list[NDArray[np.str_]]:
    found = {one.name: np.full(len(one.times), "", dtype="U7") for one in experiments}
    for verdict in VERDICTS:
        with (out / f"{verdict}.jsonl").open(encoding="utf-8") as lines:
            for event in (json.loads(line)["event"] for line in lines):
                found[event["file"]][event["row"]] = verdict
    assert all((verdicts != "").all() for verdicts in found.values())
    return list(found.values())
