"""`detectd fit`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detectd.commands.console import configuration
from detectd.commands.models import to_other_hosts

if TYPE_CHECKING:
    import argparse

    from detectd.commands.console import Console


def fit(arguments: argparse.Namespace, console: Console) -> None:
    """Fit, calibrate, store and activate a model."""
    settings = configuration(arguments, console)
    from detectd.commands import fitting
    from detectd.commands.fit_text import fitted_text
    from detectd.commands.input_files import Inputs
    from detectd.report.figures import figures
    from detectd.report.text import text
    from detectd.telemetry import logs
    from detectd.telemetry.progress import progress_bar

    logs.configure(settings.log)
    inputs = Inputs(arguments.input, settings)
    with progress_bar("detectd fit") as advance:
        fitted = fitting.fit(inputs, settings, advance, activate=arguments.activate)
    for note in fitted.notes:
        console.note(f"detectd: {note}")
    console.say(text(figures(fitted.serving, {})))
    console.say(fitted_text(fitted, settings.models.directory, active=arguments.activate))
    if arguments.activate:
        to_other_hosts(settings, fitted.serving.model.version, console)
