"""`detectd report`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detectd.commands.console import configuration, give, write

if TYPE_CHECKING:
    import argparse

    from detectd.commands.console import Console


def report(arguments: argparse.Namespace, console: Console) -> None:
    """The promise of the active model, paper and exact side by side, and what was observed."""
    settings = configuration(arguments, console)
    from detectd.commands.active_report import active_figures, active_page
    from detectd.report.text import text
    from detectd.telemetry import logs

    logs.configure(settings.log)
    if arguments.format == "html":
        write(active_page(settings), arguments, console)
    else:
        give(active_figures(settings), text, arguments, console)
