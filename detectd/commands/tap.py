"""`detectd tap`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detectd.commands.console import configuration

if TYPE_CHECKING:
    import argparse

    from detectd.commands.console import Console


def tap(arguments: argparse.Namespace, console: Console) -> None:
    """A live sample of an output: the next records that are committed, until there are N."""
    from detectd.signals import Stop

    stop = Stop()
    stop.listen()
    from detectd import wiring

    settings = configuration(arguments, console)
    from detectd.records import Topic
    from detectd.report.sample import as_json, as_text
    from detectd.telemetry import logs

    logs.configure(settings.log)
    topic, left = Topic(arguments.verdict), arguments.n
    render = as_json if arguments.format == "json" else as_text
    original = settings.output.value == "original" and topic is not Topic.DEAD_LETTER
    for records in wiring.outputs(settings).follow(topic, stop):
        for record in records[:left]:
            console.say(render(record, original=original))
        left -= len(records)
        if left <= 0:
            return
