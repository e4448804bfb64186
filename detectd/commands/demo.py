"""`detectd demo`: run the real pipeline on a simulated fleet, and check the promise."""

from __future__ import annotations

import shutil
import sys
from itertools import chain
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from detectd import derive
from detectd.commands.demo_fleet import EVENTS_A_DAY, FEATURES, write_fleet
from detectd.commands.fit import fit_file
from detectd.commands.report import active_page
from detectd.commands.run import summary_text
from detectd.errors import UsageError
from detectd.filesystem import private_directories
from detectd.filesystem.result_file import write_result
from detectd.pipeline.encode import VERDICTS
from detectd.rejection.evaluation import forced, tally
from detectd.service.loop import Service
from detectd.settings.loader import load
from detectd.signals import Stop
from detectd.telemetry import logs
from detectd.telemetry.progress import progress_bar

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from pathlib import Path

    from detectd.commands.console import Console
    from detectd.rejection import Costs
    from detectd.rejection.evaluation import Tally
    from detectd.settings import Settings

TRAINING_DAYS = 4
SEED = 20_231_210
MARKER = ".detectd-demo"
CONFIG_NAME = "detectd.toml"

CONFIG = """\
# Written by `detectd demo`. Run it again by hand: detectd run --config {directory}/detectd.toml
[source]
kind = "file"
path = "stream.jsonl"

[sink]
kind = "file"
directory = "out"

[event]
features = {features}
timestamp = "time"
key = "host"

[detector]
name = "IForest"
contamination = 0.02

[rejector]
T = 32
cost_false_positive = 10  # someone is paged for nothing
cost_false_negative = 10  # a customer finds the fault
cost_rejection = 1        # someone looks at it in the morning

[models]
directory = "models"

[log]
level = "warning"
"""


class _Event(msgspec.Struct):
    fault: bool


class _Answer(msgspec.Struct):
    event: _Event
    log_p_anomaly: float
    log_p_normal: float


def demo(arguments: argparse.Namespace, console: Console) -> None:
    """Simulate a fleet, fit, run, and print what was promised and what happened."""
    directory, say = arguments.directory, console.say
    _prepare(directory)
    settings = _simulate(directory, arguments.events, say)
    logs.configure(settings.log)
    with progress_bar("fit") as advance:
        exact = fit_file(directory / "training.jsonl", settings, advance).serving.promise.exact
    assert exact is not None, "the demo's configuration calibrates on rows held out"
    say(
        "Before the first event, the promise: it will abstain from "
        f"{exact.expected_rejection_rate:.2%} of events on average, from at most "
        f"{exact.rejection_rate_upper:.2%} with probability {1 - exact.delta:g}; an event will "
        f"cost at most {exact.cost_upper:.4f}.\n"
    )
    stop = Stop()
    stop.listen()
    with progress_bar("run") as advance:
        summary = Service(settings, stop, advance).run()
    say(summary_text(summary))
    say("\n" + _costs(directory / "out", derive.terms(settings).costs, exact.cost_upper))
    page = directory / "report.html"
    write_result(page, active_page(settings))
    config = directory / CONFIG_NAME
    say(f"\nVerdicts:  {directory}/out/{{normal,anomaly,abstain,dead_letter}}.jsonl")
    say(f"Config:    {config}")
    say(f"Report:    {page}")
    say(f"           {sys.argv[0]} report --config {config}")


def _simulate(directory: Path, events: int, say: Callable[[str], None]) -> Settings:
    """Write the events and the configuration, and return the settings."""
    training = EVENTS_A_DAY * TRAINING_DAYS
    say(f"Simulating a fleet of hosts: {training:,} events to train on, then {events:,} to judge.")
    write_fleet(directory / "training.jsonl", SEED, 0, training)
    write_fleet(directory / "stream.jsonl", SEED, training, events)
    config = directory / CONFIG_NAME
    text = CONFIG.format(directory=directory, features=list(FEATURES)).replace("'", '"')
    write_result(config, text)
    return load(config)


def _prepare(directory: Path) -> None:
    """Create an empty directory; empty it if an earlier demo filled it."""
    if directory.exists() and not (directory / MARKER).exists() and any(directory.iterdir()):
        raise UsageError(
            f"--directory {directory}: not empty, and not created by a demo; name another"
        )
    shutil.rmtree(directory, ignore_errors=True)
    private_directories.make("--directory", directory, 0o755, shared=True)
    (directory / MARKER).touch()


def _costs(out: Path, costs: Costs, bound: float) -> str:
    """Return the cost per event, from the true labels: observed, and with a verdict on every
    event."""
    answers = {topic: _answers(out / f"{topic}.jsonl") for topic in VERDICTS}
    given = np.repeat(
        np.arange(len(VERDICTS), dtype=np.int8), [len(each) for each in answers.values()]
    )
    told = list(chain.from_iterable(answers.values()))
    faults = np.array([answer.event.fault for answer in told])
    leaning = forced(
        np.array([answer.log_p_anomaly for answer in told]),
        np.array([answer.log_p_normal for answer in told]),
    )
    abstaining, without = tally(given, faults), tally(leaning, faults)
    cost, cost_without = abstaining.cost(costs), without.cost(costs)
    return (
        "Against the true labels, which the detector never saw:\n"
        f"  abstaining   {_mistakes(abstaining)}, {abstaining.abstain:,} abstained: "
        f"{cost:.4f} an event (promised at most {bound:.4f})\n"
        f"  forced       {_mistakes(without)}: {cost_without:.4f} an event, "
        f"{cost_without / cost:.2f} times as much"
    )


def _mistakes(found: Tally) -> str:
    return f"{found.false_positives:,} false alarms, {found.false_negatives:,} missed faults"


def _answers(path: Path) -> list[_Answer]:
    decode = msgspec.json.Decoder(_Answer).decode
    with path.open("rb") as lines:
        return [decode(line) for line in lines]
