"""Keeping libraries quiet in one thread of a process with several.

PyOD and what it uses print and warn; a service's output is its own. `sys.stdout`, `sys.stderr` and
the filters of `warnings` belong to the whole process: to swap them around a call, as `contextlib`
and `warnings.catch_warnings` do, takes away what other threads write meanwhile, and two swaps that
overlap leave the wrong one behind for good. So nothing is swapped here. The streams and a filter
are put in place once, and look at a flag of the thread that writes or warns.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import warnings
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Thread(threading.local):
    quiet = False


_thread = _Thread()

# The libraries themselves swap the filters of warnings, and limit their threads, for the process.
_one_at_a_time = threading.RLock()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drop what this thread prints (after `install`) or warns of.

    One thread at a time is in here, as the libraries are not made for two: keep it short where the
    loop may wait for it. May be nested.
    """
    with _one_at_a_time:
        before, _thread.quiet = _thread.quiet, True
        _filter_first()
        try:
            yield
        finally:
            _thread.quiet = before


def install() -> None:
    """Let `quiet` hold for what is printed, from now on. May be called twice."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, Stream):
            setattr(sys, name, cast("TextIO", Stream(stream)))


class Stream:
    """A text stream that loses what a quiet thread writes, and is as the other in all else."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write all of it, or nothing in a quiet thread."""
        return len(text) if _thread.quiet else self._stream.write(text)

    def writelines(self, lines: Any) -> None:
        """Write each line."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _WhileQuiet:
    """Stands where a filter has the pattern of the messages that it is for.

    scikit-learn makes the filters again from their `pattern` around each of its own calls; in these
    all messages are meant.
    """

    pattern = ""

    def match(self, _text: str) -> bool:
        return _thread.quiet


# What `warnings.filterwarnings` makes, which takes no pattern but a text.
_FILTER = ("ignore", _WhileQuiet(), Warning, None, 0)


def _filter_first() -> None:
    """Others put filters before ours, and take back lists in which it was not."""
    filters = cast("list[Any]", warnings.filters)
    if not filters or filters[0] is not _FILTER:
        filters.insert(0, _FILTER)
