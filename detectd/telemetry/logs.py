"""Logs on stderr: JSON for a machine, coloured lines for a person."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import structlog
from structlog.dev import plain_traceback
from structlog.processors import ExceptionRenderer
from structlog.tracebacks import ExceptionDictTransformer

from detectd.report.terminal import printable

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger

    from detectd.settings.operation import LogSettings

# By default structlog prints the local variables of each frame, which may contain a password, a
# token or an event.
WITHOUT_LOCALS = ExceptionDictTransformer(show_locals=False)


def configure(settings: LogSettings) -> None:
    """Send everything to stderr, the libraries' warnings included, in one form."""
    human = settings.format == "console" or (settings.format == "auto" and sys.stderr.isatty())
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendering: list[Processor] = (
        [_printable, structlog.dev.ConsoleRenderer(exception_formatter=plain_traceback)]
        if human
        else [ExceptionRenderer(WITHOUT_LOCALS), structlog.processors.JSONRenderer()]
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
    # Libraries log internals at INFO; only their warnings matter to an operator.
    root.setLevel(max(level, logging.WARNING))
    # Kafka's clients log each attempt while a broker is unavailable; the service logs it once.
    # Their messages below INFO contain the bytes of logins.
    clients = logging.INFO if level == logging.DEBUG else logging.CRITICAL
    logging.getLogger("kafka").setLevel(clients)
    logging.captureWarnings(capture=True)


def warn(event: str, **words: str) -> None:
    """Log a warning from before the service has started."""
    structlog.get_logger().warning(event, **words)


def _printable(_logger: WrappedLogger, _name: str, words: EventDict) -> EventDict:
    """Return the fields without terminal control characters, since they may come from records."""
    return {
        name: printable(each) if isinstance(each, str) else each for name, each in words.items()
    }
