"""The commands: one module for each, with its work and its text.

A command prints nothing itself; it writes to the `Console`. Its module is imported when it is run,
so that `--help` is quick. SciPy, numba, PyOD and Kafka's client take a second to import: a command
imports what needs them in a function, after the configuration has been read, so that `check` avoids
them and a configuration error is reported at once. Begin with the command's own module.
"""

from __future__ import annotations

from pkgutil import resolve_name
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from detectd.commands.console import Console


class Command(NamedTuple):
    """A command: one line for its help, and the function that runs it."""

    does: str
    function: str

    def run(self, arguments: argparse.Namespace, console: Console) -> None:
        """Import the function and call it."""
        resolve_name(f"{__name__}.{self.function}")(arguments, console)


COMMANDS: Mapping[str, Command] = {
    "init": Command(
        "Write a commented starter configuration, guessed from a file of events.", "init:init"
    ),
    "run": Command(
        "Judge events from source to sink, until SIGTERM or the end of a bounded source.", "run:run"
    ),
    "check": Command("Validate config, detector, features, source, sink and store.", "check:check"),
    "fit": Command("Fit, calibrate, store and activate a model.", "fit:fit"),
    "status": Command(
        "Show how the running service is doing: promise, observed rates, lag, model, alarms.",
        "status:status",
    ),
    "anomalies": Command(
        "List the latest anomalies: time, key, score, p-value, features with their shares, id.",
        "anomalies:anomalies",
    ),
    "tap": Command(
        "Show a live sample of an output: the last records, then the next ones committed.",
        "tap:tap",
    ),
    "dead-letters list": Command(
        "Count dead letters by stage and error, without those already replayed.",
        "dead_letters:list_",
    ),
    "dead-letters replay": Command(
        "Judge each dead letter again, with the current configuration and model.",
        "dead_letters:replay",
    ),
    "report": Command(
        "Show the active model's promise, paper and exact side by side, and the observed rates.",
        "report:report",
    ),
    "plan": Command("Show what could be promised, before there is any data.", "plan:plan"),
    "backtest": Command(
        "Run over labelled history: cost, rates against the promise, risk by coverage.",
        "backtest:backtest",
    ),
    "models list": Command(
        "List models, oldest first, * beside the active one, with the events each has judged.",
        "models:list_",
    ),
    "models show": Command("Show a model's manifest.", "models:show"),
    "models activate": Command("Make a version the active model.", "models:activate"),
    "models rollback": Command("Go back to the previously active version.", "models:rollback"),
    "models discard": Command(
        "Discard the rows collected for the next model, and the held model if there is one.",
        "models:discard",
    ),
    "models shadow": Command(
        "Run a version in shadow mode, for comparison; without a version, stop.",
        "models:shadow",
    ),
    "models publish": Command(
        "Publish a model to every host that reads kafka.models_topic.", "models:publish"
    ),
    "models prune": Command("Remove old versions.", "models:prune"),
    "demo": Command("Try detectd without a configuration, Kafka or data of your own.", "demo:demo"),
}
