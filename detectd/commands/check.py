"""`detectd check`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from detectd.commands.console import Console


def check(arguments: argparse.Namespace, console: Console) -> None:
    """Validate config, detector, features, source, sink and store."""
    from detectd.settings.loader import examine

    settings, warnings = examine(arguments.config)
    from detectd.commands.checks import check as checked
    from detectd.settings.secrets import exposed, in_the_clear

    console.say(f"config    {arguments.config}")
    for warning in warnings:
        console.say(f"WARNING   {warning}")
    for line in checked(settings):
        console.say(line)
    for why in (*exposed(settings), *in_the_clear(settings)):
        console.say(f"WARNING   {why}")
    if arguments.connect:
        from detectd.commands.check_kafka import connect_check
        from detectd.telemetry import logs

        logs.configure(settings.log)
        table = connect_check(settings)
        console.say("\n".join(table.lines()))
        failed = table.verdict()
        if failed:
            raise failed
