"""Standard input as a source. It cannot be read again, so positions are ignored."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import sys
import time
from typing import TYPE_CHECKING, Any, Literal

from detectd.errors import ConfigError
from detectd.filesystem.os_errors import explained
from detectd.pipeline import memory_budget
from detectd.sources import Batch, Source
from detectd.sources.reader import Reader

if TYPE_CHECKING:
    from detectd.pipeline.records import Record
    from detectd.sources.header import CsvFormat

BLOCK = 1 << 16
# The pipe's buffer while a batch is scored; a larger one is for root alone.
PIPE = 1 << 20


class StdinSource(Source):
    """Read the records of a pipe, with ids from `stdin:1`, until its writer closes it."""

    def __init__(
        self,
        descriptor: int | None = None,
        *,
        row_format: Literal["json", "csv"],
        max_record_bytes: int,
        batch_bytes: int = memory_budget.SLICE_BYTES,
        csv: CsvFormat | None = None,
    ) -> None:
        if descriptor is None:
            if sys.stdin is None:  # Python sets it to None if it was closed at the start.
                raise ConfigError("source.kind: stdin is closed; pipe records into the command")
            descriptor = sys.stdin.fileno()
        self._descriptor = descriptor
        self._reader = Reader("stdin", max_record_bytes, rows=row_format == "csv", csv=csv)
        self._batch_bytes = batch_bytes
        self._closed = False

    def start(self, position: dict[str, Any] | None) -> None:  # noqa: ARG002
        """Ignore the position: a pipe cannot be rewound."""
        with contextlib.suppress(OSError):  # A file has no buffer to set, and a pipe may be full.
            fcntl.fcntl(self._descriptor, fcntl.F_SETPIPE_SZ, PIPE)

    def read(self, limit: int, wait: float) -> Batch:
        """See `Source`."""
        deadline = time.monotonic() + wait
        records: list[Record] = []
        ended = False
        room = self._batch_bytes
        while len(records) < limit and room > 0 and not ended:
            most = min(limit - len(records), memory_budget.most_records(room, self._reader.columns))
            if taken := self._reader.take(most):
                records += taken
                room -= memory_budget.weight(taken)
            elif self._closed:
                ended = not self._reader.finish()
            else:
                left = max(0.0, deadline - time.monotonic())
                try:
                    if not select.select([self._descriptor], [], [], left)[0]:
                        if self._reader.idle(time.monotonic()):
                            continue
                        break
                    chunk = os.read(self._descriptor, BLOCK)
                except OSError as failed:
                    raise explained(
                        failed, "stdin cannot be read", "pipe records into the command"
                    ) from None
                self._closed = not chunk
                self._reader.feed(chunk)
        return Batch(records, {"line": self._reader.line}, ended)

    def acknowledge(self, position: dict[str, Any]) -> None:
        """Do nothing: a pipe has no position."""

    def progress(self) -> float | None:
        """Return None: the length of a pipe is unknown."""
        return None

    def close(self) -> None:
        """Leave the pipe to the process that opened it."""
