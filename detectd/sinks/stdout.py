"""Standard output as a sink: all outputs in one stream, in the order of their records."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from detectd.errors import ConfigError, DetectdError
from detectd.filesystem.os_errors import explained
from detectd.report.terminal import printable
from detectd.sinks import Sink

if TYPE_CHECKING:
    from collections.abc import Sequence

    from detectd.pipeline.records import KeyRecord, Outgoing, Position


class StdoutSink(Sink):
    """Write one JSON object per line. A pipe keeps no position, so `open` returns None."""

    def __init__(self, descriptor: int | None = None) -> None:
        if descriptor is None:
            if sys.stdout is None:  # Python sets it to None if it was closed at the start.
                raise ConfigError("sink.kind: stdout is closed; redirect it, or name another sink")
            descriptor = sys.stdout.fileno()
        self._descriptor = descriptor
        self._to_terminal = os.isatty(descriptor)

    def open(self) -> Position | None:
        """See `Sink`."""
        return None

    def commit(
        self,
        outgoing: Sequence[Outgoing],
        position: Position,  # noqa: ARG002 - a pipe keeps none
        keys: Sequence[KeyRecord] = (),  # noqa: ARG002
    ) -> None:
        """See `Sink`: everything is written on return, as far as a pipe guarantees that."""
        lines = b"".join(out.value + b"\n" for out in outgoing)
        if self._to_terminal:  # the JSON stays equivalent; see
            lines = printable(lines.decode(errors="replace")).encode()
        content = memoryview(lines)
        try:
            while content:
                content = content[os.write(self._descriptor, content) :]
        except BrokenPipeError:
            raise DetectdError("stdout was closed by its reader; verdicts have been lost") from None
        except OSError as failed:
            raise explained(failed, "stdout cannot be written") from None

    def close(self) -> None:
        """Leave the pipe to the process that opened it."""
