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
        "Write a first configuration, guessed from a file of events and commented.", "init:init"
    ),
    "run": Command(
        "source -> verdicts -> sink, until SIGTERM or the end of a bounded source.", "run:run"
    ),
    "check": Command("Validate config, detector, features, source, sink and store.", "check:check"),
    "fit": Command("Fit, calibrate, store and activate a model.", "fit:fit"),
    "status": Command(
        "How the running service is doing: its promise, what it observed, lag, model, alarms.",
        "status:status",
    ),
    "anomalies": Command(
        "The latest anomalies: time, key, score, p-value, features with their share, id.",
        "anomalies:anomalies",
    ),
    "tap": Command(
        "A live sample of an output: the last records, the next that are committed, until N.",
        "tap:tap",
    ),
    "dead-letters list": Command(
        "Dead letters by stage and error, without those that have been replayed.",
        "dead_letters:list_",
    ),
    "dead-letters replay": Command(
        "Answer each dead letter once more, with the configuration and the model of now.",
        "dead_letters:replay",
    ),
    "report": Command(
        "The promise of the active model, paper and exact side by side, and what was observed.",
        "report:report",
    ),
    "plan": Command("What could be promised, before there is any data.", "plan:plan"),
    "backtest": Command(
        "The pipeline over labelled history: cost, rates against the promise, risk by coverage.",
        "backtest:backtest",
    ),
    "models list": Command(
        "One line a model, oldest first, the active one starred; at the end what it has answered.",
        "models:list_",
    ),
    "models show": Command("A model's manifest.", "models:show"),
    "models activate": Command("Let a version answer from now on.", "models:activate"),
    "models rollback": Command("Go back to the version that answered before.", "models:rollback"),
    "models discard": Command(
        "Discard the rows collected for the next model, and the model that waits, if any.",
        "models:discard",
    ),
    "models shadow": Command(
        "Let a version score along without being heard, for comparison; none ends that.",
        "models:shadow",
    ),
    "models publish": Command(
        "Let every host that reads kafka.models_topic answer with a model.", "models:publish"
    ),
    "models prune": Command("Remove old versions.", "models:prune"),
    "demo": Command(
        "A first look, with no config, no Kafka and no data of one's own.", "demo:demo"
    ),
}
