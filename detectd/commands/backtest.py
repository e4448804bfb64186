"""`detectd backtest`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detectd.commands.console import configuration, give

if TYPE_CHECKING:
    import argparse

    from detectd.commands.console import Console


def backtest(arguments: argparse.Namespace, console: Console) -> None:
    """The pipeline over labelled history: cost, rates against the promise, risk by coverage."""
    settings = configuration(arguments, console)
    from detectd.commands import backtesting, sweeping
    from detectd.commands.sweep_text import sweep_figures, sweep_text
    from detectd.report.backtest import backtest_figures, backtest_text
    from detectd.telemetry import logs
    from detectd.telemetry.progress import progress_bar

    logs.configure(settings.log)
    variants = sweeping.variants(arguments.sweep, settings) if arguments.sweep else []
    with progress_bar("detectd backtest") as advance:
        tested = backtesting.backtest(arguments.input, arguments.label, settings, advance)
    if variants:
        swept = sweeping.sweep(tested, variants, settings)
        give(sweep_figures(tested, swept), sweep_text, arguments, console)
        return
    give(backtest_figures(tested), backtest_text, arguments, console)
