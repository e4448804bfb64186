"""`detectd anomalies`: what is anomalous?"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from detectd import wiring
from detectd.commands.console import configuration, give
from detectd.errors import UsageError
from detectd.pipeline.anomaly_records import reader
from detectd.pipeline.fields import before
from detectd.pipeline.records import Topic
from detectd.report.anomalies import by_key_figures, by_key_text, list_figures, list_text
from detectd.report.anomaly_selection import Selection, by_key
from detectd.telemetry import logs

if TYPE_CHECKING:
    import argparse

    from detectd.commands.console import Console

# How many are shown without --last: the latest, and those since a time.
LATEST = 20
SINCE = 1_000


def anomalies(arguments: argparse.Namespace, console: Console) -> None:
    """Run `detectd anomalies`."""
    since_ms = None if arguments.since is None else _moment(arguments.since)
    settings = configuration(arguments, console)
    logs.configure(settings.log)
    topic, outputs = Topic(arguments.verdict), wiring.outputs(settings)
    read = reader(settings.event.fields, original=settings.output.value == "original")
    selection = Selection(read, since_ms)
    grouped = arguments.by is not None
    most: int | None = arguments.last
    if most is None and not grouped:
        most = LATEST if since_ms is None else SINCE
    if since_ms is None and most is not None:
        found = selection.of([outputs.last(topic, most)])
    else:
        found = selection.of(outputs.all(topic, since_ms))
    if most is not None:
        found = iter(deque(found, maxlen=most))
    if grouped:
        figures, text = by_key_figures(by_key(found), selection, topic), by_key_text
    else:
        figures, text = list_figures([*found], selection, topic), list_text
    if selection.timeless and not selection.matched:
        raise UsageError(
            "--since: outputs have no time; set event.timestamp to the field that holds it, or "
            "use --last N"
        )
    give(figures, text, arguments, console)


def _moment(text: str) -> int:
    """Return the Unix time in ms of a span before now, or of an ISO time. Raise UsageError."""
    found = before(text, time.time_ns() // 1_000_000)
    if found is None:
        raise UsageError(
            f"--since {text}: not a span such as 90s, 30m, 2h or 7d, nor an ISO 8601 time"
        )
    return found
