"""How much at a time, and how soon again."""

from __future__ import annotations

import random

FIRST = 64
GROWTH = 4


class Pace:
    """How many records a batch may have, so that answering it takes less than `seconds`.

    A member of a consumer group that does not ask for records in time is taken for dead. How long
    a record takes depends on the detector, and is known only when some were answered.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self.most = most
        self.seconds = seconds
        self.limit = min(most, FIRST)

    def took(self, records: int, seconds: float) -> None:
        """A batch of so many records took so long."""
        if not records:
            return
        affordable = self.seconds * records / seconds if seconds > 0 else self.most
        self.limit = max(1, int(min(self.most, affordable, GROWTH * self.limit)))


class Backoff:
    """How long to wait before the next try: longer each time, and never like everybody else.

    All processes lose a broker at the same moment; they need not come back at the same moment.
    """

    first = 0.2
    most = 10.0

    def __init__(self) -> None:
        self._next = self.first
        self._last = 0.0

    def pause(self, now: float) -> float:
        """Seconds to wait at the time `now`; short again when the last failure was long ago."""
        if now - self._last > 6 * self.most:
            self._next = self.first
        pause, self._last = self._next * random.uniform(0.5, 1.0), now  # noqa: S311
        self._next = min(2 * self._next, self.most)
        return pause
