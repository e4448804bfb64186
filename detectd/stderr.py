"""Standard error that loses what it cannot write, and stops nothing for it.

Logs go there. The disk under them may be full, or their reader gone: the verdicts are worth more.
"""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class Lossy(io.FileIO):
    """A file descriptor to which writing never fails."""

    _torn = False

    def write(self, content: ReadableBuffer, /) -> int:
        """Write all of `content`, or lose the rest; the next that can be written begins a line."""
        left = memoryview(content).cast("B")
        size = len(left)
        try:
            if self._torn and super().write(b"\n"):
                self._torn = False
            while left:
                left = left[super().write(left) or size :]
        except OSError:
            self._torn = True
        return size


def bear_loss() -> None:
    """Let nothing that is said on standard error be the end of the process."""
    told = sys.__stderr__
    if told is None or sys.stderr is not told:  # closed, or somebody captures it
        return
    # Unbuffered: what could not be written must not be tried again at the exit.
    sys.stderr = io.TextIOWrapper(
        Lossy(told.fileno(), "w", closefd=False),
        encoding=told.encoding,
        errors=told.errors,
        line_buffering=True,
    )
