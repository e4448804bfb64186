"""The arguments of each command, and nothing else: what a command does is in `detectd.cli`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from detectd import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_CONFIG = Path("/etc/detectd/detectd.toml")

# The keys that `plan` takes from the command line, and their flags.
PLAN_KEYS = {
    "--contamination": ("detector", "contamination"),
    "--T": ("rejector", "T"),
    "--max-abstain-rate": ("rejector", "max_abstain_rate"),
    "--delta": ("rejector", "delta"),
    "--cost-false-positive": ("rejector", "cost_false_positive"),
    "--cost-false-negative": ("rejector", "cost_false_negative"),
    "--cost-rejection": ("rejector", "cost_rejection"),
}


def default_config() -> Path:
    """Where the configuration is, unless --config says otherwise."""
    return Path(os.environ.get("DETECTD_CONFIG", DEFAULT_CONFIG))


def parser(commands: Mapping[str, str]) -> argparse.ArgumentParser:
    """`commands` maps each name, like `models list`, to what it does. The parsed name is `name`."""
    top = argparse.ArgumentParser(
        prog="detectd",
        description="Scores event streams and answers normal, anomaly or abstain, with a promise.",
    )
    top.add_argument("--version", action="version", version=f"detectd {__version__}")
    groups = {"": top.add_subparsers(required=True, metavar="COMMAND")}
    groups["models"] = (
        groups[""]
        .add_parser("models", help="The model store.")
        .add_subparsers(required=True, metavar="ACTION")
    )
    for name, does in commands.items():
        group, _, action = name.rpartition(" ")
        each = groups[group].add_parser(action, help=does, description=does)
        each.set_defaults(name=name)
        each.add_argument("--debug", action="store_true", help="show the traceback of an error")
        if name != "demo":
            each.add_argument(
                "--config",
                type=Path,
                metavar="FILE",
                help=f"default: $DETECTD_CONFIG, then {DEFAULT_CONFIG}",
            )
        _own_arguments(name, each)
    return top


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not a positive number")
    return number


def _own_arguments(name: str, command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    if name == "fit":
        add("--input", type=Path, required=True, metavar="PATH", help="the training rows")
    elif name == "check":
        add("--connect", action="store_true", help="also try brokers, login, topics and rights")
    elif name in {"report", "plan"}:
        formats = ("text", "json", "html") if name == "report" else ("text", "json")
        add("--format", choices=formats, default="text")
        add("-o", dest="output", type=Path, metavar="FILE", help="write it there")
    elif name == "demo":
        add("--directory", type=Path, default=Path("build/demo"), metavar="DIR")
        add("--events", type=_positive, default=200_000, metavar="N")
    elif name in {"models show", "models publish"}:
        add("version", nargs="?", help="default: the active one")
    elif name == "models activate":
        add("version")
    elif name == "models prune":
        add("--keep", type=_positive, default=5, metavar="N", help="the newest N (5)")
    if name == "plan":
        add(
            "--n",
            type=_positive,
            action="append",
            metavar="N",
            help="calibration scores, repeatable",
        )
        for flag, key in PLAN_KEYS.items():
            add(flag, dest=".".join(key), type=float, metavar="X", help=f"for {'.'.join(key)}")
