"""`detectd fit`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detectd.commands.models import to_other_hosts

if TYPE_CHECKING:
    import argparse

    from detectd.commands.console import Console


def fit(arguments: argparse.Namespace, console: Console) -> None:
    """Fit, calibrate, store and activate a model."""
    from detectd.loading import load

    settings = load(arguments.config)
    from detectd.fitting import fit_file
    from detectd.report.figures import figures
    from detectd.report.text import text
    from detectd.telemetry import logs
    from detectd.telemetry.progress import progress_bar

    logs.configure(settings.log)
    with progress_bar("detectd fit") as advance:
        fitted = fit_file(arguments.input, settings, advance)
    for note in fitted.notes:
        console.note(f"detectd: {note}")
    console.say(text(figures(fitted.serving, {})))
    to_other_hosts(settings, fitted.serving.model.version, console)
