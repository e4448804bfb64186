"""Logs on stderr: JSON where a machine reads, coloured lines where a person does."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from structlog.typing import Processor

    from detectd.settings import LogSettings


def configure(settings: LogSettings) -> None:
    """Send everything to stderr, the libraries' warnings included, in one form."""
    human = settings.format == "console" or (settings.format == "auto" and sys.stderr.isatty())
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendering: list[Processor] = (
        [structlog.dev.ConsoleRenderer()]
        if human
        else [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[*shared, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # Libraries speak of their own affairs at INFO; an operator wants to hear of their troubles.
    root.setLevel(max(level, logging.WARNING))
    # Kafka's clients complain of each try while a broker is away; the service says so once. What
    # they tell below INFO has the bytes of logins in it.
    clients = logging.INFO if level == logging.DEBUG else logging.CRITICAL
    logging.getLogger("kafka").setLevel(clients)
    logging.captureWarnings(capture=True)


def warn(event: str, **words: str) -> None:
    """Warn of what was found before there is anybody else to do so."""
    structlog.get_logger().warning(event, **words)
