"""The delay before brokers are tried again."""

from __future__ import annotations

import random


class ExponentialBackoff:
    """The delay before the next attempt: exponential, with jitter.

    All processes lose a broker at the same moment; they should not reconnect at the same moment.
    """

    first = 0.2
    most = 10.0

    def __init__(self) -> None:
        self._next = self.first
        self._last = 0.0

    def pause(self, now: float) -> float:
        """Return the seconds to wait at the time `now`; short again if the last failure was long
        ago."""
        if now - self._last > 6 * self.most:
            self._next = self.first
        pause, self._last = self._next * random.uniform(0.5, 1.0), now  # noqa: S311
        self._next = min(2 * self._next, self.most)
        return pause
