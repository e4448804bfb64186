"""The size of a batch, and how long to retry without a commit."""

from __future__ import annotations

FIRST = 64
GROWTH = 4


class AdaptiveBatchSize:
    """The number of records that can be scored in less than `seconds`.

    A consumer that does not poll in time loses its session. The time per record depends on the
    detector and is known only after some records are scored.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self.most = most
        self.seconds = seconds
        self.limit = min(most, FIRST)

    def took(self, records: int, seconds: float) -> None:
        """Record how many `seconds` a batch of that many `records` took."""
        if not records:
            return
        affordable = self.seconds * records / seconds if seconds > 0 else self.most
        self.limit = max(1, int(min(self.most, affordable, GROWTH * self.limit)))


class RetryBudget:
    """How long the service has failed to commit, and whether the failures are over.

    A try succeeds only when something is committed; otherwise brokers that accept connections but
    refuse each commit would be retried forever. What was read when a commit failed may have gone to
    another process; then a quiet period of the loop counts as success, too.
    """

    settled_seconds = 10.0

    def __init__(self) -> None:
        self.since: float | None = None
        self.owing = False
        self._opened: float | None = None

    def failed(self, now: float) -> float:
        """Record a failure. Return for how many seconds there was nothing but failures."""
        if self.since is None:
            self.since = now
        self._opened = None
        return now - self.since

    def commit_failed(self) -> None:
        """Record that the batch is not committed and still has to be."""
        self.owing = True

    def opened(self, now: float) -> None:
        """Record that source and sink are open again."""
        self._opened = now

    def committed(self) -> None:
        """Record a commit, which ends the failures."""
        self.since, self.owing = None, False

    def turned(self, now: float) -> bool:
        """Record a turn of the loop. Return whether a quiet period ends the failures."""
        if self.since is None or self._opened is None:
            return False
        if now - self._opened >= self.settled_seconds:
            self.committed()
        return self.since is None
