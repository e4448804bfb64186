"""Requests to the service by signals, handled between two batches.

SIGTERM, SIGINT   asked once, it ends; asked twice, at once
SIGHUP            it reads its configuration again, as soon as it is ready to
"""

from __future__ import annotations

import signal
import threading

# Requests from before there was a `Stop` or a `Reload`: signals are per process.
_held: set[int] = set()


def hold() -> None:
    """Hold signals for a later `Stop` and `Reload`, from the very beginning."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _hold)


def ignore_hangups() -> None:
    """Ignore SIGHUP, also after an exec."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _hold(number: int, _frame: object) -> None:
    _held.add(number)
    if number != signal.SIGHUP:
        signal.signal(number, signal.SIG_DFL)


class Stop:
    """A request to stop. A second signal reaches the default handlers, which kill.

    `signal` is the name of the signal, None if there was none.
    """

    def __init__(self) -> None:
        self._requested = threading.Event()
        self.signal: str | None = None

    @property
    def requested(self) -> bool:
        """Return whether a stop was requested."""
        return self._requested.is_set()

    def request(self) -> None:
        """Request a stop, as the first signal does."""
        self._requested.set()

    def wait(self, seconds: float) -> None:
        """Wait that many seconds, or until a stop is requested."""
        self._requested.wait(max(0.0, seconds))

    def listen(self) -> None:
        """Handle SIGTERM and SIGINT as requests, including held ones."""
        for number in (signal.SIGINT, signal.SIGTERM):
            if number in _held:
                self.signal = signal.Signals(number).name
                self.request()
            else:
                signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: object) -> None:
        self.signal = signal.Signals(number).name
        self.request()
        signal.signal(number, signal.SIG_DFL)


class Reload:
    """A request to read the configuration again."""

    def __init__(self) -> None:
        self.requested = False

    def take(self) -> bool:
        """Return whether a reload was requested, and clear the request."""
        asked, self.requested = self.requested, False
        return asked

    def listen(self) -> None:
        """Handle SIGHUP as a request, including a held one."""
        signal.signal(signal.SIGHUP, self._on_signal)
        self.requested = self.requested or signal.SIGHUP in _held

    def _on_signal(self, _number: int, _frame: object) -> None:
        self.requested = True
