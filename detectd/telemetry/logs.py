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

# structlog shows the local variables of each frame unless told otherwise, and a local may be a
# password, a token or somebody's event.
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


def _printable(_logger: WrappedLogger, _name: str, words: EventDict) -> EventDict:
    """Return the words made printable: what a record has brought into a line does nothing to the
    terminal."""
    return {
        name: printable(each) if isinstance(each, str) else each for name, each in words.items()
    }
