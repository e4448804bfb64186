"""`detectd demo`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from detectd.commands.console import Console


def demo(arguments: argparse.Namespace, console: Console) -> None:
    """A first look, with no config, no Kafka and no data of one's own."""
    from detectd.commands.demo_run import run_demo
    from detectd.telemetry.progress import progress_bar

    run_demo(arguments.directory, arguments.events, progress_bar, console.say)
