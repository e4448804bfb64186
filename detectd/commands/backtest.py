"""`detectd backtest`: check the promise on labelled history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detectd.commands.console import configuration, give
from detectd.telemetry import logs
from detectd.telemetry.progress import progress_bar

if TYPE_CHECKING:
    import argparse

    from detectd.commands.console import Console


def backtest(arguments: argparse.Namespace, console: Console) -> None:
    """Run `detectd backtest`."""
    settings = configuration(arguments, console)
    from detectd.commands import backtest_sweep
    from detectd.commands.backtest_history import judge_history
    from detectd.commands.input_files import keys_lost
    from detectd.report.backtest import backtest_figures, backtest_text

    logs.configure(settings.log)
    if warning := keys_lost(settings):
        console.note(f"detectd: {warning}")
    variants = backtest_sweep.variants(arguments.sweep, settings) if arguments.sweep else []
    with progress_bar("detectd backtest") as advance:
        tested = judge_history(arguments.input, arguments.label, settings, advance)
    if variants:
        swept = backtest_sweep.sweep(tested, variants, settings)
        figures = backtest_sweep.sweep_figures(tested, swept)
        give(figures, backtest_sweep.sweep_text, arguments, console)
        return
    give(backtest_figures(tested), backtest_text, arguments, console)
