"""`detectd run`."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from detectd.commands.console import Console


def run(arguments: argparse.Namespace, console: Console) -> None:
    """source -> verdicts -> sink, until SIGTERM or the end of a bounded source."""
    from detectd.signals import Stop

    stop = Stop()
    stop.listen()  # before the slow imports: a stop during them is a stop like any other
    from detectd.settings.loader import examine, load

    settings, warnings = examine(arguments.config)
    from detectd import jit
    from detectd.commands.run_text import summary_text
    from detectd.service.loop import Service
    from detectd.settings.secrets import exposed, in_the_clear
    from detectd.telemetry import logs
    from detectd.telemetry.progress import progress_bar

    logs.configure(settings.log)
    for warning in warnings:
        logs.warn("config.warning", reason=warning)
    for why in jit.refused:
        logs.warn("cache.refused", reason=why)
    for why in exposed(settings):
        logs.warn("secret.exposed", reason=why)
    for why in in_the_clear(settings):
        logs.warn("secret.in_the_clear", reason=why)
    with progress_bar("detectd run") as advance:
        shown = advance if sys.stderr.isatty() else None
        reread = partial(load, arguments.config)
        summary = Service(settings, stop, shown, reread, arguments.config).run()
    if settings.source.bounded:
        # Verdicts may be on stdout; then the summary must not be among them.
        tell = console.note if settings.sink.kind == "stdout" else console.say
        tell(summary_text(summary))
