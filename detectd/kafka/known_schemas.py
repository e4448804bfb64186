"""Caches of schemas, and of ids that the registry does not have. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from detectd.pipeline import memory_budget
from detectd.pipeline.records import RecordError, Stage

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import BytesIO

    ReadBody = Callable[[BytesIO], Any]

# A missing schema may be registered later.
UNKNOWN_SECONDS = 30.0

# At most this many missing ids are requested in that time, each of which takes as long as thousands
# of records: a writer of invalid records could stall the stream with them.
UNKNOWN_IDS = 100


class Known:
    """Readers of bodies by schema id: the most recently used, within SCHEMA_BYTES."""

    def __init__(self) -> None:
        self._readers: dict[int, tuple[ReadBody, int]] = {}
        self._bytes = 0

    def get(self, number: int) -> ReadBody | None:
        """Return the reader, and mark it as the most recently used."""
        if found := self._readers.pop(number, None):
            self._readers[number] = found
            return found[0]
        return None

    def add(self, number: int, read_body: ReadBody, size: int) -> None:
        """Add the reader of a schema of `size` bytes; evict old ones to make room."""
        self._readers[number] = (read_body, size)
        self._bytes += size
        while self._bytes > memory_budget.SCHEMA_BYTES and len(self._readers) > 1:
            _, gone = self._readers.pop(next(iter(self._readers)))
            self._bytes -= gone


class Unknown:
    """Ids without a schema, which expire, and a limit on further requests."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._errors: dict[int, tuple[float, str]] = {}
        self._left, self._looked = float(UNKNOWN_IDS), clock()

    def check(self, number: int) -> None:
        """Raise RecordError if the id is known to have no schema, or the limit is reached."""
        until, error = self._errors.get(number, (0.0, ""))
        now = self._clock()
        if error and now < until:
            raise RecordError(Stage.DECODE, error)
        gained = (now - self._looked) * UNKNOWN_IDS / UNKNOWN_SECONDS
        self._left, self._looked = min(float(UNKNOWN_IDS), self._left + gained), now
        if self._left < 1:
            raise RecordError(
                Stage.DECODE,
                f"schema {number} was not looked up: too many others were missing from the "
                "registry just now; replay the dead letter",
            )

    def add(self, number: int, error: str) -> None:
        """Record that the id has no usable schema, and the reason."""
        now = self._clock()
        self._left -= 1
        if len(self._errors) > UNKNOWN_IDS:
            self._errors = {each: kept for each, kept in self._errors.items() if kept[0] > now}
        self._errors[number] = now + UNKNOWN_SECONDS, error
