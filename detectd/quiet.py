"""Silence libraries in one thread of a process with several.

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

# The libraries themselves replace the warning filters, and limit threads, for the whole process.
_one_at_a_time = threading.RLock()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drop what this thread prints (after `install`) or warns about.

    Only one thread at a time may enter, as the libraries are not thread-safe: keep it short if the
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
    """Make `quiet` apply to printed text, from now on. May be called twice."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, Stream):
            setattr(sys, name, cast("TextIO", Stream(stream)))


class Stream:
    """A text stream that drops what a quiet thread writes, and otherwise delegates."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write the text, or nothing in a quiet thread."""
        return len(text) if _thread.quiet else self._stream.write(text)

    def writelines(self, lines: Any) -> None:
        """Write each line."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _WhileQuiet:
    """Take the place of the message pattern in a warning filter.

    scikit-learn rebuilds the filters from their `pattern` around each of its own calls; there it
    must match all messages.
    """

    pattern = ""

    def match(self, _text: str) -> bool:
        return _thread.quiet


# The filter that `warnings.filterwarnings` would create; it accepts only text as a pattern.
_FILTER = ("ignore", _WhileQuiet(), Warning, None, 0)


def _filter_first() -> None:
    """Move the filter to the front: others insert theirs before it, and restore lists without
    it."""
    filters = cast("list[Any]", warnings.filters)
    if not filters or filters[0] is not _FILTER:
        filters.insert(0, _FILTER)
