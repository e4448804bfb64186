"""Standard input, output and error as the process finds them: closed, without a reader, not UTF-8.

Logs go to standard error. The disk under them may be full, or their reader gone: the verdicts are
worth more.
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


def prepare() -> None:
    """Make the three streams safe to use, whatever the process was started with."""
    _occupy_descriptors()
    bear_loss()
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout is sys.__stdout__:
        # A path may hold bytes that are not UTF-8; they are written as they are.
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")


def bear_loss() -> None:
    """Let nothing that is said on standard error be the end of the process."""
    told = sys.__stderr__
    if sys.stderr is not told:  # somebody captures it
        return
    # Unbuffered: what could not be written must not be tried again at the exit.
    descriptor = os.open(os.devnull, os.O_WRONLY) if told is None else told.fileno()
    sys.stderr = io.TextIOWrapper(
        Lossy(descriptor, "w", closefd=False),
        encoding="utf-8",
        errors="backslashreplace",
        line_buffering=True,
    )


def lose_output() -> None:
    """Keep the interpreter from flushing at its exit what standard output did not take."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def is_utf8() -> bool:
    """Return whether paths are UTF-8. In the locale C they may be ASCII."""
    return sys.getfilesystemencoding().lower() in {"utf-8", "utf8"} or not sys.executable


def start_again_in_utf8() -> None:
    """Start the same command again in UTF-8 mode, whatever the locale.

    Configurations, events and outputs are UTF-8, and how paths are encoded is settled at the start
    of the interpreter.
    """
    os.execv(  # noqa: S606 - ourselves
        sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]]
    )


def _occupy_descriptors() -> None:
    """Open /dev/null for those that are closed.

    The next file would get the number otherwise, and whatever a library prints would go into it.
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
