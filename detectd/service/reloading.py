"""Apply a changed configuration to a running service: all of its changes, or none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from detectd.errors import DetectdError
from detectd.service.options import batch_limits
from detectd.settings.reload import changed
from detectd.telemetry import logs

if TYPE_CHECKING:
    from collections.abc import Callable

    from detectd.service.engine import ScoringEngine
    from detectd.service.gathering import Gatherer
    from detectd.settings import Settings
    from detectd.telemetry.reporter import TelemetryReporter

log = structlog.get_logger()


def reloaded(
    settings: Settings,
    reread: Callable[[], Settings],
    engine: ScoringEngine,
    gatherer: Gatherer,
    reporter: TelemetryReporter,
) -> Settings:
    """Return the new settings, applied to the parts; `settings` if the new ones are refused."""
    reporter.supervisor.reloading()
    try:
        fresh = reread()
        keys = changed(settings, fresh)
        engine.reconfigure(fresh)
    except DetectdError as refused:
        fresh = settings
        reporter.health.reload_refused(str(refused))
        log.warning(
            "config.refused", reason=str(refused), hint="the previous configuration stays in effect"
        )
    else:
        gatherer.go_on_under(batch_limits(fresh))
        if any(key.startswith("log.") for key in keys):
            logs.configure(fresh.log)
        reporter.health.reloaded()
        log.info("config.reloaded", changed=keys)
    reporter.supervisor.ready()
    return fresh
