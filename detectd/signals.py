"""What the service is asked for by signals, and does between two batches.

SIGTERM, SIGINT   asked once, it ends; asked twice, at once
SIGHUP            it reads its configuration again, as soon as it is ready to
"""

from __future__ import annotations

import signal
import threading

# What was asked for before there was a `Stop` or a `Reload`: signals are the process's.
_held: set[int] = set()


def hold() -> None:
    """Remember signals for the `Stop` and the `Reload` to come, from the very beginning."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _hold)


def ignore_hangups() -> None:
    """Lose a SIGHUP, also in the program that takes the place of this one."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _hold(number: int, _frame: object) -> None:
    _held.add(number)
    if number != signal.SIGHUP:
        signal.signal(number, signal.SIG_DFL)


class Stop:
    """A request to stop. The second signal finds the default handlers, and kills.

    `signal` is the name of the one that asked, None if it was no signal.
    """

    def __init__(self) -> None:
        self._requested = threading.Event()
        self.signal: str | None = None

    @property
    def requested(self) -> bool:
        """Return whether a stop was asked for."""
        return self._requested.is_set()

    def request(self) -> None:
        """Ask for a stop, as the first signal does."""
        self._requested.set()

    def wait(self, seconds: float) -> None:
        """Wait that many seconds, or until a stop is asked for."""
        self._requested.wait(max(0.0, seconds))

    def listen(self) -> None:
        """Take SIGTERM and SIGINT as requests, also those that were held."""
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
        """Return whether it was asked for; it is done with then."""
        asked, self.requested = self.requested, False
        return asked

    def listen(self) -> None:
        """Take SIGHUP as a request, also one that was held."""
        signal.signal(signal.SIGHUP, self._on_signal)
        self.requested = self.requested or signal.SIGHUP in _held

    def _on_signal(self, _number: int, _frame: object) -> None:
        self.requested = True
