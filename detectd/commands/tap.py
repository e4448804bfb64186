"""`detectd tap`: show outputs as they are committed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from detectd import wiring
from detectd.commands.console import configuration
from detectd.pipeline.records import Topic
from detectd.report.sample import as_json, as_text
from detectd.signals import Stop
from detectd.telemetry import logs

if TYPE_CHECKING:
    import argparse

    from detectd.commands.console import Console

# How many records are shown without --n or --last.
UNLESS_ASKED = 20


def tap(arguments: argparse.Namespace, console: Console) -> None:
    """Run `detectd tap`."""
    stop = Stop()
    stop.listen()
    settings = configuration(arguments, console)
    logs.configure(settings.log)
    topic = Topic(arguments.verdict)
    left = arguments.n or (math.inf if arguments.last else UNLESS_ASKED)
    render = as_json if arguments.format == "json" else as_text
    original = settings.output.value == "original" and topic is not Topic.DEAD_LETTER
    for records in wiring.outputs(settings).follow(topic, stop, arguments.last):
        for record in records:
            console.say(render(record, original=original))
            left -= 1
            if left <= 0:
                return
