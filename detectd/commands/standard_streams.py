"""Make standard input, output and error safe: closed, without a reader, or not UTF-8.

Logs go to standard error. If its disk is full or its reader is gone, log lines are lost, not
verdicts.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class Lossy(io.FileIO):
    """A file descriptor to which writing never fails."""

    _torn = False

    def write(self, content: ReadableBuffer, /) -> int:
        """Write all of `content`, or drop the rest; the next successful write begins a line."""
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


def prepare() -> None:
    """Make the three streams safe to use, however the process was started."""
    _occupy_descriptors()
    bear_loss()
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout is sys.__stdout__:
        # Paths may contain bytes that are not UTF-8; these are written unchanged.
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")


def bear_loss() -> None:
    """Ignore all write errors on standard error."""
    told = sys.__stderr__
    if sys.stderr is not told:  # it is captured
        return
    # Unbuffered, so that a failed write is not retried at exit.
    descriptor = os.open(os.devnull, os.O_WRONLY) if told is None else told.fileno()
    sys.stderr = io.TextIOWrapper(
        Lossy(descriptor, "w", closefd=False),
        encoding="utf-8",
        errors="backslashreplace",
        line_buffering=True,
    )


def lose_output() -> None:
    """Prevent the interpreter from flushing at exit what standard output did not accept."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def is_utf8() -> bool:
    """Return whether paths are UTF-8. In the locale C they may be ASCII."""
    return sys.getfilesystemencoding().lower() in {"utf-8", "utf8"} or not sys.executable


def start_again_in_utf8() -> None:
    """Restart the same command in UTF-8 mode, whatever the locale.

    Configurations, events and outputs are UTF-8, and the encoding of paths is fixed when the
    interpreter starts.
    """
    os.execv(  # noqa: S606 - ourselves
        sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]]
    )


def _occupy_descriptors() -> None:
    """Open /dev/null for closed standard streams.

    Otherwise the next opened file would get the descriptor, and library output would go into it.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened == descriptor:
                os.set_inheritable(descriptor, True)
            else:
                os.dup2(opened, descriptor)
                os.close(opened)
