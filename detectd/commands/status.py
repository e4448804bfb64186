"""`detectd status`: show the state of a running service."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from detectd import __version__, wiring
from detectd.commands.console import configuration, printable
from detectd.report.status import status_text
from detectd.telemetry.client import of_configuration, running

if TYPE_CHECKING:
    import argparse

    from detectd.commands.console import Console


def status(arguments: argparse.Namespace, console: Console) -> None:
    """Run `detectd status`."""
    settings = configuration(arguments, console)
    told = running(settings.server.listen, wiring.server_token(settings))
    if not arguments.all:
        told = of_configuration(told, arguments.config)
    apart = ""
    for address, page, why in told:
        if page is None:
            console.note(f"detectd: {address}: {why}")
        elif arguments.format == "json":
            console.say(json.dumps({"address": address, **page}))
        else:
            try:
                text = status_text(address, page)
            except (AttributeError, KeyError, TypeError, ValueError):
                console.note(
                    f"detectd: {address}: the reply is not a status of detectd {__version__}"
                )
                continue
            console.say(apart + printable(text))
            apart = "\n"
