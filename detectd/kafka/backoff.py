"""How long to wait before brokers are tried again."""

from __future__ import annotations

import random


class ExponentialBackoff:
    """How long to wait before the next try: longer each time, and never like everybody else.

    All processes lose a broker at the same moment; they need not come back at the same moment.
    """

    first = 0.2
    most = 10.0

    def __init__(self) -> None:
        self._next = self.first
        self._last = 0.0

    def pause(self, now: float) -> float:
        """Return seconds to wait at the time `now`; short again when the last failure was long
        ago."""
        if now - self._last > 6 * self.most:
            self._next = self.first
        pause, self._last = self._next * random.uniform(0.5, 1.0), now  # noqa: S311
        self._next = min(2 * self._next, self.most)
        return pause
