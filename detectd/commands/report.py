"""`detectd report`: report on the active model, under the configured terms."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from detectd import derive, stream_names, wiring
from detectd.commands.console import configuration, give, write
from detectd.report.anomalies import remembered
from detectd.report.text import text
from detectd.telemetry import logs

if TYPE_CHECKING:
    import argparse

    from detectd.commands.console import Console
    from detectd.models.serving import Serving
    from detectd.settings import Settings


def report(arguments: argparse.Namespace, console: Console) -> None:
    """Run `detectd report`."""
    settings = configuration(arguments, console)
    logs.configure(settings.log)
    if arguments.format == "html":
        write(active_page(settings), arguments, console)
    else:
        give(active_figures(settings), text, arguments, console)


def active_figures(settings: Settings) -> dict[str, Any]:
    """Return the figures of the active model under the configured terms, and its counts so far.

    If there is a candidate in shadow mode, add its promise, and its agreement with the model; add
    the latest and strongest anomalies, and the keys with the most.
    """
    from detectd.report.figures import figures

    serving, observed = _active(settings)
    return figures(serving, observed) | {
        "candidate": _candidate(settings, observed),
        "anomalies": remembered(observed.get("anomalies")),
    }


def active_page(settings: Settings) -> str:
    """Return the report, with more detail, as an HTML document."""
    from detectd.report.html import page

    return page(*_active(settings), datetime.now(UTC))


def _active(settings: Settings) -> tuple[Serving, dict[str, Any]]:
    serving = wiring.serve_active(settings, datetime.now(UTC))
    store, stream = wiring.store(settings), stream_names.stream(settings)
    return serving, store.observed(serving.model.version, serving.zone_id, stream)


def _candidate(settings: Settings, observed: dict[str, Any]) -> dict[str, Any] | None:
    from detectd.models.serving import load, serve
    from detectd.report.figures import figures

    store = wiring.store(settings)
    version = store.candidate()
    if version is None:
        return None
    candidate = serve(load(store, version, datetime.now(UTC)), derive.serving_options(settings))
    found = figures(candidate, {})
    compared = observed.get("shadow", {})
    agreement = compared.get("agreement") if compared.get("candidate") == version else None
    return {name: found[name] for name in ("model", "zone", "exact")} | {"agreement": agreement}
