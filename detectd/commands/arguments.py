"""The command line's arguments; what a command does is in its own module."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from detectd import __version__
from detectd.config_path import DEFAULT_CONFIG, LOCAL_CONFIG

if TYPE_CHECKING:
    from collections.abc import Mapping

# More events per day would overflow the figures.
MOST_EVENTS = 10**10

# The help of commands of two words, by their first word.
GROUPS = {
    "dead-letters": "Inspect and replay dead letters.",
    "models": "Manage stored models.",
}

# The keys that `plan` takes from the command line, with their flags.
PLAN_KEYS = {
    "--contamination": ("detector", "contamination"),
    "--T": ("rejector", "T"),
    "--max-abstain-rate": ("rejector", "max_abstain_rate"),
    "--delta": ("rejector", "delta"),
    "--cost-false-positive": ("rejector", "cost_false_positive"),
    "--cost-false-negative": ("rejector", "cost_false_negative"),
    "--cost-rejection": ("rejector", "cost_rejection"),
}


class Argument(NamedTuple):
    """The arguments of `ArgumentParser.add_argument`."""

    names: tuple[str, ...]
    options: dict[str, Any]


def _argument(*names: str, **options: Any) -> Argument:
    return Argument(names, options)


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return number


def _events_per_day(text: str) -> int:
    number = _positive(text)
    if number > MOST_EVENTS:
        raise argparse.ArgumentTypeError(f"{number} is more than {MOST_EVENTS:,}")
    return number


DEBUG = _argument("--debug", action="store_true", help="show the traceback of an error")
CONFIG = _argument(
    "--config",
    type=Path,
    metavar="FILE",
    help=f"default: $DETECTD_CONFIG, then ./{LOCAL_CONFIG}, then {DEFAULT_CONFIG}",
)
FORMAT = _argument("--format", choices=("text", "json"), default="text")
OUTPUT = _argument("-o", dest="output", type=Path, metavar="FILE", help="write the output to FILE")
A_VERSION = _argument("version", nargs="?", help="default: the active one")

# Beside --debug, and --config if the command has a configuration.
ARGUMENTS: Mapping[str, tuple[Argument, ...]] = {
    "init": (
        _argument("--input", type=Path, metavar="PATH", help="a file of events to guess from"),
        _argument(
            "-o",
            dest="output",
            type=Path,
            default=LOCAL_CONFIG,
            metavar="FILE",
            help=f"write it to FILE (./{LOCAL_CONFIG}); - is stdout",
        ),
        _argument("--force", action="store_true", help="overwrite an existing file"),
    ),
    "check": (
        _argument(
            "--connect", action="store_true", help="also check brokers, login, topics and rights"
        ),
    ),
    "fit": (
        _argument(
            "--input",
            nargs="+",
            action="extend",
            required=True,
            metavar="PATH",
            help="training rows: files, glob patterns, or - for stdin",
        ),
        _argument(
            "--no-activate",
            dest="activate",
            action="store_false",
            help="store the model without activating it",
        ),
    ),
    "status": (
        FORMAT,
        _argument(
            "--all",
            action="store_true",
            help="also services of other configurations at server.listen",
        ),
    ),
    "report": (
        _argument("--format", choices=("text", "json", "html"), default="text"),
        OUTPUT,
    ),
    "anomalies": (
        FORMAT,
        OUTPUT,
        _argument(
            "--last", type=_positive, metavar="N", help="at most the last N (20, unless --since)"
        ),
        _argument("--since", metavar="T", help="no older than T: 2h, 7d, or an ISO 8601 time"),
        _argument(
            "--by",
            choices=("key",),
            help="by key: count, latest, strongest (of all, unless --last)",
        ),
        _argument(
            "--verdict",
            choices=("anomaly", "abstain"),
            default="anomaly",
            help="abstain: list abstentions instead",
        ),
    ),
    "tap": (
        _argument(
            "--verdict",
            choices=("normal", "anomaly", "abstain", "dead_letter"),
            required=True,
            help="which of the four outputs",
        ),
        _argument(
            "--last",
            type=_positive,
            default=0,
            metavar="N",
            help="start with the last N existing records",
        ),
        _argument(
            "--n",
            type=_positive,
            metavar="N",
            help="stop after N records, including those of --last (20; with --last, never)",
        ),
        _argument("--format", choices=("json", "text"), default="json"),
    ),
    "dead-letters list": (
        FORMAT,
        OUTPUT,
        _argument("--all", action="store_true", help="include those already replayed"),
    ),
    "dead-letters replay": (
        FORMAT,
        OUTPUT,
        _argument("--dry-run", action="store_true", help="judge them, but write nothing"),
    ),
    "plan": (
        FORMAT,
        OUTPUT,
        _argument(
            "--n",
            type=_positive,
            action="append",
            metavar="N",
            help="number of calibration scores; repeatable",
        ),
        _argument(
            "--events-per-day",
            type=_events_per_day,
            metavar="N",
            help="also estimate a day of N events: alerts, reviews, mistakes",
        ),
        *(
            _argument(
                flag, dest=".".join(key), type=float, metavar="X", help=f"for {'.'.join(key)}"
            )
            for flag, key in PLAN_KEYS.items()
        ),
    ),
    "backtest": (
        FORMAT,
        OUTPUT,
        _argument(
            "--input", type=Path, required=True, metavar="PATH", help="a file of labelled events"
        ),
        _argument(
            "--label",
            required=True,
            metavar="FIELD",
            help="the field with the label: 0 or 1, true or false, normal or anomaly",
        ),
        _argument(
            "--sweep",
            action="append",
            metavar="KEY=X,Y",
            help="compare values of T, contamination or max_abstain_rate; repeatable",
        ),
    ),
    "models show": (A_VERSION,),
    "models activate": (_argument("version"),),
    "models shadow": (_argument("version", nargs="?", help="without it, stop shadowing"),),
    "models publish": (A_VERSION,),
    "models prune": (
        _argument("--keep", type=_positive, default=5, metavar="N", help="keep the newest N (5)"),
    ),
    "demo": (
        _argument("--directory", type=Path, default=Path("build/demo"), metavar="DIR"),
        _argument("--events", type=_positive, default=200_000, metavar="N"),
    ),
}
WITHOUT_CONFIG = {"demo", "init"}


def parser(commands: Mapping[str, str]) -> argparse.ArgumentParser:
    """Return the parser. `commands` maps each name, like `models list`, to its help. The parsed
    name is `name`."""
    top = argparse.ArgumentParser(
        prog="detectd",
        description="Judge streaming events normal, anomaly or abstain, with a promise stated in "
        "advance.",
    )
    top.add_argument("--version", action="version", version=f"detectd {__version__}")
    groups = {"": top.add_subparsers(required=True, metavar="COMMAND")}
    for group, holds in GROUPS.items():
        of_group = groups[""].add_parser(group, help=holds)
        groups[group] = of_group.add_subparsers(required=True, metavar="ACTION")
    for name, does in commands.items():
        group, _, action = name.rpartition(" ")
        each = groups[group].add_parser(action, help=does, description=does)
        each.set_defaults(name=name)
        common = (DEBUG,) if name in WITHOUT_CONFIG else (DEBUG, CONFIG)
        for argument in (*common, *ARGUMENTS.get(name, ())):
            each.add_argument(*argument.names, **argument.options)
    return top
