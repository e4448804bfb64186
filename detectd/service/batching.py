"""How large a batch may be, and how long to keep trying without a commit."""

from __future__ import annotations

FIRST = 64
GROWTH = 4


class AdaptiveBatchSize:
    """How many records a batch may have, so that answering it takes less than `seconds`.

    A member of a consumer group that does not ask for records in time is taken for dead. How long
    a record takes depends on the detector, and is known only when some were answered.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self.most = most
        self.seconds = seconds
        self.limit = min(most, FIRST)

    def took(self, records: int, seconds: float) -> None:
        """Note how many seconds a batch of that many records took."""
        if not records:
            return
        affordable = self.seconds * records / seconds if seconds > 0 else self.most
        self.limit = max(1, int(min(self.most, affordable, GROWTH * self.limit)))


class RetryBudget:
    """How long the service has failed to commit, and whether it is over.

    A try counts as a success only when something was committed: brokers that let us in and refuse
    each commit would be tried for ever. What was read when a commit failed may have gone to another
    process; then the loop turns in peace for a while, and that counts as well.
    """

    settled_seconds = 10.0

    def __init__(self) -> None:
        self.since: float | None = None
        self.owing = False
        self._opened: float | None = None

    def failed(self, now: float) -> float:
        """Take note of a failure. Returns for how many seconds there was nothing else."""
        if self.since is None:
            self.since = now
        self._opened = None
        return now - self.since

    def commit_failed(self) -> None:
        """Note that what was read is not committed, and is still to be."""
        self.owing = True

    def opened(self, now: float) -> None:
        """Note that source and sink are open again."""
        self._opened = now

    def committed(self) -> None:
        """Note that outputs were committed: that is the end of the failures."""
        self.since, self.owing = None, False

    def turned(self, now: float) -> bool:
        """Take note of a turn of the loop. Returns whether a quiet while ends the failures."""
        if self.since is None or self._opened is None:
            return False
        if now - self._opened >= self.settled_seconds:
            self.committed()
        return self.since is None
